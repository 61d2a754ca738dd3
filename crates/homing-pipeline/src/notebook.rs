//! A daemon's own note of how far its shards were, outside of the queue server: when the server comes back empty or is
//! another one, the note says what was there.

use std::{collections::BTreeMap, convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use homing_core::{
    clock::{Clock, Millis},
    queue::{Log, Queue, QueueName, Snapshot},
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{error, warn};

/// How often the counters are noted.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps a file per shard in a folder.
#[derive(Clone, Debug)]
pub struct Notebook {
    /// The folder; without one nothing is noted.
    pub folder: Option<PathBuf>,
}

/// The file's shape.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    queue: String,
    at: Millis,
    birth: String,
    /// Items that the main list ever had.
    items: u64,
    counts: BTreeMap<String, i64>,
}

impl Note {
    fn of(queue: &QueueName, at: Millis, snapshot: &Snapshot) -> Self {
        let main = snapshot.logs.iter().find(|l| l.log == Log::MAIN);
        Self {
            queue: queue.to_string(),
            at,
            birth: snapshot.birth.clone(),
            items: main.map_or(0, |l| l.head + l.length),
            counts: snapshot.counts.iter().map(|(field, n)| (field.to_owned(), n)).collect(),
        }
    }

    /// What this note has and `now` has not; `None` where the server is the same and went no step back.
    fn missing(&self, now: &Self) -> Option<String> {
        let wiped = self.birth != now.birth;
        if (!wiped && self.items <= now.items) || (self.items == 0 && self.counts.is_empty()) {
            return None;
        }
        let fields = self.counts.iter().filter_map(|(field, before)| {
            let now = now.counts.get(field).copied().unwrap_or(0);
            (now < *before).then(|| format!("{field} {before} -> {now}"))
        });
        let what = if wiped { "was wiped or is another one" } else { "went back to an older state" };
        let counts: Vec<String> = fields.collect();
        Some(format!("the queue server {what}: items {} -> {}; {}", self.items, now.items, counts.join(", ")))
    }
}

impl Notebook {
    /// Compares the note with what is there now, at the start of an ownership. A difference is an error in the log, and
    /// work goes on with what is there.
    pub(crate) async fn compare(&self, now: Millis, queue: &QueueName, queues: &Arc<dyn Queue>) {
        let Some(file) = self.file(queue) else { return };
        let Ok(text) = tokio::fs::read(&file).await else { return };
        let (Ok(note), Ok(snapshot)) = (serde_json::from_slice::<Note>(&text), queues.inspect(queue).await) else {
            return;
        };
        if let Some(missing) = note.missing(&Note::of(queue, now, &snapshot)) {
            error!(queue = %queue, noted_at = note.at, "{missing}.");
        }
    }

    /// Notes the shard's counters every few seconds until dropped.
    pub(crate) async fn keep(&self, clock: &Arc<dyn Clock>, queue: &QueueName, queues: &Arc<dyn Queue>) -> Infallible {
        let mut troubled = false;
        if self.folder.is_none() {
            return std::future::pending().await;
        }
        loop {
            // A server that does not answer is the worker's business.
            if let Ok(snapshot) = queues.inspect(queue).await {
                let written = self.write(queue, &Note::of(queue, clock.now(), &snapshot)).await;
                if let Err(error) = &written
                    && !troubled
                {
                    warn!(queue = %queue, %error, "The shard's counters cannot be noted.");
                }
                troubled = written.is_err();
            }
            sleep(EVERY).await;
        }
    }

    async fn write(&self, queue: &QueueName, note: &Note) -> std::io::Result<()> {
        let Some(file) = self.file(queue) else { return Ok(()) };
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        // Renamed into place: a crash leaves the old note or the new one.
        let fresh = file.with_extension("new");
        tokio::fs::write(&fresh, serde_json::to_vec(note)?).await?;
        tokio::fs::rename(&fresh, &file).await
    }

    fn file(&self, queue: &QueueName) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{}.json", queue.as_str().replace('/', "_"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_server_is_told_with_the_difference() {
        let note = |birth: &str, items, delivered| Note {
            queue: "q".into(),
            at: 0,
            birth: birth.into(),
            items,
            counts: [("send.delivered".to_owned(), delivered)].into_iter().collect(),
        };
        assert_eq!(note("a", 10, 9).missing(&note("a", 12, 11)), None);
        assert_eq!(
            note("a", 10, 9).missing(&note("b", 2, 1)).as_deref(),
            Some("the queue server was wiped or is another one: items 10 -> 2; send.delivered 9 -> 1"),
        );
        assert_eq!(
            note("a", 10, 9).missing(&note("a", 8, 9)).as_deref(),
            Some("the queue server went back to an older state: items 10 -> 8; "),
        );
    }
}
