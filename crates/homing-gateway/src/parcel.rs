//! A message in every form that a session may need, each made at most once.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use homing_core::{
    live::{Position, Stream},
    wire_live::Message,
};

use crate::{net::frame, topic::Room};

/// What a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Frames of the plain WebSocket.
    Plain,
    /// Socket.IO 5 on Engine.IO 4.
    Engine4,
    /// Socket.IO 4 on Engine.IO 3.
    Engine3,
}

/// One WebSocket message, or one Engine.IO packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Text: valid UTF-8.
    Text(Bytes),
    /// Binary.
    Binary(Bytes),
}

/// A Socket.IO event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// The namespace, `/` or `/chat`.
    pub namespace: Arc<str>,
    /// The whole array as JSON text, event's name first, with placeholders where there is binary.
    pub array: Bytes,
    /// The attachments, in the order of the placeholders.
    pub binary: Vec<Bytes>,
}

/// What a parcel is made of.
#[derive(Debug)]
pub enum Source {
    /// A message of a stream; `at` is missing for what was not stored.
    Message {
        /// The stream.
        stream: Stream,
        /// Its place there.
        at: Option<Position>,
        /// The message.
        message: Message,
    },
    /// An emit: only Socket.IO sessions hear it.
    Emit(Emit),
    /// Ready-made, for one dialect: a notice that messages were read, say. Sessions of other dialects do not hear it.
    Ready(Dialect, Vec<Payload>),
}

/// A message in one dialect.
#[derive(Debug)]
pub struct Encoded {
    /// The packets, for a session that polls.
    pub payloads: Vec<Payload>,
    /// The same as WebSocket frames of a server, one behind the other, for one write.
    pub wire: Bytes,
    /// The same, compressed without a context (permessage-deflate), made for the first socket that wants it.
    pub deflated: OnceLock<Bytes>,
}

impl Encoded {
    /// Of these packets.
    pub(crate) fn new(payloads: Vec<Payload>) -> Self {
        let wire = frame::wire(&payloads);
        Self { payloads, wire, deflated: OnceLock::new() }
    }
}

/// A message, encoded as often as there are dialects and no more.
#[derive(Debug)]
pub struct Parcel {
    /// What it is made of.
    pub source: Source,
    plain: OnceLock<Option<Arc<Encoded>>>,
    engine4: OnceLock<Option<Arc<Encoded>>>,
    engine3: OnceLock<Option<Arc<Encoded>>>,
}

impl Parcel {
    /// Of this source.
    pub fn new(source: Source) -> Self {
        Self { source, plain: OnceLock::new(), engine4: OnceLock::new(), engine3: OnceLock::new() }
    }

    /// In this dialect, made by `encode` unless it is there; `None` where the dialect has no form of it.
    pub fn encoded(&self, dialect: Dialect, encode: impl FnOnce(&Source) -> Option<Encoded>) -> Option<&Arc<Encoded>> {
        let slot = match dialect {
            Dialect::Plain => &self.plain,
            Dialect::Engine4 => &self.engine4,
            Dialect::Engine3 => &self.engine3,
        };
        slot.get_or_init(|| encode(&self.source).map(Arc::new)).as_ref()
    }
}

/// Makes the forms of parcels: one function per dialect, chosen by configuration.
pub trait Encode: Send + Sync {
    /// The packets of `source` in `dialect`; `None` where the dialect has no form of it.
    fn encode(&self, source: &Source, dialect: Dialect) -> Option<Vec<Payload>>;
}

/// Sessions that a delivery is for, and those that it spares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    /// These rooms of the namespace; empty = all of it.
    pub to: Vec<Room>,
    /// But nobody who is in one of these.
    pub except: Vec<Room>,
}
