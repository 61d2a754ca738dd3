//! `homing-sender`: see `homing-sender --help`.

use std::process::ExitCode;

use clap::Parser;
use homing::{daemon, wiring};

/// Sends what stands in the delivery queues to the providers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: daemon::Common,
    #[command(flatten)]
    shards: daemon::ShardArgs,
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    let scope = args.shards.scope();
    let wire: Box<daemon::Wire> = Box::new(move |config, stores, cx| wiring::senders(config, stores, &scope, cx));
    daemon::run("homing-sender", &args.common, &wire, None)
}
