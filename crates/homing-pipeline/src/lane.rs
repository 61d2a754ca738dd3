//! A lane: one kind of traffic with its own queues, from end to end.

use homing_core::queue::QueueName;

/// A family of numbered lists: `message_queue_{n}`, numbered from `first`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    template: String,
    first: u32,
    count: u32,
}

/// Most lists of a family: each has a lease, and several keys, of its own.
const MOST: u32 = 10_000;

/// A queue template that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Several shards need several names.
    #[error("`{0}` needs the place holder {{n}}: it has more than one shard")]
    NoNumber(String),
    /// A family has at least one list.
    #[error("`{0}` must have at least one shard")]
    NoShard(String),
    /// A list has a name that an operator can type.
    #[error("`{}` is no name of a list: it is empty or has control characters", .0.escape_debug())]
    NoName(String),
    /// More than anybody has, or numbers beyond 32 bits.
    #[error("`{0}` has too many shards: at most {MOST}, with numbers below 4294967296")]
    TooMany(String),
}

impl Shards {
    /// `count` lists named by `template`, in which `{n}` stands for the number. Without `{n}` there is one list.
    ///
    /// # Errors
    /// No name, several shards without `{n}`, none at all, or too many.
    pub fn new(template: &str, first: u32, count: u32) -> Result<Self, TemplateError> {
        if template.is_empty() || template.contains(char::is_control) {
            return Err(TemplateError::NoName(template.to_owned()));
        }
        if count == 0 {
            return Err(TemplateError::NoShard(template.to_owned()));
        }
        if count > 1 && !template.contains("{n}") {
            return Err(TemplateError::NoNumber(template.to_owned()));
        }
        if count > MOST || first.checked_add(count).is_none() {
            return Err(TemplateError::TooMany(template.to_owned()));
        }
        Ok(Self { template: template.to_owned(), first, count })
    }

    /// The list with this number.
    pub fn name(&self, number: u32) -> QueueName {
        // Literal braces in a template are doubled: `{{p{n}}}message_queue` is `{p3}message_queue`.
        let text = self.template.replace("{n}", &number.to_string()).replace("{{", "{").replace("}}", "}");
        QueueName::new(text)
    }

    /// The numbers of all lists.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        self.first..self.first + self.count
    }

    /// The list for a recipient or conversation: by CRC-32 of its id, which every producer's language has.
    pub fn of(&self, key: &str) -> QueueName {
        self.name(self.first + crc32fast::hash(key.as_bytes()) % self.count)
    }

    /// All lists.
    pub fn all(&self) -> Vec<QueueName> {
        self.numbers().map(|n| self.name(n)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn names_are_numbered_from_the_first() {
        let shards = Shards::new("higo_group_chat_message{n}", 1, 3).unwrap();
        let names: Vec<String> = shards.all().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["higo_group_chat_message1", "higo_group_chat_message2", "higo_group_chat_message3"]);
        assert_eq!(Shards::new("hg_message_queue", 1, 1).unwrap().of("42").as_str(), "hg_message_queue");
        assert_eq!(Shards::new("{{p{n}}}q", 3, 1).unwrap().of("42").as_str(), "{p3}q");
        assert_eq!(Shards::new("q", 1, 2), Err(TemplateError::NoNumber("q".into())));
        let many = |first, count| Shards::new("q{n}", first, count).unwrap_err().to_string();
        assert_eq!(many(1, 10_001), "`q{n}` has too many shards: at most 10000, with numbers below 4294967296");
        assert_eq!(many(u32::MAX, 1), many(1, u32::MAX));
        let nameless = |template| Shards::new(template, 1, 1).unwrap_err().to_string();
        assert_eq!(nameless(""), "`` is no name of a list: it is empty or has control characters");
        assert_eq!(nameless("q\0"), "`q\\0` is no name of a list: it is empty or has control characters");
    }

    #[test]
    fn the_same_key_always_has_the_same_list() {
        // crc32("42") is 841265288, as PHP says too; modulo 7 that is 3.
        let shards = Shards::new("q{n}", 1, 7).unwrap();
        assert_eq!(shards.of("42").as_str(), "q4");
    }
}
