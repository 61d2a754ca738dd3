//! A server as small as it gets: who is in which room of which namespace, and what everybody hears.

use std::collections::{BTreeMap, BTreeSet};

use homing_gateway::{
    emit::Command,
    engine::packet::Version,
    parcel::{Dialect, Emit, Payload, Rooms, Source},
    socketio,
    topic::Room,
};
use serde_json::Value as Json;

use crate::packet::{self, Heard};

/// By namespace and session.
type Sessions = BTreeMap<(String, String), BTreeSet<Room>>;

#[derive(Clone, Default)]
pub(crate) struct Model {
    sessions: Sessions,
    pub(crate) heard: BTreeMap<(String, String), Vec<Heard>>,
    /// Sessions that left, and whether their connections ended, too.
    pub(crate) left: Vec<(String, String, bool)>,
}

pub(crate) fn named(name: &str) -> Room {
    Room::Name(name.into())
}

impl Model {
    pub(crate) fn new(population: &Json) -> Self {
        let mut model = Self::default();
        for (namespace, sids) in population.as_object().unwrap() {
            for (sid, rooms) in sids.as_object().unwrap() {
                let rooms = rooms.as_array().unwrap().iter().map(|room| match room.as_str().unwrap() {
                    "<int 42, not the string>" => Room::Number(42),
                    name => named(name),
                });
                // Each session is a room of its own.
                let rooms = rooms.chain([named(sid)]).collect();
                model.sessions.insert((namespace.clone(), sid.clone()), rooms);
            }
        }
        model
    }

    /// The sessions of a room, in order.
    pub(crate) fn members(&self, namespace: &str, room: &Room) -> Vec<String> {
        let all = self.sessions.iter().filter(|((ns, _), rooms)| ns == namespace && rooms.contains(room));
        all.map(|((_, sid), _)| sid.clone()).collect()
    }

    fn whom(&self, namespace: &str, rooms: &Rooms) -> Vec<(String, String)> {
        let wanted = |own: &BTreeSet<Room>| {
            (rooms.to.is_empty() || rooms.to.iter().any(|room| own.contains(room)))
                && !rooms.except.iter().any(|room| own.contains(room))
        };
        let all = self.sessions.iter().filter(|((ns, _), own)| ns == namespace && wanted(own));
        all.map(|(key, _)| key.clone()).collect()
    }

    /// What a command does; `false` = it was ignored.
    pub(crate) fn apply(&mut self, command: &Command) -> bool {
        let namespace = command.namespace().to_string();
        let key = |sid: &str| (namespace.clone(), sid.to_owned());
        match command {
            Command::Emit { emit, rooms, callback, .. } => {
                let packets = packets(emit, callback.is_some());
                for key in self.whom(&namespace, rooms) {
                    self.heard.entry(key).or_default().extend(packets.iter().cloned());
                }
            }
            Command::Enter { sid, room, .. } => {
                self.sessions.get_mut(&key(sid)).unwrap().insert(room.clone());
            }
            Command::Leave { sid, room, .. } => {
                self.sessions.get_mut(&key(sid)).unwrap().remove(room);
            }
            Command::CloseRoom { room, .. } => {
                for ((ns, _), rooms) in &mut self.sessions {
                    if *ns == namespace {
                        rooms.remove(room);
                    }
                }
            }
            Command::Disconnect { sid, close, .. } => self.leave(key(sid), *close),
            Command::EnterAll { whom, rooms, .. } => {
                for key in self.whom(&namespace, whom) {
                    self.sessions.get_mut(&key).unwrap().extend(rooms.iter().cloned());
                }
            }
            Command::LeaveAll { whom, rooms, .. } => {
                for key in self.whom(&namespace, whom) {
                    self.sessions.get_mut(&key).unwrap().retain(|room| !rooms.contains(room));
                }
            }
            Command::DisconnectAll { whom, close, .. } => {
                for key in self.whom(&namespace, whom) {
                    self.leave(key, *close);
                }
            }
            Command::Answer { .. } | Command::Ignored { .. } => return false,
        }
        true
    }

    fn leave(&mut self, key: (String, String), close: bool) {
        self.sessions.remove(&key).unwrap();
        self.left.push((key.1, key.0, close));
    }
}

/// The packets that a client of Engine.IO 4 gets, by the code that writes them in production.
fn packets(emit: &Emit, wants_ack: bool) -> Vec<Heard> {
    let payloads = if wants_ack {
        socketio::packet::event(Version::V4, &emit.namespace, Some(1), &emit.array, &emit.binary)
    } else {
        socketio::encode(&Source::Emit(emit.clone()), Dialect::Engine4, false).unwrap()
    };
    let heard = payloads.into_iter().map(|payload| match payload {
        Payload::Text(text) => packet::read(std::str::from_utf8(&text).unwrap().strip_prefix('4').unwrap()),
        Payload::Binary(bytes) => Heard::Binary(bytes.to_vec()),
    });
    heard.collect()
}
