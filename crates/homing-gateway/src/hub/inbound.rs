//! What comes over a socket: the first request, then frames.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use flate2::Decompress;

use super::{
    shard::{Arrival, Mail},
    slots::NONE,
    socket::Phase,
    state::State,
};
use crate::{
    net::{
        deflate::{self, Inflate},
        frame::{self, opcode},
        handshake::{self, Upgrade},
        http::HttpIo,
        io::Io,
        parser::{self, Event, Fault, Limits},
    },
    parcel::Payload,
    session::{Admission, Close, Request, Socket, code},
};

/// The longest head of a request.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 96;

/// What the first request says.
enum Head {
    /// It has not come yet.
    Partial,
    /// It is none, or too long.
    Wrong(u16, &'static str),
    /// Of HTTP.
    Http,
    /// A handshake that is not in order.
    Refused(handshake::Refused),
    /// For a WebSocket; behind it, from this place on, are frames.
    WebSocket(Box<Request>, Upgrade, usize),
}

impl State {
    /// Bytes came.
    pub(super) fn received(&mut self, id: u32, data: &mut [u8]) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        sock.heard = self.now;
        self.tally.received += data.len() as u64;
        match sock.phase {
            Phase::Opening => self.opening(id, data),
            Phase::Open | Phase::Closing => self.frames(id, data),
            Phase::Lingering | Phase::Dead => {}
        }
    }

    fn opening(&mut self, id: u32, data: &mut [u8]) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        let mut head = std::mem::take(&mut sock.head);
        if head.is_empty() {
            return self.request(id, data);
        }
        head.extend_from_slice(data);
        self.request(id, &mut head);
    }

    fn request(&mut self, id: u32, data: &mut [u8]) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        let remote = sock.io.as_ref().and_then(Io::peer);
        match read_head(data, &self.rules, remote.map(|remote| remote.ip())) {
            Head::Partial if data.len() >= MAX_HEAD => self.refuse(id, 431, "the head of the request is too long"),
            Head::Partial => sock.head = data.to_vec(),
            Head::Wrong(status, why) => self.refuse(id, status, why),
            Head::Refused(refused) => self.refuse(id, refused.status, refused.why),
            Head::Http => self.hand_over(id, data),
            Head::WebSocket(request, upgrade, length) => {
                let doorman = &self.ports.doorman;
                match catch_unwind(AssertUnwindSafe(|| doorman.websocket(&request))) {
                    Ok(Some(admission)) => {
                        let rest = data.get_mut(length..).unwrap_or_default();
                        let deflate = upgrade.deflate;
                        self.admit(id, Some(upgrade), deflate, admission, rest);
                    }
                    Ok(None) => self.hand_over(id, data),
                    Err(_) => {
                        self.tally.panics += 1;
                        self.refuse(id, 500, "something failed here");
                    }
                }
            }
        }
    }

    fn refuse(&mut self, id: u32, status: u16, why: &str) {
        self.tally.refused(status);
        self.linger(id, handshake::refusal(status, why).into(), false);
    }

    /// HTTP serves it.
    fn hand_over(&mut self, id: u32, data: &[u8]) {
        let Some(io) = self.socks.get_mut(id as usize).and_then(|sock| sock.io.take()) else { return };
        let remote = io.peer();
        self.kill(id);
        if let (Ok(resting), Some(remote)) = (io.rest(), remote) {
            let io = HttpIo::new(resting, Bytes::copy_from_slice(data));
            let http = &self.ports.http;
            if catch_unwind(AssertUnwindSafe(|| http.serve(io, remote))).is_err() {
                self.tally.panics += 1;
            }
        }
    }

    /// Lets a socket in, or not. `upgrade` = it is still to be answered; without, the answer was 101 already. `rest` are the
    /// frames that came with the request.
    pub(super) fn admit(
        &mut self,
        id: u32,
        upgrade: Option<Upgrade>,
        deflate: bool,
        admission: Admission,
        rest: &mut [u8],
    ) {
        let refuse = |state: &mut Self, status, why: &str| {
            if upgrade.is_some() {
                return state.refuse(id, status, why);
            }
            state.tally.refused(status);
            let code = if status == 503 { code::FULL } else { code::POLICY };
            state.linger(id, frame::close(&Close::new(code, why)), false);
        };
        match admission {
            Admission::Refuse { status, why } => refuse(self, status, &why),
            _ if self.draining => refuse(self, 503, "the node restarts: come back"),
            Admission::Session(session) => {
                if !self.room.take() {
                    return refuse(self, 503, "the node is full: come back later");
                }
                let slot = self.insert(session);
                self.greet(id, slot, Socket::Main, upgrade.as_ref(), deflate);
                self.call(slot, |session, link| session.open(link));
                self.frames(id, rest);
            }
            Admission::Offer(key, sid) if key.shard == self.number => {
                let slot = key.slot;
                let free = self.slots.get(slot).is_some_and(|body| body.candidate == NONE);
                if !self.slots.is(slot, key.generation) || !free {
                    return refuse(self, 400, "there is no such session");
                }
                self.greet(id, slot, Socket::Candidate, upgrade.as_ref(), deflate);
                self.call(slot, |session, link| session.offered(link, &sid));
                self.frames(id, rest);
            }
            Admission::Offer(key, sid) => {
                let Some(other) =
                    self.others.get(usize::from(key.shard)).and_then(tokio::sync::mpsc::WeakSender::upgrade)
                else {
                    return refuse(self, 400, "there is no such session");
                };
                let Ok(place) = other.try_reserve() else { return refuse(self, 503, "too much to do: come back") };
                let Some(io) = self.socks.get_mut(id as usize).and_then(|sock| sock.io.take()) else { return };
                self.kill(id);
                if let Ok(io) = io.rest() {
                    let admission = Admission::Offer(key, sid);
                    let read = Bytes::copy_from_slice(rest);
                    place.send(Mail::Socket(Box::new(Arrival { io, read, upgrade, deflate, admission })));
                }
            }
        }
    }

    /// Answers the handshake and ties the socket to its session.
    fn greet(&mut self, id: u32, slot: u32, which: Socket, upgrade: Option<&Upgrade>, deflate: bool) {
        self.attach(id, slot, which);
        if let Some(sock) = self.socks.get_mut(id as usize) {
            sock.deflate = deflate;
        }
        if let Some(upgrade) = upgrade {
            self.cork(id, upgrade.answer().into());
        }
    }

    fn frames(&mut self, id: u32, data: &mut [u8]) {
        let mut at = 0;
        loop {
            let Some(sock) = self.socks.get_mut(id as usize) else { return };
            if !matches!(sock.phase, Phase::Open | Phase::Closing) {
                return;
            }
            let limits = Limits { message: self.settings.max_message, deflate: sock.deflate };
            let mut frames = 0;
            let event = sock.parser.next(data, &mut at, limits, &mut frames);
            let open = sock.phase == Phase::Open;
            if open && !self.afford(id, frames) {
                return self.fail(id, Fault { code: code::POLICY, why: "too many frames" });
            }
            let done = match event {
                Ok(None) => return,
                Ok(Some(event)) => self.event(id, open, event),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = done {
                return self.fail(id, fault);
            }
        }
    }

    /// May it send so many frames?
    fn afford(&mut self, id: u32, frames: u32) -> bool {
        let (rate, burst) = (self.settings.rate, self.settings.burst.max(self.settings.rate));
        let Some(sock) = self.socks.get_mut(id as usize) else { return true };
        if rate == 0 || frames == 0 {
            return true;
        }
        if sock.tokens < frames {
            let earned = (self.now - sock.filled).saturating_mul(u64::from(rate)) / 1_000;
            if earned > 0 {
                sock.filled = self.now;
                sock.tokens = sock.tokens.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(burst);
            }
        }
        let enough = sock.tokens >= frames;
        sock.tokens = sock.tokens.saturating_sub(frames);
        enough
    }

    /// A rule was broken: the client is told, and its socket closed.
    fn fail(&mut self, id: u32, fault: Fault) {
        let close = Close::new(fault.code, fault.why);
        self.linger(id, frame::close(&close), false);
        self.detach(id, &close);
    }

    fn event(&mut self, id: u32, open: bool, event: Event) -> Result<(), Fault> {
        match event {
            Event::Message { text, compressed, data } if open => {
                let data = if compressed { self.inflated(data, text)? } else { data };
                let payload = if text { Payload::Text(data) } else { Payload::Binary(data) };
                let Some(sock) = self.socks.get(id as usize) else { return Ok(()) };
                let (slot, which) = (sock.owner, sock.which);
                self.tally.messages += 1;
                self.call(slot, |session, link| session.message(link, which, payload));
            }
            Event::Ping(data) if open => {
                if !self.send(id, frame::control(opcode::PONG, &data), false) {
                    let slot = self.socks.get(id as usize).map_or(NONE, |sock| sock.owner);
                    self.end(slot, &Close::new(code::SLOW, "too slow: come back and resume"));
                }
            }
            Event::Pong(data) => {
                if let Some(sock) = self.socks.get_mut(id as usize)
                    && let Ok(number) = <[u8; 4]>::try_from(&*data).map(u32::from_be_bytes)
                    && number > sock.answered
                    && number <= sock.pinged
                {
                    sock.answered = number;
                }
            }
            Event::Close(code) => {
                if open {
                    // Echoed; without a code it is echoed without one.
                    let code = code.unwrap_or(1005);
                    self.linger(id, frame::close(&Close::new(code, "")), true);
                    self.detach(id, &Close::new(code, "closed by the client"));
                } else {
                    self.linger(id, Bytes::new(), true);
                }
            }
            // Our close frame is on its way: nothing counts any more.
            Event::Message { .. } | Event::Ping(_) => {}
        }
        Ok(())
    }

    fn inflated(&mut self, data: Bytes, text: bool) -> Result<Bytes, Fault> {
        let inflate = self.inflate.get_or_insert_with(|| Box::new(Decompress::new(false)));
        let whole = deflate::inflate(inflate, &data, self.settings.max_message).map_err(|error| match error {
            Inflate::TooBig => Fault { code: code::TOO_BIG, why: "a message too big" },
            Inflate::Broken => Fault { code: code::NOT_TEXT, why: "a compressed message that is none" },
        })?;
        if text && std::str::from_utf8(&whole).is_err() {
            return parser::not_text();
        }
        Ok(whole.into())
    }
}

fn read_head(data: &[u8], rules: &handshake::Rules, remote: Option<std::net::IpAddr>) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(data) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(httparse::Error::TooManyHeaders) => return Head::Wrong(431, "too many headers"),
        Err(_) => return Head::Wrong(400, "no request of HTTP/1.1"),
    };
    if length > MAX_HEAD {
        return Head::Wrong(431, "the head of the request is too long");
    }
    let pairs = parsed.headers.iter().map(|header| (header.name, header.value));
    let get = parsed.method == Some("GET");
    match handshake::upgrade(get, parsed.version == Some(1), pairs.clone(), rules) {
        None => Head::Http,
        Some(Err(refused)) => Head::Refused(refused),
        Some(Ok(upgrade)) => {
            let request = handshake::request(parsed.path.unwrap_or("/"), pairs, remote);
            Head::WebSocket(Box::new(request), upgrade, length)
        }
    }
}
