//! A Socket.IO packet without what may differ between servers that mean the same: escapes, the order of keys, ack ids.

use serde_json::Value as Json;

/// What a client hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Packet { kind: char, attachments: String, namespace: String, wants_ack: bool, array: Json },
    Binary(Vec<u8>),
}

/// Reads a packet without Engine.IO's type in front of it.
pub(crate) fn read(text: &str) -> Heard {
    let (kind, mut rest) = text.split_at(1);
    let mut attachments = String::new();
    if let Some((count, behind)) = rest.split_once('-').filter(|(count, _)| count.bytes().all(|b| b.is_ascii_digit())) {
        (attachments, rest) = (count.to_owned(), behind);
    }
    let mut namespace = "/".to_owned();
    if rest.starts_with('/') {
        let (name, behind) = rest.split_once(',').unwrap();
        (namespace, rest) = (name.to_owned(), behind);
    }
    let json = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    Heard::Packet {
        kind: kind.chars().next().unwrap(),
        attachments,
        namespace,
        wants_ack: json.len() < rest.len(),
        array: serde_json::from_str(json).unwrap(),
    }
}
