//! What a client of `/ws` remembers so that it can resume: the place of the newest message of each stream. And what the
//! bench remembers to check it: how often each message came.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

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

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    msg_type: &'a str,
    epoch: Option<u32>,
    offset: Option<u64>,
    #[serde(borrow)]
    stream: Option<&'a str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Hello {
    streams: BTreeMap<String, Place>,
}

#[derive(Deserialize)]
struct Place {
    epoch: u32,
    offset: u64,
    recovered: bool,
}

/// Is this the message that says that the session is there?
pub fn greets(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"msg_type\":\"connected\"")
}

impl Following {
    /// What stands in the path of one who comes back: `{"all":[epoch,offset]}`.
    pub fn query(&self) -> String {
        if self.places.is_empty() {
            return String::new();
        }
        let places = serde_json::to_string(&self.places).unwrap_or_default();
        let escaped = places.bytes().map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        });
        format!("&resume={}", escaped.collect::<String>())
    }

    /// Takes note of a message; `number` = its mark's, if it has one.
    pub fn note(&mut self, payload: &[u8], number: Option<u32>) {
        if let Some(number) = number.and_then(|number| usize::try_from(number).ok()) {
            if self.seen.len() <= number {
                self.seen.resize(number + 1, 0);
            }
            self.seen[number] = self.seen[number].saturating_add(1);
        }
        let Ok(message) = serde_json::from_slice::<Message<'_>>(payload) else { return };
        match message {
            Message { stream: Some(stream), epoch: Some(epoch), offset: Some(offset), .. } => {
                self.places.insert(stream.to_owned(), (epoch, offset));
            }
            Message { msg_type: "connected", data: Some(data), .. } => {
                let Ok(hello) = serde_json::from_str::<Hello>(data.get()) else { return };
                for (stream, place) in hello.streams {
                    // What was missed follows; the place moves with it.
                    if self.places.contains_key(&stream) && place.recovered {
                        continue;
                    }
                    self.told |= self.places.insert(stream, (place.epoch, place.offset)).is_some();
                }
            }
            _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_move_with_messages_and_a_hole_is_told() {
        let mut following = Following::default();
        let hello = |offset: u64, recovered: bool| {
            format!(
                "{{\"msg_type\":\"connected\",\"data\":{{\"user\":\"u1\",\"streams\":{{\"all\":{{\"epoch\":7,\"offset\":{offset},\
                 \"recovered\":{recovered},\"truncated\":false}}}}}}}}"
            )
        };
        assert!(greets(hello(0, false).as_bytes()));
        following.note(hello(0, false).as_bytes(), None);
        assert!(!following.told, "nobody asked for anything");
        let message = br#"{"msg_type":"bench","data":{},"id":"x","offset":3,"epoch":7,"stream":"all"}"#;
        following.note(message, Some(2));
        assert_eq!(following.query(), "&resume=%7B%22all%22%3A%5B7%2C3%5D%7D");
        following.note(hello(9, true).as_bytes(), None);
        assert_eq!((following.places["all"], following.told), ((7, 3), false));
        following.note(hello(9, false).as_bytes(), None);
        assert_eq!((following.places["all"], following.told), ((7, 9), true));
        assert_eq!(following.state(1, 3), (2, 0));
    }
}
