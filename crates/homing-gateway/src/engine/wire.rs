//! What carries a session, and what waits for a client that polls.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::oneshot;

use super::{
    packet::{self, Version},
    site::Site,
};
use crate::{
    parcel::{Encoded, Parcel, Payload, Source},
    session::{Close, Link, PollReply, Socket},
};

/// Most packets in the answer to one GET: clients of python-engineio (all versions) take a payload with more for an error
/// and end the session.
const MOST: usize = 16;

/// What carries the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// HTTP requests.
    Polling,
    /// The same, and a WebSocket has probed.
    Probed,
    /// A WebSocket.
    WebSocket,
}

/// The lower half of a session: it takes whole packets.
pub(crate) struct Wire {
    pub(crate) version: Version,
    /// The session has ended, or is about to.
    pub(crate) gone: bool,
    /// More waits for the client than may.
    pub(super) overflow: bool,
    pub(super) carrier: Carrier,
    pub(crate) sid: Arc<str>,
    queue: Option<Box<Queue>>,
}

/// Of a client that polls.
#[derive(Default)]
struct Queue {
    packets: VecDeque<Payload>,
    bytes: usize,
    /// The client said at the start that it cannot take binary.
    base64: bool,
    waiting: Option<(bool, oneshot::Sender<PollReply>)>,
}

/// What a protocol may use while it is called.
pub(crate) struct Out<'a> {
    pub(crate) link: &'a mut dyn Link,
    pub(crate) wire: &'a mut Wire,
    pub(crate) site: &'a Site,
}

impl Out<'_> {
    /// Bytes that wait for the client.
    pub(crate) fn waiting(&self) -> usize {
        self.wire.queue.as_ref().map_or_else(|| self.link.waiting(), |queue| queue.bytes)
    }

    /// Sends a packet, or puts it behind those that wait.
    pub(crate) fn send(&mut self, packet: Payload) {
        self.wire.send(self.link, self.site.settings.poll_buffer, packet);
    }

    /// Sends a parcel that all sessions of this dialect get in the same form; false = it has none. What waits for clients that
    /// poll is the same bytes for all of them.
    pub(crate) fn send_parcel(&mut self, parcel: &Arc<Parcel>) -> bool {
        if self.wire.carrier == Carrier::WebSocket && self.link.send(parcel) {
            return true;
        }
        let (dialect, meta) = (self.wire.version.dialect(), self.site.settings.meta);
        let encode = |source: &Source| crate::socketio::encode(source, dialect, meta).map(Encoded::new);
        let Some(encoded) = parcel.encoded(dialect, encode) else { return false };
        for packet in &encoded.payloads {
            self.send(packet.clone());
        }
        true
    }

    /// Ends the session behind what was sent.
    pub(crate) fn close(&mut self, close: Close) {
        self.wire.close(self.link, close);
    }
}

impl Wire {
    pub(super) fn new(version: Version, base64: bool) -> Self {
        Self {
            version,
            gone: false,
            overflow: false,
            carrier: Carrier::WebSocket,
            sid: Arc::from(""),
            queue: Some(Box::new(Queue { base64, ..Queue::default() })),
        }
    }

    /// It begins, on a WebSocket or without.
    pub(super) fn open(&mut self, sid: Arc<str>, websocket: bool) {
        self.sid = sid;
        if websocket {
            self.queue = None;
        } else {
            self.carrier = Carrier::Polling;
        }
    }

    pub(super) fn send(&mut self, link: &mut dyn Link, room: usize, packet: Payload) {
        if self.gone {
            return;
        }
        let Some(queue) = &mut self.queue else { return link.write(Socket::Main, &packet) };
        queue.bytes += weight(&packet);
        queue.packets.push_back(packet);
        self.overflow |= queue.bytes > room;
    }

    /// Does a GET wait whose client is still there?
    pub(super) fn is_polled(&self) -> bool {
        self.queue.as_ref().and_then(|queue| queue.waiting.as_ref()).is_some_and(|(_, reply)| !reply.is_closed())
    }

    /// Does the client poll, and not at this moment?
    pub(super) fn is_away(&self) -> bool {
        self.carrier != Carrier::WebSocket && !self.is_polled()
    }

    /// A GET came.
    pub(super) fn wait(&mut self, base64: bool, reply: oneshot::Sender<PollReply>) {
        if let Some(queue) = &mut self.queue {
            queue.waiting = Some((base64, reply));
        }
    }

    /// Answers the GET that waits, if there is something for it; true = it took all that was there.
    pub(super) fn flush(&mut self) -> bool {
        self.flush_most(MOST)
    }

    fn flush_most(&mut self, most: usize) -> bool {
        let version = self.version;
        let Some(queue) = &mut self.queue else { return false };
        if queue.packets.is_empty() {
            return false;
        }
        let Some((base64, reply)) = queue.waiting.take() else { return false };
        let body = packet::encode_payload(version, queue.packets.iter().take(most), base64 || queue.base64);
        if reply.send(PollReply { status: 200, body }).is_err() {
            // The client has gone away from this GET; its next one gets the same.
            return false;
        }
        if queue.packets.len() > most {
            let taken: usize = queue.packets.drain(..most).map(|packet| weight(&packet)).sum();
            queue.bytes -= taken;
            return false;
        }
        queue.packets = VecDeque::new();
        queue.bytes = 0;
        true
    }

    /// Answers the GET that waits, with what is there, or else with a packet that says nothing; true = it took something.
    pub(super) fn release(&mut self) -> bool {
        if !self.is_polled() {
            return false;
        }
        if let Some(queue) = &mut self.queue
            && queue.packets.is_empty()
        {
            queue.packets.push_back(packet::text('6', ""));
        }
        self.flush()
    }

    /// The WebSocket carries the session now: what waited for a GET goes there. A GET is answered as all that follow.
    pub(super) fn upgrade(&mut self, link: &mut dyn Link) {
        self.carrier = Carrier::WebSocket;
        let Some(queue) = self.queue.take() else { return };
        for packet in &queue.packets {
            link.write(Socket::Main, packet);
        }
        if let Some((_, reply)) = queue.waiting {
            // Its client may have gone away from it.
            drop(reply.send(PollReply { status: 400, body: Payload::Text(bytes::Bytes::new()) }));
        }
    }

    /// Ends the session; a GET that waits ends with a close packet.
    pub(super) fn close(&mut self, link: &mut dyn Link, close: Close) {
        if !self.gone {
            self.end();
            link.close(close);
        }
    }

    /// It has ended.
    pub(super) fn end(&mut self) {
        self.gone = true;
        if let Some(queue) = &mut self.queue
            && queue.waiting.is_some()
        {
            queue.packets.push_back(packet::text('1', ""));
            self.flush_most(usize::MAX);
        }
        self.queue = None;
    }
}

/// The packet's own weight in the queue counts, too: empty ones are not free.
fn weight(packet: &Payload) -> usize {
    let (Payload::Text(bytes) | Payload::Binary(bytes)) = packet;
    bytes.len() + size_of::<Payload>()
}
