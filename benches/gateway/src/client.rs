//! The load client: sockets, one thread, one buffer for reading.

mod commands;
mod connection;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt},
};

use self::connection::{Connection, Stage};
use crate::{
    following::Following,
    mark,
    poller::{EventFlags, Poller},
    speech::{Greeting, Speech},
    talk::{Answer, Checked, READERS, STALLERS},
    token::Mint,
    wire,
};

/// The name of standard input among the sockets.
const COMMANDS: u64 = u64::MAX;
/// The first port of the clients: their addresses are their own, so no server of the machine is in the way.
const FIRST_PORT: u16 = 2048;
/// A stalled client's receive buffer and its segments: with the loopback's own, some megabytes of messages would
/// disappear in the kernel before the server notices that nobody reads.
const NARROW: (usize, u32) = (4096, 1400);

/// Runs until standard input ends.
///
/// # Errors
/// A system call that must work did not.
pub fn run() -> anyhow::Result<()> {
    let mut client = Client {
        poller: Poller::new()?,
        connections: Vec::new(),
        buffer: vec![0; 256 * 1024],
        opening: None,
        waiting: None,
        micros: Vec::new(),
        closed: BTreeMap::new(),
        stallers_closed: BTreeMap::new(),
        progress: Instant::now(),
        line: Vec::new(),
        fleet: None,
        port: FIRST_PORT,
    };
    client.poller.add(rustix::stdio::stdin(), COMMANDS, EventFlags::IN)?;
    let mut events = Vec::new();
    loop {
        client
            .poller
            .wait(client.waiting.is_some().then_some(20).or(client.opening.is_some().then_some(100)), &mut events)?;
        for (name, flags) in events.drain(..) {
            if name == COMMANDS {
                if !client.commands()? {
                    return Ok(());
                }
            } else {
                client.event(usize::try_from(name)?, flags);
            }
        }
        client.tend()?;
    }
}

/// Where connections go and who they are.
struct Fleet {
    server: SocketAddr,
    source: Ipv4Addr,
    speech: Speech,
    mint: Mint,
}

/// Handshakes that are to be made.
struct Opening {
    /// Indexes and paths of connections that are still to be begun, the last one first.
    next: Vec<(usize, String)>,
    under_way: u32,
    in_flight: u32,
    opened: u32,
    failed: u32,
    why: Vec<String>,
    began: Instant,
}

/// What the conductor waits for.
enum Waiting {
    Hear { messages: u64, patience: u64 },
    Check { first: u32, last: u32, patience: u64, until: Instant },
}

struct Client {
    poller: Poller,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    opening: Option<Opening>,
    waiting: Option<Waiting>,
    micros: Vec<u32>,
    closed: BTreeMap<u16, u32>,
    stallers_closed: BTreeMap<u16, u32>,
    /// When something new came last.
    progress: Instant,
    /// The part of a command that has come.
    line: Vec<u8>,
    fleet: Option<Fleet>,
    /// The next client's.
    port: u16,
}

impl Client {
    /// Begins a connection.
    fn begin(&mut self, index: usize, path: &str) -> anyhow::Result<()> {
        let Some(fleet) = &self.fleet else { anyhow::bail!("no server") };
        let connection = &mut self.connections[index];
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if connection.group == STALLERS {
            sockopt::set_socket_recv_buffer_size(&socket, NARROW.0)?;
            socket2::SockRef::from(&socket).set_tcp_mss(NARROW.1)?;
        }
        // A port that is named takes the kernel no search; one that is taken is left out.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        while let Err(error) = rustix::net::bind(&socket, &SocketAddr::from((fleet.source, self.port))) {
            if error != Errno::ADDRINUSE {
                return Err(error.into());
            }
            self.port += 1;
        }
        self.port = if self.port < 60_000 { self.port + 1 } else { FIRST_PORT };
        match rustix::net::connect(&socket, &fleet.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.poller.add(&socket, index as u64, EventFlags::OUT)?;
        connection.begin(socket, wire::request(path));
        Ok(())
    }

    fn event(&mut self, index: usize, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.stage == Stage::Connecting && flags.contains(EventFlags::OUT) {
            let Some(socket) = &connection.socket else { return };
            let request = std::mem::take(&mut connection.partial);
            let sent = sockopt::socket_error(socket)
                .and_then(|connected| connected)
                .and_then(|()| rustix::net::send(socket, &request, SendFlags::NOSIGNAL));
            match sent {
                Ok(length) if length == request.len() => {}
                Ok(_) => return self.lose(index, 0, "the request does not fit"),
                Err(error) => return self.lose(index, 0, &error.to_string()),
            }
            let Some(socket) = &connection.socket else { return };
            connection.stage = Stage::Shaking;
            if let Err(error) = self.poller.change(socket, index as u64, EventFlags::IN) {
                self.lose(index, 0, &error.to_string());
            }
            return;
        }
        let Some(socket) = &connection.socket else { return };
        // One buffer for all: what is whole is used up where it lies.
        let mut buffer = std::mem::take(&mut self.buffer);
        let held = connection.partial.len();
        if buffer.len() < held + 65_536 {
            buffer.resize(held + 65_536, 0);
        }
        buffer[..held].copy_from_slice(&connection.partial);
        connection.partial.clear();
        match rustix::net::recv(socket, &mut buffer[held..], RecvFlags::empty()) {
            Ok((0, _)) => self.lose(index, 0, "closed"),
            Ok((length, _)) => self.bytes(index, &buffer[..held + length]),
            Err(Errno::AGAIN | Errno::INTR) => self.connections[index].partial.extend_from_slice(&buffer[..held]),
            Err(error) => self.lose(index, 0, &error.to_string()),
        }
        self.buffer = buffer;
    }

    /// Takes what a connection got, from the beginning of something.
    fn bytes(&mut self, index: usize, mut bytes: &[u8]) {
        let now = mark::now();
        if self.connections[index].stage == Stage::Shaking {
            let Some(end) = wire::head_end(bytes) else {
                self.connections[index].partial.extend_from_slice(bytes);
                return;
            };
            let head = &bytes[..end];
            if !head.starts_with(b"HTTP/1.1 101") || memchr::memmem::find(head, wire::ACCEPT.as_bytes()).is_none() {
                let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
                return self.lose(index, 0, &String::from_utf8_lossy(line));
            }
            bytes = &bytes[end..];
            self.connections[index].stage = Stage::Greeting;
            if self.fleet.as_ref().is_some_and(|fleet| fleet.speech.silent()) {
                self.ready(index);
            }
        }
        while let Some(frame) = wire::frame(bytes) {
            if !self.frame(index, &frame, now) {
                return;
            }
            bytes = &bytes[frame.whole..];
        }
        self.connections[index].partial.extend_from_slice(bytes);
    }

    /// One frame; false when the connection has ended.
    fn frame(&mut self, index: usize, frame: &wire::Frame<'_>, now: u64) -> bool {
        let Some(speech) = self.fleet.as_ref().map(|fleet| fleet.speech) else { return false };
        match frame.opcode {
            wire::CLOSE => {
                let code = frame.payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
                let why = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default()).into_owned();
                self.lose(index, code, &format!("{code} {why}"));
                return false;
            }
            wire::PING => self.say(index, &wire::client_frame(wire::PONG, frame.payload)),
            _ if !frame.last => {
                self.lose(index, 0, "a message in parts, which the bench does not read");
                return false;
            }
            _ => {}
        }
        let connection = &mut self.connections[index];
        if let Some((number, sent)) = mark::find(frame.payload) {
            self.progress = Instant::now();
            if let Some(following) = &mut connection.following {
                following.note(frame.payload, Some(number));
            } else {
                self.micros.push(u32::try_from(now.saturating_sub(sent) / 1000).unwrap_or(u32::MAX));
            }
            return true;
        }
        if let Some(following) = &mut connection.following {
            following.note(frame.payload, None);
        }
        if connection.stage == Stage::Greeting {
            match speech.greeting(frame.payload) {
                Greeting::Ready => self.ready(index),
                Greeting::Say(words) => self.say(index, &words),
                Greeting::Other => {}
                Greeting::Refused(why) => {
                    self.lose(index, 0, &why);
                    return false;
                }
            }
        } else if let Some(answer) = speech.beat(frame.payload) {
            self.say(index, &answer);
        }
        true
    }

    fn say(&mut self, index: usize, bytes: &[u8]) {
        let Some(socket) = &self.connections[index].socket else { return };
        // A few bytes at a time: they fit, or the connection is ending.
        rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).ok();
    }

    fn ready(&mut self, index: usize) {
        self.connections[index].stage = Stage::Open;
        self.progress = Instant::now();
        if let Some(opening) = &mut self.opening {
            opening.under_way -= 1;
            opening.opened += 1;
        }
    }

    /// A connection has ended. A staller comes back.
    fn lose(&mut self, index: usize, code: u16, why: &str) {
        let connection = &mut self.connections[index];
        connection.partial = Vec::new();
        let stage = std::mem::replace(&mut connection.stage, Stage::Closed);
        let Some(socket) = connection.socket.take() else { return };
        if !connection.stalled {
            // Closing it would do the same; a failure changes nothing.
            self.poller.remove(&socket).ok();
        }
        drop(socket);
        self.progress = Instant::now();
        let group = connection.group;
        if matches!(stage, Stage::Connecting | Stage::Shaking | Stage::Greeting) {
            if let Some(opening) = &mut self.opening {
                opening.under_way -= 1;
                opening.failed += 1;
                if opening.why.len() < 5 {
                    opening.why.push(why.to_owned());
                }
            }
        } else {
            let closed = if group == READERS { &mut self.closed } else { &mut self.stallers_closed };
            *closed.entry(code).or_default() += 1;
        }
        if group == STALLERS {
            self.come_back(index);
        }
    }

    fn come_back(&mut self, index: usize) {
        let Some(fleet) = &self.fleet else { return };
        let connection = &mut self.connections[index];
        let Some(following) = &mut connection.following else { return };
        following.resumed += 1;
        let token = fleet.mint.token(connection.user);
        let path = fleet.speech.path(connection.user, &token, Some(following));
        connection.stalled = false;
        if self.begin(index, &path).is_err() {
            self.stallers_closed.entry(0).and_modify(|n| *n += 1).or_insert(1);
        }
    }

    /// What is due after each round of events: new handshakes, and answers.
    fn tend(&mut self) -> anyhow::Result<()> {
        while let Some(opening) = &mut self.opening {
            let more = opening.under_way < opening.in_flight;
            let Some((index, path)) = more.then(|| opening.next.pop()).flatten() else { break };
            opening.under_way += 1;
            self.begin(index, &path)?;
        }
        let idle = self.progress.elapsed();
        if let Some(opening) = &self.opening {
            let finished = opening.under_way == 0 && opening.next.is_empty();
            if finished || idle.as_secs() > 20 {
                let seconds = opening.began.elapsed().as_secs_f64();
                let (opened, failed) = (opening.opened, opening.failed + opening.under_way);
                let mut why = opening.why.clone();
                if opening.under_way > 0 {
                    why.push(format!("{} wait for an answer", opening.under_way));
                }
                self.opening = None;
                commands::answer(&Answer::Opened { opened, failed, why, seconds })?;
            }
        }
        match self.waiting {
            Some(Waiting::Hear { messages, patience })
                if self.micros.len() as u64 >= messages || idle.as_millis() > u128::from(patience) =>
            {
                self.waiting = None;
                let micros = std::mem::take(&mut self.micros);
                commands::answer(&Answer::Heard { micros, closed: std::mem::take(&mut self.closed) })?;
            }
            Some(Waiting::Check { first, last, patience, until }) => {
                let patient = idle.as_millis() <= u128::from(patience) && Instant::now() < until;
                let behind = |f: &Following| !f.told && f.state(first, last).0 > 0;
                let waits =
                    |c: &Connection| c.following.as_deref().is_some_and(|f| c.stage != Stage::Open || behind(f));
                if patient && self.connections.iter().any(waits) {
                    return Ok(());
                }
                self.waiting = None;
                let checked = self.check(first, last);
                commands::answer(&Answer::Checked(checked))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&mut self, first: u32, last: u32) -> Checked {
        let mut checked = Checked { closed: std::mem::take(&mut self.stallers_closed), ..Checked::default() };
        for connection in &mut self.connections {
            let Some(following) = &mut connection.following else { continue };
            let (missing, repeated) = following.state(first, last);
            checked.resumed += std::mem::take(&mut following.resumed);
            let told = std::mem::take(&mut following.told);
            if missing == 0 && repeated == 0 {
                checked.whole += 1;
            } else if told {
                checked.told += 1;
            } else {
                checked.repeated += repeated;
                if missing > 0 {
                    checked.lost += 1;
                }
                if checked.why.len() < 5 {
                    checked.why.push(format!("user {}: {missing} missing, {repeated} repeated", connection.user));
                }
            }
        }
        checked
    }
}
