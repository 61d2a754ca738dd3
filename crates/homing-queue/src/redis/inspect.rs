//! Asks for a consistent picture of one shard, and reads the answer.

use std::collections::HashMap;

use homing_core::queue::{Log, LogDepth, Result, Snapshot};
use redis::{Cmd, Value};

use super::{
    keys::Keys,
    script::{Scripts, array, number, pairs, text},
    shard::values_of,
};

/// A picture, and how much of the main list is known to have come in (the `tail` of the state hash).
pub(super) struct Picture {
    pub(super) snapshot: Snapshot,
    pub(super) tail: u64,
}

/// What an answer was: the picture, or the lists to ask again with, because one came between two questions.
pub(super) enum Seen {
    Whole(Box<Picture>),
    Again(Vec<Log>),
}

/// The question for these lists of a shard.
pub(super) fn call(scripts: &Scripts, keys: &Keys, logs: &[Log]) -> Cmd {
    let mut cmd = scripts.inspect.call(5 + logs.len());
    cmd.arg(keys.own()).arg(keys.state()).arg(keys.delayed()).arg(keys.dead()).arg(keys.ledger());
    for log in logs {
        cmd.arg(keys.log(log));
    }
    cmd
}

/// Reads the answer to [`call`] with the same lists.
pub(super) fn read(answer: Value, logs: &[Log]) -> Result<Seen> {
    let mut parts = array("inspect", answer)?.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let owner = text(&next());
    let (delayed, next_due, dead) = (count(&next()), number(&next()), count(&next()));
    let state: HashMap<String, Vec<u8>> = pairs(array("inspect", next())?).into_iter().collect();
    // A list that came between the two questions would be missing in the sums: then ask again.
    let known = logs_in(state.keys().cloned());
    if known.len() > logs.len() {
        return Ok(Seen::Again(known));
    }
    let counts = pairs(array("inspect", next())?)
        .into_iter()
        .map(|(field, n)| (field, String::from_utf8_lossy(&n).parse().unwrap_or(0)))
        .collect();
    let of = |field: &str| state.get(field).and_then(|v| String::from_utf8_lossy(v).parse().ok()).unwrap_or(0);
    let depth = |log: &Log| LogDepth {
        head: of(&format!("head:{}", log.name())),
        finished: of(&format!("fin:{}", log.name())),
        length: count(&next()),
        log: log.clone(),
    };
    let logs = logs.iter().map(depth).collect();
    let snapshot = Snapshot {
        owner: Some(owner).filter(|o| !o.is_empty()),
        birth: state.get("birth").map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default(),
        logs,
        delayed,
        next_due,
        dead,
        counts,
        values: values_of(&state),
    };
    Ok(Seen::Whole(Box::new(Picture { snapshot, tail: of("tail") })))
}

/// The logs that the fields of a state hash name; `main` and `retry` always.
pub(super) fn logs_in(fields: impl Iterator<Item = String>) -> Vec<Log> {
    let mut logs = vec![Log::MAIN, Log::RETRY];
    for field in fields {
        if let Some(name) = field.strip_prefix("head:") {
            let log = Log::named(name.to_owned());
            if !logs.contains(&log) {
                logs.push(log);
            }
        }
    }
    logs
}

fn count(value: &Value) -> u64 {
    number(value).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}
