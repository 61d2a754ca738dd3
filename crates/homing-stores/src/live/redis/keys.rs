//! Names of keys and channels; the head of `mod.rs` says what they hold.

use homing_core::live::Stream;

/// The keys below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    schedule: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, schedule: &str) -> Self {
        Self { prefix: prefix.to_owned(), schedule: schedule.to_owned() }
    }

    /// The beginning of all keys of a stream, and for a user of what else is theirs: they share a hash tag.
    pub(super) fn stream(&self, stream: &Stream) -> String {
        format!("{}{{{stream}}}", self.prefix)
    }

    pub(super) fn user(&self, user: &str) -> String {
        format!("{}{{u:{user}}}", self.prefix)
    }

    pub(super) fn presence(&self, user: &str) -> String {
        format!("{}{{u:{user}}}:on", self.prefix)
    }

    pub(super) fn done(&self, user: &str) -> String {
        format!("{}{{u:{user}}}:done", self.prefix)
    }

    pub(super) fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    /// The channel of a shard of the bus; `None` = the one that all hear.
    pub(super) fn channel(&self, shard: Option<u32>) -> String {
        match shard {
            Some(shard) => format!("{}bus:{shard}", self.prefix),
            None => format!("{}bus:all", self.prefix),
        }
    }

    pub(super) fn schedule(&self) -> &str {
        &self.schedule
    }

    /// The dead list beside the schedule.
    pub(super) fn dead(&self) -> String {
        self.beside("dead")
    }

    /// The ids of scheduled messages.
    pub(super) fn schedule_ids(&self) -> String {
        self.beside("ids")
    }

    /// A key in the slot of the schedule.
    fn beside(&self, suffix: &str) -> String {
        let list = &self.schedule;
        let tagged =
            list.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty());
        if tagged { format!("{list}:{suffix}") } else { format!("{{{list}}}:{suffix}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let keys = Keys::new("homing:live:", "websocket:producer:zset");
        assert_eq!(keys.stream(&Stream::User("42".into())), "homing:live:{u:42}");
        assert_eq!(keys.stream(&Stream::Everyone), "homing:live:{all}");
        assert_eq!(keys.user("42"), keys.stream(&Stream::User("42".into())));
        assert_eq!(keys.channel(Some(7)), "homing:live:bus:7");
        assert_eq!(keys.channel(None), "homing:live:bus:all");
        assert_eq!(keys.dead(), "{websocket:producer:zset}:dead");
        assert_eq!(Keys::new("", "{a}b").dead(), "{a}b:dead");
    }
}
