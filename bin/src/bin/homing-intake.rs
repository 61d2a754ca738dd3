//! `homing-intake`: see `homing-intake --help`.

use std::process::ExitCode;

use clap::Parser;
use homing::{daemon, intake};

/// Takes events over HTTP into the entry queues.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: daemon::Common,
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    let wire: Box<daemon::Wire> = Box::new(|config, stores, kit| {
        // What does not fit is told before anything is opened.
        intake::check(config, stores, &kit.cx)?;
        Ok(Vec::new())
    });
    let serve: Box<daemon::Extra> = Box::new(|config, stores, kit| {
        Box::pin(async move { Box::pin(intake::serve(&config, &stores, &kit.cx)).await })
    });
    daemon::run("homing-intake", &args.common, &wire, Some(serve))
}
