//! What a client of `/ws` remembers so that it can resume: the place of the newest message of each stream. And what the
//! bench remembers to check it: how often each message came.

use std::collections::BTreeMap;

/// A client's memory.
#[derive(Debug, Default)]
pub struct Following {
    /// Stream → (epoch, offset).
    places: BTreeMap<String, (u32, u64)>,
    /// How often message n came.
    seen: Vec<u8>,
    /// It was told that something is missing.
    pub told: bool,
    /// How often it came back.
    pub resumed: u32,
}

/// Is this the message that says that the session is there?
pub fn greets(payload: &[u8]) -> bool {
    memchr::memmem::find(payload, b"\"ready\"").is_some()
}

impl Following {
    /// What stands in the path of one who comes back.
    pub fn query(&self) -> String {
        let places: Vec<String> =
            self.places.iter().map(|(stream, (epoch, offset))| format!("{stream}@{epoch}:{offset}")).collect();
        if places.is_empty() { String::new() } else { format!("&resume={}", places.join(",")) }
    }

    /// Takes note of a message; `number` = its mark's, if it has one.
    pub fn note(&mut self, payload: &[u8], number: Option<u32>) {
        let _ = payload;
        if let Some(number) = number.and_then(|number| usize::try_from(number).ok()) {
            if self.seen.len() <= number {
                self.seen.resize(number + 1, 0);
            }
            self.seen[number] = self.seen[number].saturating_add(1);
        }
    }

    /// Of the messages `first` to `last`: how many are missing, and how many came more than once.
    pub fn state(&self, first: u32, last: u32) -> (u32, u32) {
        let count = |n: u32| self.seen.get(n as usize).copied().unwrap_or(0);
        (first..=last).fold((0, 0), |(missing, repeated), n| match count(n) {
            0 => (missing + 1, repeated),
            1 => (missing, repeated),
            _ => (missing, repeated + 1),
        })
    }
}
