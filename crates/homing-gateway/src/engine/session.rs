//! A session of Engine.IO: handshake, heartbeat, polling, upgrade. What is said in its messages is
//! [`Socketio`](crate::socketio)'s, or an echo.
//!
//! ```text
//!  polling --2probe--> probed --5--> websocket        a WebSocket from the start has no other state
//!     ^                  |
//!     '---- its WebSocket was lost or closed
//! ```
//!
//! Timers are coarse, so what is due is looked at whenever something comes, too: a client whose time is over is gone even
//! if the timer has not said so yet.

use std::{sync::Arc, time::Duration};

use metrics::counter;

use super::{
    meter,
    packet::{self, Kind, Packet, Version},
    sid,
    site::Site,
    wire::{Carrier, Out, Wire},
};
use crate::{
    desk::{Callback, Reply},
    identity::Credentials,
    parcel::{Dialect, Parcel, Payload},
    session::{Close, Link, Move, Poll, PollReply, PollRequest, Session, Socket, code},
    socketio::{NEVER, Socketio, Transport},
};

/// A WebSocket that offers itself has so long, in milliseconds.
const UPGRADE: u64 = 10_000;
/// During a probe a GET ends after this, in milliseconds: the client waits for it before it goes on. One that does not
/// wait, and whose GET overtook its upgrade, is answered as after the upgrade.
const RELEASE: u64 = 50;

/// A session of Engine.IO.
pub struct Engine {
    site: Arc<Site>,
    wire: Wire,
    /// `None` = an echo.
    app: Option<Socketio>,
    /// When the server pings (version 4).
    ping_at: u64,
    /// When the last ping was due; before the first, when the session began.
    pinged_at: u64,
    /// When the client is given up: after a ping without a pong (4), or without a packet (3).
    silent_at: u64,
    /// When a WebSocket that offered itself is closed.
    upgrade_at: u64,
    /// When a GET during a probe ends.
    release_at: u64,
    /// When the shard will call.
    armed: u64,
}

/// A client broke the protocol; it is cut off.
struct Broken(String);

impl From<packet::Malformed> for Broken {
    fn from(error: packet::Malformed) -> Self {
        Self(error.to_string())
    }
}

impl Engine {
    /// A session of a client that showed `credentials`. `base64`: it cannot take binary by polling (version 3).
    pub fn new(site: Arc<Site>, version: Version, base64: bool, credentials: Credentials) -> Self {
        let app = site.part.is_some().then(|| Socketio::new(credentials));
        let wire = Wire::new(version, base64);
        let (ping_at, silent_at, upgrade_at, release_at, armed) = (NEVER, NEVER, NEVER, NEVER, NEVER);
        Self { site, wire, app, ping_at, pinged_at: 0, silent_at, upgrade_at, release_at, armed }
    }

    /// Calls the protocol above, if it is one.
    fn app(&mut self, link: &mut dyn Link, call: impl FnOnce(&mut Socketio, &mut Out<'_>)) {
        let Self { site, wire, app, .. } = self;
        if let Some(app) = app
            && !wire.gone
        {
            call(app, &mut Out { link, wire, site });
        }
    }

    fn send(&mut self, link: &mut dyn Link, packet: Payload) {
        self.wire.send(link, self.site.settings.poll_buffer, packet);
    }

    fn interval(&self) -> u64 {
        millis(self.site.settings.ping_interval)
    }

    fn timeout(&self) -> u64 {
        millis(self.site.settings.ping_timeout)
    }

    /// The client is there: the time that it has begins anew.
    fn alive(&mut self, now: u64) {
        match self.wire.version {
            Version::V3 => self.silent_at = now + self.interval() + self.timeout(),
            Version::V4 => {
                self.silent_at = NEVER;
                // From ping to ping, so that late timers and answers do not add up.
                self.ping_at = (self.pinged_at + self.interval()).max(now + self.interval() / 2);
            }
        }
    }

    /// Does what is due.
    fn tick(&mut self, link: &mut dyn Link) {
        if self.wire.gone {
            return;
        }
        let now = link.now();
        if now >= self.silent_at {
            counter!(meter::BROKEN, "why" => "silent").increment(1);
            return self.wire.close(link, Close::new(code::SILENT, "no heartbeat"));
        }
        if now >= self.upgrade_at {
            self.forget_candidate();
            link.drop_candidate(&Close::new(code::POLICY, "no upgrade"));
        }
        if now >= self.release_at {
            self.release();
        }
        self.app(link, |app, out| app.tick(out, now));
        // A message that is to be proven makes the heartbeat come earlier.
        let unproven = self.app.as_ref().is_some_and(|app| app.unproven(now));
        if self.wire.version == Version::V4 && self.silent_at == NEVER && (now >= self.ping_at || unproven) {
            self.send(link, packet::text('2', ""));
            // The timer may have been late, and the client's time is counted from when it was due; but a part of it stays:
            // more of it where the client is there to hear the ping.
            let timeout = self.timeout();
            let most = if self.wire.is_away() { timeout / 4 * 3 } else { timeout / 2 };
            let due = self.ping_at.min(now).max(now.saturating_sub(most));
            self.pinged_at = due;
            self.silent_at = due + self.timeout();
            self.ping_at = NEVER;
            if let Some(app) = &mut self.app {
                app.pinged(now);
            }
        }
    }

    /// What every call ends with: GETs are answered, the next call is asked for.
    fn settle(&mut self, link: &mut dyn Link) {
        if self.wire.overflow {
            counter!(meter::BROKEN, "why" => "slow").increment(1);
            self.wire.close(link, Close::new(code::SLOW, "too much waits for this client"));
        }
        if self.wire.gone {
            return;
        }
        if self.wire.flush()
            && let Some(app) = &mut self.app
        {
            app.carried(self.wire.version);
        }
        // There may be room again for what was missed.
        self.app(link, Socketio::replay);
        let mut next = self.silent_at.min(self.upgrade_at).min(self.release_at).min(self.ping_at);
        if let Some(app) = &self.app {
            next = next.min(app.next(self.silent_at != NEVER && self.wire.version == Version::V4));
        }
        // One that is earlier than needed costs a call that finds nothing to do; moving it at each packet costs more.
        if next < self.armed {
            self.armed = next;
            link.wake_after(Some(Duration::from_millis(next.saturating_sub(link.now()))));
        }
    }

    fn packet(&mut self, link: &mut dyn Link, packet: Packet) -> Result<(), Broken> {
        let now = link.now();
        let version = self.wire.version;
        if version == Version::V3 {
            self.alive(now);
        }
        match (packet.kind, version) {
            (Kind::Message, _) => match &self.app {
                Some(_) => {
                    let mut done = Ok(());
                    self.app(link, |app, out| done = app.message(out, packet.content));
                    done.map_err(|error| Broken(error.to_string()))?;
                }
                None => self.echo(link, &packet.content),
            },
            (Kind::Ping, Version::V3) => {
                let content = match &packet.content {
                    Payload::Text(content) | Payload::Binary(content) => String::from_utf8_lossy(content),
                };
                self.send(link, packet::text('3', &content));
                self.app(link, |app, out| app.look(out));
            }
            (Kind::Pong, Version::V4) => {
                // One that nobody asked for says nothing.
                if self.silent_at != NEVER {
                    self.alive(now);
                    self.app(link, |app, out| app.ponged(out));
                }
            }
            (Kind::Close, _) => {
                // The GET that waits ends with nothing, the client has said that it knows.
                self.wire.release();
                self.wire.close(link, Close::new(code::NORMAL, "closed by the client"));
            }
            (Kind::Noop | Kind::Upgrade, _) => {}
            (Kind::Open | Kind::Ping | Kind::Pong, _) => {
                return Err(Broken(format!("{:?} from a client", packet.kind)));
            }
        }
        Ok(())
    }

    fn echo(&mut self, link: &mut dyn Link, content: &Payload) {
        let packet = match content {
            Payload::Binary(bytes) => packet::binary(self.wire.version, bytes),
            Payload::Text(text) => Payload::Text([&b"4"[..], text].concat().into()),
        };
        self.send(link, packet);
    }

    fn broken(&mut self, link: &mut dyn Link, error: &Broken) {
        counter!(meter::BROKEN, "why" => "protocol").increment(1);
        tracing::debug!(error = %error.0, "A client of Engine.IO broke the protocol.");
        self.wire.close(link, Close::new(code::PROTOCOL, error.0.as_str()));
    }

    /// A packet of a WebSocket that wants to carry the session.
    fn candidate(&mut self, link: &mut dyn Link, payload: Payload) {
        match (packet::decode(self.wire.version, payload), self.wire.carrier) {
            (Ok(Packet { kind: Kind::Ping, content: Payload::Text(text) }), Carrier::Polling | Carrier::Probed)
                if text == "probe" =>
            {
                link.write(Socket::Candidate, &packet::text('3', "probe"));
                self.wire.carrier = Carrier::Probed;
                self.release_soon(link);
            }
            (Ok(Packet { kind: Kind::Upgrade, .. }), Carrier::Probed) => {
                (self.upgrade_at, self.release_at) = (NEVER, NEVER);
                link.promote();
                self.wire.upgrade(link);
                counter!(meter::UPGRADES).increment(1);
                self.app(link, |app, out| app.upgraded(out));
            }
            _ => {
                self.forget_candidate();
                link.drop_candidate(&Close::new(code::PROTOCOL, "not a probe, and not an upgrade"));
            }
        }
    }

    /// A GET during a probe: it ends soon.
    fn release_soon(&mut self, link: &dyn Link) {
        if self.wire.is_polled() {
            self.release_at = link.now() + RELEASE;
        }
    }

    fn release(&mut self) {
        self.release_at = NEVER;
        if self.wire.release()
            && let Some(app) = &mut self.app
        {
            app.carried(self.wire.version);
        }
    }

    fn forget_candidate(&mut self) {
        (self.upgrade_at, self.release_at) = (NEVER, NEVER);
        if self.wire.carrier == Carrier::Probed {
            self.wire.carrier = Carrier::Polling;
        }
    }

    fn post(&mut self, link: &mut dyn Link, body: &bytes::Bytes, binary: bool) -> Result<(), Broken> {
        for packet in packet::decode_payload(self.wire.version, body, binary)? {
            if self.wire.gone {
                break;
            }
            self.packet(link, packet)?;
        }
        Ok(())
    }
}

impl Session for Engine {
    fn dialect(&self) -> Dialect {
        self.wire.version.dialect()
    }

    fn open(&mut self, link: &mut dyn Link) {
        let Some(sid) = sid::make(link.key()) else {
            return self.wire.close(link, Close::new(code::FAILED, "no random numbers"));
        };
        let websocket = link.has(Socket::Main);
        let settings = &self.site.settings;
        let upgrades = if !websocket && settings.has(Transport::WebSocket) { r#"["websocket"]"# } else { "[]" };
        let handshake = format!(
            r#"{{"sid":"{sid}","upgrades":{upgrades},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            self.interval(),
            self.timeout(),
            settings.max_payload,
        );
        self.wire.open(sid.into(), websocket);
        self.send(link, packet::text('0', &handshake));
        self.pinged_at = link.now();
        self.alive(link.now());
        self.app(link, |app, out| app.open(out));
        self.settle(link);
    }

    fn message(&mut self, link: &mut dyn Link, socket: Socket, payload: Payload) {
        self.tick(link);
        if self.wire.gone {
            return;
        }
        match socket {
            Socket::Candidate => self.candidate(link, payload),
            Socket::Main => {
                let done = packet::decode(self.wire.version, payload).map_err(Broken::from);
                if let Err(error) = done.and_then(|packet| self.packet(link, packet)) {
                    self.broken(link, &error);
                }
            }
        }
        self.settle(link);
    }

    fn offered(&mut self, link: &mut dyn Link, sid: &str) {
        let takes = !self.wire.gone && *self.wire.sid == *sid && self.wire.carrier != Carrier::WebSocket;
        if !takes || !self.site.settings.has(Transport::WebSocket) {
            return link.drop_candidate(&Close::new(code::POLICY, "this session takes no other socket"));
        }
        self.wire.carrier = Carrier::Polling;
        self.upgrade_at = link.now() + UPGRADE;
        self.settle(link);
    }

    fn lost(&mut self, _: &mut dyn Link, socket: Socket) -> bool {
        if socket == Socket::Candidate {
            self.forget_candidate();
            return true;
        }
        self.wire.gone = true;
        false
    }

    fn deliver(&mut self, link: &mut dyn Link, parcel: &Arc<Parcel>, callback: Option<&Arc<Callback>>) {
        self.app(link, |app, out| app.deliver(out, parcel, callback));
        self.settle(link);
    }

    fn poll(&mut self, link: &mut dyn Link, poll: Poll) {
        let Poll { sid, what, reply } = poll;
        if !sid.is_empty() && *sid != *self.wire.sid {
            // Another session's, or an old one: as if there were none. Dropping the reply says so.
            return;
        }
        self.tick(link);
        if self.wire.gone {
            return;
        }
        let answer = |status: u16, body: &'static str| PollReply {
            status,
            body: Payload::Text(bytes::Bytes::from_static(body.as_bytes())),
        };
        // Whoever asked may have gone away: there is nobody to tell.
        match what {
            _ if self.wire.carrier == Carrier::WebSocket => drop(reply.send(answer(400, ""))),
            PollRequest::Get { .. } if self.wire.is_polled() => {
                counter!(meter::BROKEN, "why" => "two polls").increment(1);
                self.wire.close(link, Close::new(code::PROTOCOL, "two requests at a time"));
                drop(reply.send(answer(400, "")));
            }
            PollRequest::Get { base64 } => {
                self.app(link, |app, out| app.fetched(out));
                self.wire.wait(base64, reply);
                if self.wire.carrier == Carrier::Probed {
                    self.release_soon(link);
                }
            }
            PollRequest::Post { body, binary } => match self.post(link, &body, binary) {
                Ok(()) => drop(reply.send(answer(200, "ok"))),
                Err(error) => {
                    self.broken(link, &error);
                    drop(reply.send(answer(400, "")));
                }
            },
        }
        self.settle(link);
    }

    fn wake(&mut self, link: &mut dyn Link) {
        self.armed = NEVER;
        self.tick(link);
        self.settle(link);
    }

    fn reply(&mut self, link: &mut dyn Link, reply: Reply) {
        self.app(link, |app, out| app.reply(out, reply));
        self.settle(link);
    }

    fn moved(&mut self, link: &mut dyn Link, step: &Move) {
        self.app(link, |app, out| app.moved(out, step));
        self.settle(link);
    }

    fn drained(&mut self, link: &mut dyn Link) {
        self.app(link, Socketio::replay);
        self.settle(link);
    }

    fn end(&mut self, link: &mut dyn Link, close: &Close) {
        if self.app.is_none() {
            return link.close(close.clone());
        }
        self.app(link, |app, out| app.end(out, close.clone()));
        self.settle(link);
    }

    fn ended(&mut self, _: &Close) {
        self.wire.end();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER / 4)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
