//! `homing-scanner`: see `homing-scanner --help`.

use std::process::ExitCode;

use clap::Parser;
use homing::{daemon, wiring};

/// Reads new chats from their store into the entry queues.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: daemon::Common,
    /// Only the scanner of this name; all by default.
    #[arg(long)]
    scanner: Option<String>,
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    let only = args.scanner.clone();
    let wire: Box<daemon::Wire> =
        Box::new(move |config, stores, cx| wiring::scanners(config, stores, only.as_deref(), cx));
    daemon::run("homing-scanner", &args.common, &wire, None)
}
