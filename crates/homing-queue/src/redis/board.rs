//! The notice board: one small hash for all processes of an installation, and who is told that it changed.
//!
//! It is read on a connection of its own that has `CLIENT TRACKING`, like a shard's: the server remembers who read it
//! and announces the next change. Notices are put up on the shared connection, so that a process hears of its own, too.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use homing_core::queue::{BOARD, Error, MAX_NOTICE, MAX_NOTICES, QueueName, Result};
use redis::{Client, Value, aio::ConnectionManager};
use tokio::sync::{Mutex, Notify};

use super::{
    link::Link,
    script::{Scripts, number, pairs, text, unavailable, unexpected},
};

/// See the module.
pub(super) struct Board {
    wake: Arc<Notify>,
    link: Mutex<Link>,
}

impl Board {
    /// Connects at the first look.
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        let link = Link::new(client, timeout);
        Self { wake: link.wake(), link: Mutex::new(link) }
    }

    pub(super) async fn read(&self) -> Result<BTreeMap<String, String>> {
        let mut all = redis::cmd("HGETALL");
        all.arg(BOARD);
        let answer = self.link.lock().await.ask(&all).await.map_err(unavailable)?;
        match answer {
            Value::Map(pairs) => Ok(pairs.iter().map(|(key, notice)| (text(key), text(notice))).collect()),
            Value::Array(flat) => {
                let lossy = |(key, notice): (String, Vec<u8>)| (key, String::from_utf8_lossy(&notice).into_owned());
                Ok(pairs(flat).into_iter().map(lossy).collect())
            }
            other => Err(unexpected("HGETALL", &other)),
        }
    }

    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }
}

/// Puts a notice up, or takes it down.
pub(super) async fn post(
    scripts: &Scripts,
    mut connection: ConnectionManager,
    key: &str,
    notice: Option<&str>,
) -> Result<()> {
    let board = || QueueName::new(BOARD);
    let size = key.len().max(notice.map_or(0, str::len));
    if size > MAX_NOTICE {
        return Err(Error::TooLarge { queue: board(), size });
    }
    let mut cmd = scripts.post.call(1);
    cmd.arg(BOARD).arg(MAX_NOTICES).arg(key).arg(notice);
    let answer = scripts.post.run(&cmd, &mut connection).await.map_err(unavailable)?;
    match number(&answer) {
        Some(0) => Ok(()),
        Some(-3) => Err(Error::Full(board())),
        _ => Err(unexpected("post", &answer)),
    }
}
