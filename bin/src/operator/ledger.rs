//! `homing ledger`: what came in, what became of it, and whether the sums are right.

use homing_core::queue::Queue;
use homing_intake::books;
pub use homing_intake::books::Ledger;

use crate::{config::Config, intake};

/// Reads the ledger of every shard.
///
/// # Errors
/// The server cannot be reached.
pub async fn read(config: &Config, queue: &dyn Queue) -> anyhow::Result<Ledger> {
    Ok(books::ledger(queue, &intake::shards(config)?).await?)
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
    if !ledger.receipts.is_empty() {
        let seen: Vec<String> = ledger.receipts.iter().map(|(what, n)| format!("{what} {n}")).collect();
        text += &format!("receipts (beside the sums) {}\n", seen.join(", "));
    }
    for shard in &ledger.unbalanced {
        text += &format!("UNBALANCED: {shard}\n");
    }
    text += if ledger.balanced { "balanced\n" } else { "NOT balanced\n" };
    text
}
