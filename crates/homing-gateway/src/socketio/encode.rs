//! Parcels as Socket.IO clients hear them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use homing_core::{
    live::{Position, Stream},
    wire_live::Message,
};

use super::{json, packet};
use crate::{
    engine::packet::Version,
    parcel::{Dialect, Payload, Source},
};

/// An event, ready for any number of clients.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) array: Bytes,
    pub(crate) binary: Vec<Bytes>,
}

/// The packets of a parcel: an emit is its event; a message is the event named by its kind, in namespace `/`, with its data
/// as the argument, unless it says which emit it was. `meta`: behind the arguments of a message stands which one it is.
/// `None`: the dialect is none of these, or the event has a name that would end the client's connection.
pub fn encode(source: &Source, dialect: Dialect, meta: bool) -> Option<Vec<Payload>> {
    let version = match dialect {
        Dialect::Engine3 => Version::V3,
        Dialect::Engine4 => Version::V4,
        Dialect::Plain => return None,
    };
    if let Source::Ready(of, payloads) = source {
        return (*of == dialect).then(|| payloads.clone());
    }
    let namespace = namespace(source)?;
    let ready = ready(source, meta)?;
    Some(packet::event(version, namespace, None, &ready.array, &ready.binary))
}

/// Where a parcel belongs; `None` for what is no event.
pub(crate) fn namespace(source: &Source) -> Option<&str> {
    match source {
        Source::Emit(emit) => Some(&emit.namespace),
        Source::Message { message, .. } => Some(message.emit.as_ref().map_or("/", |emit| &emit.namespace)),
        Source::Ready(..) => None,
    }
}

/// The event of a parcel, for packets of one's own.
pub(crate) fn ready(source: &Source, meta: bool) -> Option<Ready> {
    let ready = match source {
        Source::Emit(emit) => Ready { array: emit.array.clone(), binary: emit.binary.clone() },
        Source::Message { stream, at, message } => of_message(stream, *at, message, meta)?,
        Source::Ready(..) => return None,
    };
    let array = json::array(std::str::from_utf8(&ready.array).ok()?)?;
    let reserved = array.name().is_some_and(|name| packet::RESERVED.contains(&name.as_str()));
    (!reserved).then_some(ready)
}

fn of_message(stream: &Stream, at: Option<Position>, message: &Message, meta: bool) -> Option<Ready> {
    let (mut args, binary) = match &message.emit {
        Some(emit) => {
            let args = json::array(emit.args.get().trim())?;
            let comma = if args.rest.is_empty() { "" } else { "," };
            let binary: Result<Vec<Bytes>, _> =
                emit.binary.iter().map(|text| STANDARD.decode(text).map(Bytes::from)).collect();
            (format!("{}{comma}{}", args.first, args.rest), binary.ok()?)
        }
        None => (message.data.get().to_owned(), Vec::new()),
    };
    if meta {
        let comma = if args.is_empty() { "" } else { "," };
        let id = json::text(&message.id);
        let stream = json::text(&stream.to_string());
        let place = at.map_or_else(String::new, |at| format!(r#","offset":{},"epoch":{}"#, at.offset, at.epoch));
        args = format!(r#"{args}{comma}{{"id":{id},"stream":{stream}{place}}}"#);
    }
    Some(Ready { array: json::prepend(&json::text(&message.kind), &args).into(), binary })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::parcel::Emit;

    fn message(body: &str) -> Source {
        Source::Message {
            stream: Stream::User("42".into()),
            at: Some(Position { epoch: 7, offset: 9 }),
            message: Message::decode(body.as_bytes()).unwrap(),
        }
    }

    #[track_caller]
    fn check(source: &Source, dialect: Dialect, meta: bool, expected: &[&str]) {
        let shown: Vec<String> = encode(source, dialect, meta)
            .unwrap()
            .iter()
            .map(|payload| match payload {
                Payload::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Payload::Binary(bytes) => format!("{:?}", bytes.to_vec()),
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn messages_are_events_named_by_their_kind() {
        let plain = message(r#"{"id":"a1","type":"notify","data":{"n":123456789012345678901234567890}}"#);
        check(&plain, Dialect::Engine4, false, &[r#"42["notify",{"n":123456789012345678901234567890}]"#]);
        let meta =
            r#"42["notify",{"n":123456789012345678901234567890},{"id":"a1","stream":"u:42","offset":9,"epoch":7}]"#;
        check(&plain, Dialect::Engine3, true, &[meta]);
        assert!(encode(&plain, Dialect::Plain, false).is_none());
    }

    #[test]
    fn durable_emits_are_repeated_as_they_were() {
        let emit = message(
            r#"{"id":"1","type":"bin","emit":{"ns":"/chat","args":[1.10,{"_placeholder":true,"num":0}],"binary":["AAE="]}}"#,
        );
        let text = r#"451-/chat,["bin",1.10,{"_placeholder":true,"num":0}]"#;
        check(&emit, Dialect::Engine4, false, &[text, "[0, 1]"]);
        check(&emit, Dialect::Engine3, false, &[text, "[4, 0, 1]"]);
        check(
            &message(r#"{"id":"1","type":"e","emit":{"ns":"/","args":[]}}"#),
            Dialect::Engine4,
            false,
            &[r#"42["e"]"#],
        );
        let broken = message(r#"{"id":"1","type":"e","emit":{"ns":"/","args":[],"binary":["*"]}}"#);
        assert!(encode(&broken, Dialect::Engine4, false).is_none());
    }

    #[test]
    fn emits_pass_as_they_are_but_reserved_names_do_not() {
        let emit = |array: &'static [u8]| {
            Source::Emit(Emit { namespace: "/".into(), array: Bytes::from_static(array), binary: Vec::new() })
        };
        check(&emit(br#"["e",1,"\u5c0f"]"#), Dialect::Engine4, true, &[r#"42["e",1,"\u5c0f"]"#]);
        assert!(encode(&emit(br#"["disconnect"]"#), Dialect::Engine4, false).is_none());
        assert!(encode(&emit(b"{}"), Dialect::Engine4, false).is_none());
        let ready = Source::Ready(Dialect::Engine3, vec![Payload::Text(Bytes::from_static(b"x"))]);
        check(&ready, Dialect::Engine3, false, &["x"]);
        assert!(encode(&ready, Dialect::Engine4, false).is_none());
    }
}
