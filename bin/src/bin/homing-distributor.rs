//! `homing-distributor`: see `homing-distributor --help`.

use std::process::ExitCode;

use clap::Parser;
use homing::{daemon, wiring};

/// Decides who is told: entry queues to delivery queues.
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
    let wire: Box<daemon::Wire> =
        Box::new(move |config, stores, kit| wiring::distributors(config, stores, &scope, kit));
    daemon::run("homing-distributor", &args.common, &wire, None)
}
