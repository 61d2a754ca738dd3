//! A hub with a door, a desk and an encoder of the test's, and a WebSocket client that shares no code with the server.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use homing_core::{
    live::{Position, Stream},
    wire_live::Message,
};
use homing_gateway::{
    desk::{Ask, Desk},
    hub::{Counts, Http, HttpIo, Hub, Order, Ports, Settings},
    parcel::{Dialect, Encode, Parcel, Payload, Source},
    session::{Admission, Doorman, Link, Request, Session, SessionKey, Socket},
    topic::Topic,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Runtime,
};

pub mod puppet;

/// What sessions tell.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, line: &str) -> usize {
        self.all().iter().filter(|known| *known == line).count()
    }

    #[track_caller]
    pub fn until(&self, line: &str) {
        wait_for(|| (self.count(line) > 0).then_some(()), || format!("{line} in {:?}", self.all()));
    }
}

/// Longer than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the desk was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Came(String),
    Went(String),
    Follows(u16, String, bool),
    Behind(u16, String, Position),
    Ask(SessionKey, String),
}

#[derive(Default)]
pub struct TestDesk {
    pub told: Mutex<Vec<Told>>,
}

impl TestDesk {
    pub fn all(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    pub fn count(&self, what: impl Fn(&Told) -> bool) -> usize {
        self.told.lock().unwrap().iter().filter(|told| what(told)).count()
    }

    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

impl Desk for TestDesk {
    fn ask(&self, key: SessionKey, ask: Ask) {
        self.tell(Told::Ask(key, format!("{ask:?}")));
    }
    fn came(&self, user: &Arc<str>) {
        self.tell(Told::Came(user.to_string()));
    }
    fn went(&self, user: &Arc<str>) {
        self.tell(Told::Went(user.to_string()));
    }
    fn follows(&self, shard: u16, stream: &Stream, yes: bool) {
        self.tell(Told::Follows(shard, stream.to_string(), yes));
    }
    fn behind(&self, shard: u16, stream: &Stream, last: Position) {
        self.tell(Told::Behind(shard, stream.to_string(), last));
    }
}

type Decide = Box<dyn Fn(&Request) -> Option<Admission> + Send + Sync>;

struct Door(Decide);

impl Doorman for Door {
    fn websocket(&self, request: &Request) -> Option<Admission> {
        (self.0)(request)
    }
}

/// A message's data is its frame, for every dialect.
struct Plain;

impl Encode for Plain {
    fn encode(&self, source: &Source, dialect: Dialect) -> Option<Vec<Payload>> {
        match source {
            Source::Message { message, .. } => {
                Some(vec![Payload::Text(Bytes::copy_from_slice(message.data.get().as_bytes()))])
            }
            Source::Emit(emit) if dialect != Dialect::Plain => Some(vec![Payload::Text(emit.array.clone())]),
            Source::Emit(_) => None,
            Source::Ready(own, payloads) => (*own == dialect).then(|| payloads.clone()),
        }
    }
}

struct Web(Arc<Runtime>);

impl Http for Web {
    fn serve(&self, mut io: HttpIo, remote: SocketAddr) {
        self.0.spawn(async move {
            let mut head = vec![0; 4096];
            let length = io.read(&mut head).await.unwrap();
            let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
            let body = format!("{line} from {}", remote.ip());
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            io.write_all(answer.as_bytes()).await.unwrap();
            io.shutdown().await.unwrap();
        });
    }
}

pub struct Stage {
    pub hub: Hub,
    pub desk: Arc<TestDesk>,
    pub addr: SocketAddr,
    pub runtime: Arc<Runtime>,
    pub ports: Ports,
}

impl Stage {
    /// Whose sessions are puppets, and their log.
    pub fn puppets(settings: Settings) -> (Self, Log) {
        let log = Log::default();
        let theirs = log.clone();
        let stage = Self::new(settings, move |request| {
            let engine = request.path.starts_with("/engine");
            match request.path.as_str() {
                "/refuse" => return Some(Admission::Refuse { status: 403, why: "not you".to_owned() }),
                "/offer" => {
                    let sid = request.parameter("sid").unwrap();
                    return Some(Admission::Offer(puppet::key_of(sid), sid.to_owned()));
                }
                path if path.starts_with("/web") => return None,
                _ => {}
            }
            let mut session = puppet::Puppet::boxed(&theirs);
            if engine {
                session.dialect = Dialect::Engine4;
            }
            session.stays = request.parameter("stays").is_some();
            Some(Admission::Session(session))
        });
        (stage, log)
    }

    /// A puppet's client, and its key.
    pub fn puppet(&self, path: &str) -> (Client, SessionKey) {
        let mut client = self.connect(path);
        let hello = client.hear();
        let key = puppet::key_of(hello.strip_prefix("open ").unwrap());
        (client, key)
    }

    pub fn new(settings: Settings, decide: impl Fn(&Request) -> Option<Admission> + Send + Sync + 'static) -> Self {
        let runtime =
            Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let desk = Arc::new(TestDesk::default());
        let ports = Ports {
            doorman: Arc::new(Door(Box::new(decide))),
            desk: Arc::clone(&desk) as Arc<dyn Desk>,
            encode: Arc::new(Plain),
            http: Arc::new(Web(Arc::clone(&runtime))),
        };
        let hub = Hub::start(settings, vec![listener], ports.clone()).unwrap();
        Self { hub, desk, addr, runtime, ports }
    }

    pub fn connect(&self, path: &str) -> Client {
        Client::connect(self.addr, path, "").unwrap()
    }

    pub fn order(&self, order: Order) {
        self.runtime.block_on(self.hub.order(None, order));
    }

    pub fn deliver(&self, to: &[Topic], except: &[Topic], source: Source) {
        self.order(Order::Deliver {
            to: to.into(),
            except: except.into(),
            parcel: Arc::new(Parcel::new(source)),
            callback: None,
        });
    }

    /// Waits until the counts are so.
    #[track_caller]
    pub fn until(&self, what: impl Fn(&Counts) -> bool) -> Counts {
        wait_for(|| Some(self.hub.counts()).filter(|counts| what(counts)), || format!("{:?}", self.hub.counts()))
    }

    #[track_caller]
    pub fn until_told(&self, told: &Told) {
        wait_for(|| self.desk.all().contains(told).then_some(()), || format!("{told:?} in {:?}", self.desk.all()));
    }
}

#[track_caller]
pub fn wait_for<T>(what: impl Fn() -> Option<T>, why: impl Fn() -> String) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < until, "it did not become so: {}", why());
        std::thread::yield_now();
    }
}

pub fn message(stream: &Stream, at: Option<Position>, data: &str) -> Source {
    let message: Message =
        serde_json::from_value(serde_json::json!({"id": data, "type": "t", "data": data, "at": 1})).unwrap();
    Source::Message { stream: stream.clone(), at, message }
}

pub fn user(name: &str) -> Stream {
    Stream::User(name.into())
}

pub fn at(epoch: u32, offset: u64) -> Position {
    Position { epoch, offset }
}

/// Sends everything back.
pub struct Echo;

impl Session for Echo {
    fn dialect(&self) -> Dialect {
        Dialect::Plain
    }
    fn open(&mut self, _: &mut dyn Link) {}
    fn message(&mut self, link: &mut dyn Link, socket: Socket, payload: Payload) {
        link.write(socket, &payload);
    }
    fn lost(&mut self, _: &mut dyn Link, _: Socket) -> bool {
        false
    }
    fn deliver(&mut self, link: &mut dyn Link, parcel: &Arc<Parcel>, _: Option<&Arc<homing_gateway::desk::Callback>>) {
        link.send(parcel);
    }
    fn wake(&mut self, _: &mut dyn Link) {}
    fn reply(&mut self, _: &mut dyn Link, _: homing_gateway::desk::Reply) {}
}

#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub last: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub data: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.data).unwrap()
    }
}

/// A client over anything that reads and writes.
pub struct Client<S = TcpStream> {
    pub stream: S,
    pub head: String,
    have: Vec<u8>,
}

impl Client {
    /// Handshakes; the error is the answer, if it was not 101.
    pub fn connect(addr: SocketAddr, path: &str, headers: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, path, headers)
    }
}

impl<S: Read + Write> Client<S> {
    /// A client whose handshake is done.
    pub fn resume(stream: S) -> Self {
        Self { stream, head: String::new(), have: Vec::new() }
    }

    pub fn over(mut stream: S, path: &str, headers: &str) -> Result<Self, String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut client = Self { stream, head: String::new(), have: Vec::new() };
        let end = loop {
            if let Some(end) = client.have.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !client.more() {
                return Err(String::from_utf8_lossy(&client.have).into_owned());
            }
        };
        client.head = String::from_utf8(client.have.drain(..end).collect()).unwrap();
        if !client.head.starts_with("HTTP/1.1 101 ") {
            while client.more() {}
            return Err(client.head + &String::from_utf8_lossy(&client.have));
        }
        assert!(client.head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{}", client.head);
        Ok(client)
    }

    fn more(&mut self) -> bool {
        let mut part = [0; 64 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => false,
            Ok(length) => {
                self.have.extend_from_slice(&part[..length]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn frame(last: bool, rsv: u8, opcode: u8, data: &[u8]) -> Vec<u8> {
        let mut out = vec![u8::from(last) << 7 | rsv << 4 | opcode];
        match data.len() {
            length @ ..=125 => out.push(0x80 | length as u8),
            length @ ..=65535 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        out.extend_from_slice(&mask);
        out.extend(data.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    /// An error is the server's business: it may have closed already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    pub fn send(&mut self, opcode: u8, data: &[u8]) {
        self.raw(&Self::frame(true, 0, opcode, data));
    }

    pub fn say(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    /// The next frame; `None` = the end. The server must not mask.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.have) {
                self.have.drain(..length);
                return Some(frame);
            }
            if !self.more() {
                assert!(self.have.is_empty(), "half a frame at the end: {:?}", self.have);
                return None;
            }
        }
    }

    #[track_caller]
    pub fn hear(&mut self) -> String {
        let frame = self.next().expect("a frame, not the end");
        assert_eq!((frame.last, frame.rsv, frame.opcode), (true, 0, 1), "{:?}", frame.data);
        frame.text().to_owned()
    }

    /// Says something and hears the answer.
    #[track_caller]
    pub fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    /// Tells a puppet to do these things.
    #[track_caller]
    pub fn tell(&mut self, commands: &[&str]) {
        for command in commands {
            assert_eq!(self.ask(command), "ok", "{command}");
        }
    }

    /// The code and reason of the close frame that comes next, and then the end.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let frame = self.next().expect("a close frame, not the end");
        assert_eq!(frame.opcode, 8, "{frame:?}");
        let code = if frame.data.is_empty() { 1005 } else { u16::from_be_bytes([frame.data[0], frame.data[1]]) };
        let reason = String::from_utf8(frame.data.get(2..).unwrap_or_default().to_vec()).unwrap();
        self.raw(&Self::frame(true, 0, 8, &frame.data));
        assert_eq!(self.next(), None, "nothing after a close frame");
        (code, reason)
    }

    /// Closes in good order.
    #[track_caller]
    pub fn bye(mut self) {
        self.send(8, &1000u16.to_be_bytes());
        assert_eq!(self.closed().0, 1000);
    }
}

fn parse(have: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (have.first()?, have.get(1)?);
    assert_eq!(second & 0x80, 0, "a server's frame is not masked");
    let (length, from) = match second {
        126 => (u16::from_be_bytes(have.get(2..4)?.try_into().unwrap()) as usize, 4),
        127 => (u64::from_be_bytes(have.get(2..10)?.try_into().unwrap()) as usize, 10),
        short => (short as usize, 2),
    };
    let data = have.get(from..from + length)?.to_vec();
    Some((Frame { last: first & 0x80 != 0, rsv: first >> 4 & 7, opcode: first & 15, data }, from + length))
}
