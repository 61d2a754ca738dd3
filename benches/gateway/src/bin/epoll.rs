//! The limit: one thread, one epoll loop, a frame made once and written to all. It knows no tokens, no heartbeats and no
//! overflow; what does not fit into a socket is dropped.
//!
//! `epoll PORT CONTROL`: WebSockets on PORT; on CONTROL lines `all TEXT` and `one USER TEXT`, which it sends on.

use std::{collections::HashMap, net::TcpListener, os::fd::OwnedFd};

use homing_gateway_bench::{
    poller::{EventFlags, Poller},
    wire,
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketFlags, sockopt},
};

const LISTENER: u64 = u64::MAX;
const CONTROL: u64 = u64::MAX - 1;
/// Connections of CONTROL are named from here on.
const LINES: u64 = 1 << 32;

/// A connection of CONTROL, and the part of a line that has come.
struct Line {
    socket: OwnedFd,
    text: Vec<u8>,
}

/// Sockets by place; a place is used again.
#[derive(Default)]
struct Room {
    sockets: Vec<Option<OwnedFd>>,
    free: Vec<usize>,
    users: HashMap<u32, usize>,
}

fn main() -> anyhow::Result<()> {
    let ports: Vec<u16> = std::env::args().skip(1).map(|port| port.parse()).collect::<Result<_, _>>()?;
    let [port, control] = ports[..] else { anyhow::bail!("epoll PORT CONTROL") };
    let listener = listen(port)?;
    let control = listen(control)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER, EventFlags::IN)?;
    poller.add(&control, CONTROL, EventFlags::IN)?;
    let (mut room, mut lines) = (Room::default(), Vec::<Option<Line>>::new());
    let (mut events, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        poller.wait(None, &mut events)?;
        for (name, _) in events.drain(..) {
            match name {
                LISTENER => {
                    while let Some(socket) = accept(&listener)? {
                        let place = room.free.pop().unwrap_or(room.sockets.len());
                        poller.add(&socket, place as u64, EventFlags::IN)?;
                        if place == room.sockets.len() {
                            room.sockets.push(None);
                        }
                        room.sockets[place] = Some(socket);
                    }
                }
                CONTROL => {
                    while let Some(socket) = accept(&control)? {
                        poller.add(&socket, LINES + lines.len() as u64, EventFlags::IN)?;
                        lines.push(Some(Line { socket, text: Vec::new() }));
                    }
                }
                LINES.. => {
                    let Some(place) = lines.get_mut(usize::try_from(name - LINES)?) else { continue };
                    let Some(line) = place else { continue };
                    match rustix::net::recv(&line.socket, &mut buffer, RecvFlags::empty()) {
                        Ok((length, _)) if length > 0 => line.text.extend_from_slice(&buffer[..length]),
                        Err(Errno::AGAIN) => {}
                        _ => {
                            *place = None;
                            continue;
                        }
                    }
                    while let Some(end) = memchr::memchr(b'\n', &line.text) {
                        let whole: Vec<u8> = line.text.drain(..=end).collect();
                        room.told(&whole[..end]);
                    }
                }
                place => room.read(usize::try_from(place)?, &mut buffer),
            }
        }
    }
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    // The standard library's backlog is 128.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &TcpListener) -> anyhow::Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(socket) => {
            sockopt::set_tcp_nodelay(&socket, true)?;
            Ok(Some(socket))
        }
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Room {
    /// The handshake, in one read: the bench's requests are small. Whatever else a client says is ignored.
    fn read(&mut self, place: usize, buffer: &mut [u8]) {
        let Some(socket) = self.sockets.get(place).and_then(Option::as_ref) else { return };
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((length, _)) if length > 0 => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let Some(user) = text.strip_prefix("GET /ws?u=").and_then(|rest| rest.split(' ').next()?.parse().ok())
                else {
                    return;
                };
                let key = text.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {}\r\n\r\n",
                    wire::accept(key.unwrap_or_default())
                );
                self.users.insert(user, place);
                rustix::net::send(socket, answer.as_bytes(), SendFlags::NOSIGNAL).ok();
            }
            Err(Errno::AGAIN) => {}
            _ => {
                self.sockets[place] = None;
                self.free.push(place);
            }
        }
    }

    fn told(&self, line: &[u8]) {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        match parts.next() {
            Some(b"all") => {
                let frame = wire::server_frame(wire::TEXT, line.get(4..).unwrap_or_default());
                for socket in self.sockets.iter().flatten() {
                    rustix::net::send(socket, &frame, SendFlags::NOSIGNAL).ok();
                }
            }
            Some(b"one") => {
                let user = parts.next().and_then(|user| std::str::from_utf8(user).ok()?.parse().ok());
                let place = user.and_then(|user: u32| self.users.get(&user));
                let Some(socket) = place.and_then(|place| self.sockets.get(*place)?.as_ref()) else { return };
                let frame = wire::server_frame(wire::TEXT, parts.next().unwrap_or_default());
                rustix::net::send(socket, &frame, SendFlags::NOSIGNAL).ok();
            }
            _ => {}
        }
    }
}
