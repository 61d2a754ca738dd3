//! `homing queue resync`: acknowledges the alarm of a foreign consumer.

use anyhow::{Context as _, bail};
use homing_core::queue::{Error, QueueName};

use crate::{config::Config, operator::shards, wiring};

/// Takes the list as it stands now, so that its worker can go on.
///
/// # Errors
/// The list is not of this installation, a worker holds it, or the server cannot be reached.
pub async fn resync(config: &Config, name: &str) -> anyhow::Result<()> {
    let known = shards(config)?;
    if !known.iter().any(|(_, _, queue)| queue.as_str() == name) {
        let names: Vec<&str> = known.iter().map(|(_, _, queue)| queue.as_str()).collect();
        bail!("{name} is no list of this configuration; there are: {}", names.join(", "));
    }
    let queue = wiring::queue(config)?;
    let name = QueueName::new(name);
    let mut shard = match queue.acquire(&name).await {
        Ok(shard) => shard,
        Err(held @ Error::Held { .. }) => {
            let what = "is held by the worker that is named here; stop Homing's daemons of this list first (a worker that \
                        met a foreign consumer keeps its lease so that nobody goes on unseen)";
            return Err(held).with_context(|| format!("{name} {what}"));
        }
        Err(error) => return Err(error.into()),
    };
    let gone = shard.resync().await.context("resync")?;
    shard.release().await?;
    println!("{name} is taken as it stands. Items that left it behind Homing's back: {gone}.");
    Ok(())
}
