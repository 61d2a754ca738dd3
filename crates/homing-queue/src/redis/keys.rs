//! Names of a shard's keys.
//!
//! | key | holds |
//! |---|---|
//! | `q` | the numbered list that producers RPUSH; its items stay until they are finished |
//! | `{q}:own` | string with expiry: the owner's fencing token, see [`owner`](crate::owner) |
//! | `{q}:state` | hash: `epoch`, `first_epoch`, `birth`, `commit` (number of the last commit of this lease), `clean`, `suspect`, `suspicion`, `tail` (head + length of the main list when last looked at); per log `head:L`, `done:L` (checkpoint), `fin:L`; `put:N` (a scanner's cursor) |
//! | `{q}:retry`, `{q}:fanout`, `{q}:wait:APP` | own lists, of envelopes |
//! | `{q}:delayed` | zset by due time (ms); a member is a unique id, a colon and an envelope |
//! | `{q}:dead` | list of dead letters |
//! | `{q}:ledger` | hash of counters |
//! | `{q}:trace` | stream, one entry per commit: field `b`, a blob of records |
//! | `{q}:ids` | zset by time of acceptance (ms): ids of accepted items |
//! | `{q}:seen` | zset by time (ms): ids that the owner has dealt with |
//! | `{q}:cancelled` | zset by end (ms): ids of messages that were taken back |
//! | `{q}:receipts` | zset by time (ms): receipts of devices that were counted |
//! | `homing:board` | hash, one for all shards: notices, see `board.rs` |
//!
//! One hash holds what the commit script reads and writes, so a commit touches few keys. `{q}` in braces makes Redis
//! Cluster hash only `q`, so a shard's keys share the slot of its list; a name that carries a tag of its own
//! (`{p3}message_queue`) gets its suffix without further braces.

use homing_core::queue::{Log, QueueName};

/// The keys of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    list: String,
    base: String,
}

impl Keys {
    pub(crate) fn new(queue: &QueueName) -> Self {
        let list = queue.as_str().to_owned();
        let tagged =
            list.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty());
        let base = if tagged { list.clone() } else { format!("{{{list}}}") };
        Self { list, base }
    }

    pub(crate) fn own(&self) -> String {
        self.suffixed("own")
    }

    pub(crate) fn state(&self) -> String {
        self.suffixed("state")
    }

    pub(crate) fn delayed(&self) -> String {
        self.suffixed("delayed")
    }

    pub(crate) fn dead(&self) -> String {
        self.suffixed("dead")
    }

    pub(crate) fn ledger(&self) -> String {
        self.suffixed("ledger")
    }

    pub(crate) fn trace(&self) -> String {
        self.suffixed("trace")
    }

    pub(crate) fn ids(&self) -> String {
        self.suffixed("ids")
    }

    pub(crate) fn seen(&self) -> String {
        self.suffixed("seen")
    }

    pub(crate) fn cancelled(&self) -> String {
        self.suffixed("cancelled")
    }

    pub(crate) fn receipts(&self) -> String {
        self.suffixed("receipts")
    }

    pub(crate) fn log(&self, log: &Log) -> String {
        if *log == Log::MAIN { self.list.clone() } else { self.suffixed(log.name()) }
    }

    fn suffixed(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_shard_hashes_like_its_list() {
        let plain = Keys::new(&QueueName::new("message_queue_3"));
        assert_eq!(plain.log(&Log::MAIN), "message_queue_3");
        assert_eq!(plain.own(), "{message_queue_3}:own");
        assert_eq!(plain.log(&Log::RETRY), "{message_queue_3}:retry");
        let tagged = Keys::new(&QueueName::new("{p3}message_queue"));
        assert_eq!(tagged.own(), "{p3}message_queue:own");
        let empty_tag = Keys::new(&QueueName::new("a{}b"));
        assert_eq!(empty_tag.own(), "{a{}b}:own");
    }
}
