//! The servers that are measured, and how each is told to send.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use homing_gateway_bench::{mark, speech::Speech, token};

use super::{
    Bed,
    child::{Child, free_port},
};

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The limit: a bare epoll loop.
    Epoll,
    /// `/ws` of Homing: inbox, presence, tokens.
    Homing,
    /// `/socket.io/` of Homing, with inbox and presence.
    HomingSio,
    /// The same without an inbox: messages are emits of python-socketio by Redis.
    HomingEmit,
    /// tokio-tungstenite.
    Tungstenite,
    /// socketioxide.
    Oxide,
    /// Node's ws.
    NodeWs,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epoll => "raw epoll loop",
            Self::Homing => "homing /ws",
            Self::HomingSio => "homing Socket.IO",
            Self::HomingEmit => "homing Socket.IO, emits",
            Self::Tungstenite => "tokio-tungstenite 0.30",
            Self::Oxide => "socketioxide 0.18.9",
            Self::NodeWs => "Node ws 8",
        }
    }

    pub(crate) fn speech(self) -> Speech {
        match self {
            Self::Epoll | Self::Tungstenite | Self::NodeWs => Speech::Bare,
            Self::Homing => Speech::Plain,
            Self::HomingSio | Self::HomingEmit | Self::Oxide => Speech::SocketIo,
        }
    }

    pub(crate) fn is_homing(self) -> bool {
        matches!(self, Self::Homing | Self::HomingSio | Self::HomingEmit)
    }
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
    control: SocketAddr,
}

impl Server {
    /// Starts it on the servers' core and waits until it listens. A node of Homing takes its Redis from the bed.
    pub(crate) fn start(bed: &Bed, kind: Kind, number: usize) -> anyhow::Result<Self> {
        let (port, control) = (free_port()?, free_port()?);
        let (port_text, control_text) = (port.to_string(), control.to_string());
        let beside = |name: &str| -> anyhow::Result<PathBuf> { Ok(std::env::current_exe()?.with_file_name(name)) };
        let name = format!("{kind:?}{number}").to_lowercase();
        let program = match kind {
            Kind::Epoll => beside("epoll")?,
            Kind::Tungstenite => beside("tungstenite")?,
            Kind::Oxide => beside("oxide")?,
            Kind::NodeWs => bed.args.node_modules.join("ws.cjs"),
            _ => bed.args.gateway.clone(),
        };
        let program = program.to_str().context("path")?;
        let config = bed.dir.join(format!("{name}.toml"));
        let command = match kind {
            kind if kind.is_homing() => {
                std::fs::write(&config, super::homing::config(bed, kind, port, number))?;
                vec![program, "--config", config.to_str().context("path")?]
            }
            Kind::NodeWs => vec!["node", program, &port_text, &control_text],
            _ => vec![program, &port_text, &control_text],
        };
        let mut child = Child::start(&bed.dir, &name, &bed.args.server_core, &command, false)?;
        child.listens(port)?;
        let control = match kind {
            Kind::HomingEmit => bed.redis_port,
            kind if kind.is_homing() => port,
            _ => control,
        };
        child.listens(control)?;
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self { kind, address: at(port), child, control: at(control) })
    }

    pub(crate) fn trigger(&self) -> anyhow::Result<Trigger> {
        let stream = TcpStream::connect(self.control)?;
        stream.set_nodelay(true)?;
        let way = match self.kind {
            Kind::HomingEmit => Way::Emit,
            kind if kind.is_homing() => Way::Http,
            _ => Way::Line,
        };
        Ok(Trigger { stream, way, answer: Vec::new() })
    }
}

/// How a server is told to send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A line: see `bin/epoll`.
    Line,
    /// JSON-RPC by HTTP.
    Http,
    /// PUBLISH, as python-socketio from 5.15.1 on.
    Emit,
}

/// A connection over which a server is told to send.
pub(crate) struct Trigger {
    stream: TcpStream,
    way: Way,
    answer: Vec<u8>,
}

impl Trigger {
    /// A message of `size` bytes to everybody, sent now. Returns when it was written; the answer is taken by
    /// [`Self::answered`].
    pub(crate) fn broadcast(&mut self, number: u32, size: usize) -> anyhow::Result<()> {
        let text = mark::payload(number, mark::now(), size);
        let request = match self.way {
            Way::Line => format!("all {text}\n"),
            Way::Http => call("push.broadcast", &format!("{{\"type\":\"bench\",\"data\":{text}}}")),
            Way::Emit => emit("null", &text),
        };
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    /// A message to one user, which was to be sent at `time`.
    pub(crate) fn unicast(&mut self, user: u32, number: u32, time: u64, size: usize) -> anyhow::Result<()> {
        let text = mark::payload(number, time, size);
        let name = token::user(user);
        let request = match self.way {
            Way::Line => format!("one {user} {text}\n"),
            Way::Http => call("push.user", &format!("{{\"user\":\"{name}\",\"type\":\"bench\",\"data\":{text}}}")),
            Way::Emit => emit(&format!("\"{name}\""), &text),
        };
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    /// Takes the answer to what was sent last; an error unless it was taken.
    pub(crate) fn answered(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let taken = match self.way {
                Way::Line => return Ok(()),
                Way::Http => http_answer(&self.answer)?,
                Way::Emit => memchr::memchr(b'\n', &self.answer).map(|at| at + 1),
            };
            if let Some(length) = taken {
                self.answer.drain(..length);
                return Ok(());
            }
            match self.stream.read(&mut buffer)? {
                0 => bail!("the connection for calls was closed"),
                length => self.answer.extend_from_slice(&buffer[..length]),
            }
        }
    }
}

fn call(method: &str, params: &str) -> String {
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}");
    let length = body.len();
    format!(
        "POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn emit(room: &str, text: &str) -> String {
    let emit = format!(
        "{{\"method\":\"emit\",\"event\":\"bench\",\"data\":[{text}],\"binary\":false,\"namespace\":\"/\",\"room\":{room},\
         \"skip_sid\":null,\"callback\":null,\"host_id\":\"00000000000000000000000000000001\"}}"
    );
    format!("*3\r\n$7\r\nPUBLISH\r\n$8\r\nsocketio\r\n${}\r\n{emit}\r\n", emit.len())
}

/// The length of a whole answer, if it is there; an error if it says that the call was refused.
fn http_answer(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = homing_gateway_bench::wire::head_end(bytes) else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
    let length: usize = length.and_then(|text| text.trim().parse().ok()).context("an answer's length")?;
    let Some(body) = bytes.get(end..end + length) else { return Ok(None) };
    let body = String::from_utf8_lossy(body);
    if !head.starts_with("http/1.1 200") || !body.contains("\"result\"") {
        bail!("the gateway refused a call: {head}{body}");
    }
    Ok(Some(end + length))
}
