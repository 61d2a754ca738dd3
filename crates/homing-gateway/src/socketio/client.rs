//! Who handles the events of clients where Homing is not just a way out: a hook of a site. Homing's own sites have none;
//! the fixture for the protocol's suites has one. And what Homing's own sites do with what clients say.

use std::sync::Arc;

use bytes::Bytes;
use homing_core::live::{MAX_ID, MAX_NAME};
use metrics::counter;
use serde::Deserialize;

use super::{
    Socketio,
    ask::{Asker, Call, answer},
    json,
    packet::{self, Assembly, Kind, Malformed, Packet},
};
use crate::{
    desk::Ask,
    engine::{Out, meter, packet::Version},
    parcel::Payload,
    topic::{Room, Topic},
};

/// Ids that one event may name.
const MAX_IDS: usize = 1_000;

/// Handles connects and events. Its methods are called on the threads that write to sockets, and are quick.
pub trait Events: Send + Sync {
    /// A client has connected to a namespace; `auth` is the JSON object that it sent along, if it did.
    fn connected(&self, namespace: &str, auth: Option<&str>, say: &mut Say) {
        let _ = (namespace, auth, say);
    }

    /// A client sent an event.
    fn event(&self, event: &Event<'_>, say: &mut Say) {
        let _ = (event, say);
    }
}

/// An event of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Its name, as JSON: a text or a number.
    pub name: &'a str,
    /// Its arguments as JSON, with commas between them and no brackets.
    pub args: &'a str,
    /// The attachments.
    pub binary: &'a [Bytes],
    /// The client waits for an acknowledgement.
    pub wants_ack: bool,
}

/// What the handler says to the client, in order.
#[derive(Debug, Default)]
pub struct Say {
    pub(crate) said: Vec<Said>,
}

#[derive(Debug)]
pub(crate) enum Said {
    Event(String, Vec<Bytes>),
    Ack(String, Vec<Bytes>),
}

impl Say {
    /// An event: its name, its arguments as JSON with commas between them, its attachments.
    pub fn emit(&mut self, name: &str, args: &str, binary: &[Bytes]) {
        self.said.push(Said::Event(super::json::prepend(&super::json::text(name), args), binary.to_vec()));
    }

    /// The acknowledgement of the event in hand; without one, or where none is wanted, it is not sent.
    pub fn ack(&mut self, args: &str, binary: &[Bytes]) {
        self.said.push(Said::Ack(format!("[{args}]"), binary.to_vec()));
    }
}

/// What `ack` and `read` say.
#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    id: Option<Arc<str>>,
    #[serde(default)]
    ids: Vec<Arc<str>>,
}

impl Socketio {
    /// The client sent an Engine.IO message.
    ///
    /// # Errors
    /// It is no packet of Socket.IO: the connection ends.
    pub(crate) fn message(&mut self, out: &mut Out<'_>, content: Payload) -> Result<(), Malformed> {
        self.look(out);
        match content {
            Payload::Binary(bytes) => {
                let assembly = self.assembly.as_mut().ok_or(Malformed("an attachment of nothing"))?;
                if assembly.add(bytes)?
                    && let Some(whole) = self.assembly.take()
                {
                    self.packet(out, &whole.text, &whole.binary)?;
                }
                Ok(())
            }
            Payload::Text(_) if self.assembly.is_some() => Err(Malformed("a text in place of an attachment")),
            Payload::Text(text) => {
                let parsed = Packet::parse(as_text(&text)?)?;
                if parsed.attachments > 0 {
                    let room = out.site.settings.max_payload;
                    self.assembly = Some(Box::new(Assembly::new(text.clone(), parsed.attachments, room)));
                    return Ok(());
                }
                self.packet(out, &text, &[])
            }
        }
    }

    fn packet(&mut self, out: &mut Out<'_>, text: &Bytes, binary: &[Bytes]) -> Result<(), Malformed> {
        let packet = Packet::parse(as_text(text)?)?;
        match packet.kind {
            Kind::Connect => {
                let token = self.token(out, &packet);
                self.connect(out, packet.namespace, token, Some(packet.json).filter(|json| !json.is_empty()));
            }
            Kind::Disconnect => self.leave(out, packet.namespace),
            Kind::Event => self.event(out, &packet, binary),
            Kind::Ack => self.acked(out, &packet, binary),
        }
        Ok(())
    }

    /// The token of a connect: of its payload (protocol 5), or of the namespace's query (4).
    fn token(&self, out: &Out<'_>, packet: &Packet<'_>) -> Option<String> {
        let key = &out.site.settings.token_query;
        match out.wire.version {
            Version::V4 => {
                let payload: serde_json::Map<String, serde_json::Value> = serde_json::from_str(packet.json).ok()?;
                payload.get(key)?.as_str().map(str::to_owned)
            }
            Version::V3 => {
                let mut pairs = url::form_urlencoded::parse(packet.query.as_bytes());
                pairs.find(|(name, _)| name == key).map(|(_, token)| token.into_owned())
            }
        }
    }

    fn event(&mut self, out: &mut Out<'_>, packet: &Packet<'_>, binary: &[Bytes]) {
        let (Some(namespace), Some(array)) = (self.connected(packet.namespace), json::array(packet.json)) else {
            // It left meanwhile, or was never there.
            return counter!(meter::EVENTS, "result" => "not connected").increment(1);
        };
        if out.site.part.as_ref().is_some_and(|part| part.events.is_some()) {
            let event = Event {
                namespace: &namespace,
                name: array.first,
                args: array.rest,
                binary,
                wants_ack: packet.id.is_some(),
            };
            counter!(meter::EVENTS, "result" => "handled").increment(1);
            return self.say(out, &namespace, packet.id, |events, say| events.event(&event, say));
        }
        let asker = Asker { namespace: Arc::clone(&namespace), id: packet.id };
        let others = format!("[{}]", array.rest);
        let argument = json::array(&others).map_or("", |array| array.first);
        let settings = &out.site.settings;
        let known = match array.name().as_deref() {
            Some("ack" | "read") => self.seen(out, argument, asker),
            Some("rpc") if settings.rpc && !argument.is_empty() => {
                self.call(out, Call { text: argument.to_owned(), asker });
                true
            }
            Some("join") if !settings.client_rooms.is_empty() => room(out, &namespace, argument, &asker, true),
            Some("leave") if !settings.client_rooms.is_empty() => room(out, &namespace, argument, &asker, false),
            _ => false,
        };
        counter!(meter::EVENTS, "result" => if known { "handled" } else { "ignored" }).increment(1);
    }

    fn seen(&mut self, out: &mut Out<'_>, argument: &str, asker: Asker) -> bool {
        let Ok(Seen { id, mut ids }) = serde_json::from_str::<Seen>(argument) else {
            answer(out, &asker, r#"{"error":"expected {id} or {ids}"}"#);
            return false;
        };
        ids.extend(id);
        if ids.is_empty() || ids.len() > MAX_IDS || ids.iter().any(|id| id.len() > MAX_ID) {
            answer(out, &asker, r#"{"error":"from 1 to 1000 ids"}"#);
            return false;
        }
        self.mark_asked(out, ids, asker);
        true
    }

    fn acked(&mut self, out: &mut Out<'_>, packet: &Packet<'_>, binary: &[Bytes]) {
        let now = out.link.now();
        let due = match (packet.id, &mut self.acks) {
            (Some(id), Some(acks)) => acks.take(now, packet.namespace, id),
            _ => None,
        };
        let Some(due) = due else { return counter!(meter::ACKS, "result" => "unknown").increment(1) };
        counter!(meter::ACKS, "result" => "taken").increment(1);
        if let Some(route) = due.callback {
            out.link.ask(Ask::Callback { route, args: packet.json.to_owned(), binary: binary.to_vec() });
        }
        self.mark_proven(out, due.read.into_iter().collect());
    }

    /// Lets the hook say something.
    pub(super) fn say(
        &mut self,
        out: &mut Out<'_>,
        namespace: &Arc<str>,
        mut id: Option<u64>,
        hook: impl FnOnce(&dyn Events, &mut Say),
    ) {
        let Some(events) = out.site.part.as_ref().and_then(|part| part.events.as_deref()) else { return };
        let mut say = Say::default();
        hook(events, &mut say);
        let version = out.wire.version;
        for said in say.said {
            let packets = match said {
                Said::Event(array, binary) => packet::event(version, namespace, None, array.as_bytes(), &binary),
                Said::Ack(array, binary) => match id.take() {
                    Some(id) => packet::ack(version, namespace, id, array.as_bytes(), &binary),
                    None => continue,
                },
            };
            for packet in packets {
                out.send(packet);
            }
        }
    }
}

/// A client joins or leaves a room, if the configuration lets it.
fn room(out: &mut Out<'_>, namespace: &Arc<str>, argument: &str, asker: &Asker, join: bool) -> bool {
    let name: Option<Arc<str>> = serde_json::from_str(argument).ok();
    let prefixes = &out.site.settings.client_rooms;
    let allowed = |name: &Arc<str>| {
        name.len() <= MAX_NAME && prefixes.iter().any(|prefix| prefix == "*" || name.starts_with(prefix.as_str()))
    };
    let Some(name) = name.filter(allowed) else {
        answer(out, asker, r#"{"error":"this room is not open to clients"}"#);
        return false;
    };
    let topic = Topic::Room(Arc::clone(namespace), Room::Name(name));
    if join {
        out.link.join(topic);
    } else {
        out.link.leave(&topic);
    }
    answer(out, asker, "true");
    true
}

fn as_text(bytes: &Bytes) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("its text"))
}
