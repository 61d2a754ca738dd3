//! `homing-sender`: see `homing-sender --help`.

use std::{process::ExitCode, sync::Arc, sync::OnceLock};

use clap::Parser;
use homing::{daemon, doctor, wiring};

/// Sends what stands in the delivery queues to the providers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: daemon::Common,
    #[command(flatten)]
    shards: daemon::ShardArgs,
    /// Only the lists of this channel; all by default.
    #[arg(long)]
    channel: Option<String>,
}

fn main() -> ExitCode {
    let args = Arguments::parse();
    let scope = wiring::Scope { channel: args.channel, ..args.shards.scope() };
    let known = Arc::new(OnceLock::new());
    let built = Arc::clone(&known);
    let wire: Box<daemon::Wire> = Box::new(move |config, stores, kit| {
        let channels = built.get_or_init(|| wiring::channels(config, &scope, &kit.cx.clock, kit.live.as_ref()));
        let channels = channels.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let workers = wiring::senders(config, stores, &scope, channels, kit)?;
        // It also looks after credentials, which alone is no work.
        anyhow::ensure!(!workers.is_empty(), "nothing to do: no shard is configured for it");
        Ok(workers)
    });
    let watch: Box<daemon::Extra> = Box::new(move |_, _, kit| {
        Box::pin(async move {
            if let Some(Ok(channels)) = known.get() {
                doctor::watch(channels.clone(), kit.cx.clock, kit.cx.stop).await;
            }
            Ok(())
        })
    });
    daemon::run("homing-sender", &args.common, &wire, Some(watch))
}
