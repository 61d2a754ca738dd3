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
    /// The same without an inbox.
    HomingBare,
    /// `/socket.io/` of Homing, with an inbox.
    HomingSio,
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
            Self::HomingBare => "homing /ws, no inbox",
            Self::HomingSio => "homing Socket.IO",
            Self::Tungstenite => "tokio-tungstenite 0.30",
            Self::Oxide => "socketioxide 0.18.9",
            Self::NodeWs => "Node ws 8",
        }
    }

    pub(crate) fn speech(self) -> Speech {
        match self {
            Self::Epoll | Self::Tungstenite | Self::NodeWs => Speech::Bare,
            Self::Homing | Self::HomingBare => Speech::Plain,
            Self::HomingSio | Self::Oxide => Speech::SocketIo,
        }
    }

    pub(crate) fn is_homing(self) -> bool {
        matches!(self, Self::Homing | Self::HomingBare | Self::HomingSio)
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
            Kind::Homing | Kind::HomingBare | Kind::HomingSio => bed.args.gateway.clone(),
        };
        let program = program.to_str().context("path")?;
        let config = bed.dir.join(format!("{name}.toml"));
        let command = match kind {
            Kind::Homing | Kind::HomingBare | Kind::HomingSio => {
                std::fs::write(&config, super::homing::config(bed, kind, port, control))?;
                vec![program, "--config", config.to_str().context("path")?]
            }
            Kind::NodeWs => vec!["node", program, &port_text, &control_text],
            _ => vec![program, &port_text, &control_text],
        };
        let mut child = Child::start(&bed.dir, &name, &bed.args.server_core, &command, false)?;
        child.listens(port)?;
        let control = if kind.is_homing() { port } else { control };
        child.listens(control)?;
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self { kind, address: at(port), child, control: at(control) })
    }

    pub(crate) fn trigger(&self) -> anyhow::Result<Trigger> {
        let stream = TcpStream::connect(self.control)?;
        stream.set_nodelay(true)?;
        Ok(Trigger { stream, http: self.kind.is_homing(), answer: Vec::new() })
    }
}

/// A connection over which a server is told to send.
pub(crate) struct Trigger {
    stream: TcpStream,
    http: bool,
    answer: Vec<u8>,
}

impl Trigger {
    /// A message of `size` bytes to everybody, sent now. Returns when it was written; the answer is taken by
    /// [`Self::answered`].
    pub(crate) fn broadcast(&mut self, number: u32, size: usize) -> anyhow::Result<()> {
        let text = mark::payload(number, mark::now(), size);
        if self.http {
            self.call("push.broadcast", &format!("{{\"type\":\"bench\",\"data\":{text}}}"))
        } else {
            Ok(self.stream.write_all(format!("all {text}\n").as_bytes())?)
        }
    }

    /// A message to one user, which was to be sent at `time`.
    pub(crate) fn unicast(&mut self, user: u32, number: u32, time: u64, size: usize) -> anyhow::Result<()> {
        let text = mark::payload(number, time, size);
        if self.http {
            let user = token::user(user);
            self.call("push.user", &format!("{{\"user\":\"{user}\",\"type\":\"bench\",\"data\":{text}}}"))
        } else {
            Ok(self.stream.write_all(format!("one {user} {text}\n").as_bytes())?)
        }
    }

    fn call(&mut self, method: &str, params: &str) -> anyhow::Result<()> {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}");
        let request = format!(
            "POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    /// Takes the answer to what was sent last; an error unless it was taken.
    pub(crate) fn answered(&mut self) -> anyhow::Result<()> {
        if !self.http {
            return Ok(());
        }
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = homing_gateway_bench::wire::head_end(&self.answer) {
                let head = String::from_utf8_lossy(&self.answer[..end]).to_ascii_lowercase();
                let length = head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
                let length: usize = length.and_then(|text| text.trim().parse().ok()).context("an answer's length")?;
                if self.answer.len() >= end + length {
                    let body = String::from_utf8_lossy(&self.answer[end..end + length]).into_owned();
                    if !head.starts_with("http/1.1 200") || !body.contains("\"result\"") {
                        bail!("the gateway refused a call: {head}{body}");
                    }
                    self.answer.drain(..end + length);
                    return Ok(());
                }
            }
            match self.stream.read(&mut buffer)? {
                0 => bail!("the gateway closed a connection of HTTP"),
                length => self.answer.extend_from_slice(&buffer[..length]),
            }
        }
    }
}
