//! `homing-scanner`: see `homing-scanner --help`.

use std::process::ExitCode;

use clap::Parser;
use homing::{config::From, daemon, wiring};

/// Reads new chats from their store into the entry queues.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: daemon::Common,
    /// Only the scanner of this name; all by default.
    #[arg(long)]
    scanner: Option<String>,
    /// Where the very first start begins, in place of the configured `from`: newest, beginning, or a time such as
    /// 2026-11-21T08:00:00+08:00. A scanner that has begun once goes on where it stood.
    #[arg(long, value_name = "PLACE", value_parser = from)]
    from: Option<From>,
}

fn from(text: &str) -> Result<From, String> {
    From::try_from(text.to_owned())
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    let (only, begin) = (args.scanner, args.from);
    let wire: Box<daemon::Wire> = Box::new(move |config, stores, kit| {
        let mut config = config.clone();
        for scanner in config.scanner.values_mut() {
            scanner.from = begin.unwrap_or(scanner.from);
        }
        wiring::scanners(&config, stores, only.as_deref(), &kit.cx)
    });
    daemon::run("homing-scanner", &args.common, &wire, None)
}
