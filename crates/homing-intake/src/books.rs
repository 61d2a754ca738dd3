//! The books over all lanes: what is on record about a message, and whether the sums are right.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use homing_core::{
    ledger::{Line, Role, balance},
    queue::{Queue, QueueName, Result},
    record::Record,
};
use serde::Serialize;

use crate::receipts;

/// Shards that are asked at once.
pub(crate) const WIDTH: usize = 8;

/// A shard and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its lane.
    pub lane: String,
    /// What it is there.
    pub role: Role,
    /// Its list.
    pub queue: QueueName,
}

/// The history of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// Its id.
    pub id: String,
    /// Its records, oldest first.
    pub records: Vec<Record>,
}

/// The ledger of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Is every line of every shard balanced?
    pub balanced: bool,
    /// Per lane, its stages, summed over the shards.
    pub lanes: BTreeMap<String, BTreeMap<&'static str, Line>>,
    /// What devices said: `shown`, `clicked`. They stand beside the sums and in none of them: nobody owes a receipt.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub receipts: BTreeMap<String, i64>,
    /// Shards with a line that does not balance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unbalanced: Vec<String>,
}

/// Collects the records of `id` from every shard's trace. `seats` are shards of no lane: a scanner's.
///
/// # Errors
/// The server cannot be reached.
pub async fn trace(queue: &dyn Queue, seats: &[QueueName], shards: &[Shard], id: &str) -> Result<Trace> {
    let all = seats.iter().chain(shards.iter().map(|shard| &shard.queue));
    // Calls that begin when they are polled.
    let calls: Vec<_> = all.map(|name| queue.trace(name, id)).collect();
    let found = stream::iter(calls).buffered(WIDTH).try_collect::<Vec<_>>().await?;
    let mut records: Vec<Record> = found.into_iter().flatten().collect();
    // The order of the stages within a millisecond is the order in which they were collected: the sort is stable.
    records.sort_by_key(|r| (r.at, r.stage));
    Ok(Trace { id: id.to_owned(), records })
}

/// Reads the ledger of every shard, and the counts of receipts. Each shard's snapshot is consistent; between shards a
/// message may be on its way.
///
/// # Errors
/// The server cannot be reached.
pub async fn ledger(queue: &dyn Queue, shards: &[Shard]) -> Result<Ledger> {
    let calls: Vec<_> = shards.iter().map(|shard| queue.inspect(&shard.queue)).collect();
    let snapshots = stream::iter(calls).buffered(WIDTH).try_collect::<Vec<_>>().await?;
    let said = queue.inspect(&receipts::shard()).await?;
    let said = said.counts.iter().filter_map(|(field, n)| Some((field.strip_prefix("client.")?.to_owned(), n)));
    let mut ledger =
        Ledger { balanced: true, lanes: BTreeMap::new(), receipts: said.collect(), unbalanced: Vec::new() };
    for (shard, snapshot) in shards.iter().zip(snapshots) {
        for line in balance(&snapshot, shard.role) {
            if !line.balanced {
                ledger.balanced = false;
                ledger.unbalanced.push(format!("{}: {}", shard.queue, line.stage));
            }
            let lines = ledger.lanes.entry(shard.lane.clone()).or_default();
            match lines.get_mut(line.stage) {
                Some(sum) => sum.merge(&line),
                None => {
                    lines.insert(line.stage, line);
                }
            }
        }
    }
    Ok(ledger)
}
