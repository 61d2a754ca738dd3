//! `homing-gateway`: see `homing-gateway --help`.

use std::process::ExitCode;

use clap::Parser;
use homing::{daemon, gateway};

/// Holds the connections of browsers: WebSocket, Socket.IO.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: daemon::Common,
    /// Serve what the official suites of Engine.IO and Socket.IO expect, at /engine.io/ and /socket.io/, and nothing of
    /// the configuration there.
    #[arg(long)]
    protocol_test_fixture: bool,
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    let fixture = args.protocol_test_fixture;
    let wire: Box<daemon::Wire> = Box::new(|config, _, kit| {
        // What does not fit is told before anything is opened.
        gateway::check(config, kit)?;
        Ok(Vec::new())
    });
    let serve: Box<daemon::Extra> = Box::new(move |config, _, kit| {
        Box::pin(async move {
            let listeners = gateway::bind(&config)?;
            Box::pin(gateway::serve(&config, &kit, listeners, fixture)).await
        })
    });
    daemon::run("homing-gateway", &args.common, &wire, Some(serve))
}
