//! `homing ledger`: what came in, what became of it, and whether the sums are right.

use std::collections::BTreeMap;

use homing_core::{
    ledger::{Line, balance},
    queue::Queue,
};
use serde::Serialize;

use super::shards;
use crate::config::Config;

/// The ledger of an installation.
#[derive(Debug, Serialize)]
pub struct Ledger {
    /// Is every line of every shard balanced?
    pub balanced: bool,
    /// Per lane, its stages, summed over the shards.
    pub lanes: BTreeMap<String, BTreeMap<&'static str, Line>>,
    /// Shards with a line that does not balance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unbalanced: Vec<String>,
}

/// Reads the ledger of every shard. Each shard's snapshot is consistent; between shards a message may be on its way.
///
/// # Errors
/// The server cannot be reached.
pub async fn read(config: &Config, queue: &dyn Queue) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger { balanced: true, lanes: BTreeMap::new(), unbalanced: Vec::new() };
    for (lane, role, name) in shards(config)? {
        let snapshot = queue.inspect(&name).await?;
        for line in balance(&snapshot, role) {
            if !line.balanced {
                ledger.balanced = false;
                ledger.unbalanced.push(format!("{name}: {}", line.stage));
            }
            let lines = ledger.lanes.entry(lane.clone()).or_default();
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

/// The ledger as a table for people.
pub fn table(ledger: &Ledger) -> String {
    let mut text = String::new();
    for (lane, lines) in &ledger.lanes {
        for stage in ["entry", "rules", "send", "items", "own lists", "dead list"] {
            let Some(line) = lines.get(stage) else { continue };
            let fates: Vec<String> = line.fates.iter().map(|(fate, n)| format!("{fate} {n}")).collect();
            let verdict = if line.balanced { "balanced" } else { "UNBALANCED" };
            text += &format!(
                "{lane:<8} {stage:<9} in {:<8} = {} + waiting {:<6} {verdict}\n",
                line.came_in,
                if fates.is_empty() { "0".to_owned() } else { fates.join(" + ") },
                line.waiting,
            );
        }
    }
    for shard in &ledger.unbalanced {
        text += &format!("UNBALANCED: {shard}\n");
    }
    text += if ledger.balanced { "balanced\n" } else { "NOT balanced\n" };
    text
}
