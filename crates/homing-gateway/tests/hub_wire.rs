//! The hub with TLS and with compression, and a socket that HTTP has upgraded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use homing_gateway::{
    hub::{Counts, Http, HttpIo, Hub, Ports, Settings, Tls},
    net::handshake,
    session::Admission,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use support::{
    Client, Echo, Log, PATIENCE, Stage, message,
    puppet::{Puppet, room},
    user,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn settings() -> Settings {
    Settings { threads: 2, rate: 0, ..Settings::default() }
}

struct Certified {
    tls: Tls,
    client: Arc<ClientConfig>,
}

fn certified() -> Certified {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Tls { certificate: made.cert.pem(), key: made.signing_key.serialize_pem().into() };
    Certified { tls, client: Arc::new(client) }
}

impl Certified {
    fn open(&self, addr: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.client), name).unwrap(), stream)
    }

    fn connect(&self, addr: SocketAddr, path: &str) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        Client::over(self.open(addr), path, "").unwrap()
    }
}

#[test]
fn tls_carries_websockets_http_and_sockets_that_move() {
    let certified = certified();
    let settings =
        Settings { tls: Some(certified.tls.clone()), handshake_timeout: Duration::from_secs(2), ..settings() };
    let (stage, _) = Stage::puppets(settings);
    for _ in 0..6 {
        let mut main = certified.connect(stage.addr, "/engine?stays=1");
        let sid = main.hear().strip_prefix("open ").unwrap().to_owned();
        let big = "x".repeat(500_000);
        assert_eq!(main.ask(&format!("echo {big}")), big);
        let mut offer = certified.connect(stage.addr, &format!("/offer?sid={sid}"));
        assert_eq!(offer.hear(), format!("offered {sid}"));
        offer.tell(&["join a", "promote", "direct"]);
        assert_eq!(main.closed().0, 1000);
        stage.deliver(&[room("a")], &[], message(&user("1"), None, "one"));
        assert_eq!(offer.hear(), "\"one\"");
        offer.say("close 1000");
        assert_eq!(offer.closed().0, 1000);
    }
    let mut web = certified.open(stage.addr);
    web.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    web.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("GET /healthz HTTP/1.1 from 127.0.0.1"), "{answer}");
    // Who speaks no TLS, or says nothing, is left alone in the end.
    let mut plain = TcpStream::connect(stage.addr).unwrap();
    let silent = TcpStream::connect(stage.addr).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    for mut stream in [plain, silent] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).ok();
        assert!(!rest.starts_with(b"HTTP"));
    }
    stage.until(|counts| *counts == Counts::default());
}

#[test]
fn a_stalled_tls_client_is_closed_and_others_are_served() {
    let certified = certified();
    let settings = Settings {
        tls: Some(certified.tls.clone()),
        overflow: 64 * 1024,
        close_timeout: Duration::from_millis(300),
        ..settings()
    };
    let (stage, log) = Stage::puppets(settings);
    let mut clients: Vec<_> = (0..2)
        .map(|_| {
            let mut client = certified.connect(stage.addr, "/");
            client.hear();
            client.tell(&["join a", "direct"]);
            client
        })
        .collect();
    let data = "x".repeat(60_000);
    for _ in 0..200 {
        stage.deliver(&[room("a")], &[], message(&user("1"), None, &data));
        assert_eq!(clients[1].next().unwrap().data.len(), 60_002);
    }
    log.until("ended 4001");
    stage.until(|counts| counts.sessions == 1 && counts.overflow == 0);
}

#[test]
fn messages_are_compressed_each_by_itself_for_who_agreed() {
    let (stage, _) = Stage::puppets(Settings { deflate: true, deflate_from: 100, ..settings() });
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let mut small = Client::connect(stage.addr, "/", offer).unwrap();
    assert!(
        small.head.contains(
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        ),
        "{}",
        small.head
    );
    small.hear();
    let (mut large, _) = stage.puppet("/");
    for client in [&mut small, &mut large] {
        client.tell(&["join a", "direct"]);
    }
    let text = "many times the same; ".repeat(100);
    for _ in 0..3 {
        stage.deliver(&[room("a")], &[], message(&user("1"), None, &text));
        let frame = small.next().unwrap();
        assert_eq!((frame.last, frame.rsv, frame.opcode), (true, 4, 1));
        assert!(frame.data.len() < 200, "{}", frame.data.len());
        let mut out = Vec::with_capacity(10_000);
        let bytes = [&frame.data[..], &[0, 0, 0xff, 0xff]].concat();
        Decompress::new(false).decompress_vec(&bytes, &mut out, FlushDecompress::Sync).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("\"{text}\""));
        assert_eq!(large.hear(), format!("\"{text}\""));
    }
    // From the client, in fragments, with a ping between.
    let deflated = |text: &[u8]| {
        let mut out = Vec::with_capacity(text.len() + 100);
        Compress::new(Compression::best(), false).compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    };
    let command = deflated(b"echo short");
    let (head, tail) = command.split_at(4);
    small.raw(&Client::<TcpStream>::frame(false, 4, 1, head));
    small.send(9, b"");
    small.raw(&Client::<TcpStream>::frame(true, 0, 0, tail));
    assert_eq!(small.next().unwrap().opcode, 10);
    assert_eq!(small.hear(), "short");
    for (data, code) in
        [(deflated(b"echo \xff"), 1007), (vec![0xff; 20], 1007), (deflated(&vec![b'x'; 2_000_000]), 1009)]
    {
        let mut client = Client::connect(stage.addr, "/", offer).unwrap();
        client.hear();
        client.raw(&Client::<TcpStream>::frame(true, 4, 1, &data));
        assert_eq!(client.closed().0, code);
    }
    // Without the agreement the bit is reserved.
    large.raw(&Client::<TcpStream>::frame(true, 4, 1, &command));
    assert_eq!(large.closed().0, 1002);
}

/// Answers a handshake as HTTP would on a connection that is kept alive, and hands the socket back.
struct Upgrading {
    runtime: tokio::runtime::Handle,
    hub: Arc<Mutex<Option<Hub>>>,
    log: Log,
}

impl Http for Upgrading {
    fn serve(&self, mut io: HttpIo, _: SocketAddr) {
        let hub = self.hub.lock().unwrap().clone().unwrap();
        let session = Puppet::boxed(&self.log);
        self.runtime.spawn(async move {
            let mut head = vec![0; 4096];
            let length = io.read(&mut head).await.unwrap();
            assert!(head[..length].starts_with(b"GET /first "));
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let length = io.read(&mut head).await.unwrap();
            let request = String::from_utf8(head[..length].to_vec()).unwrap();
            let headers = request.lines().skip(1).filter_map(|line| line.split_once(": "));
            let pairs = headers.map(|(name, value)| (name, value.as_bytes()));
            let upgrade = handshake::upgrade(true, true, pairs, hub.rules()).unwrap().unwrap();
            io.write_all(upgrade.answer().as_bytes()).await.unwrap();
            // What came with it was read, too.
            let leftover = Client::<TcpStream>::frame(true, 0, 1, b"echo leftover").into();
            hub.adopt(io, leftover, upgrade.deflate, Admission::Session(session)).await.unwrap();
        });
    }
}

#[test]
fn a_socket_that_http_upgraded_is_adopted() {
    let (other, log) = Stage::puppets(settings());
    let slot = Arc::new(Mutex::new(None));
    let http = Upgrading { runtime: other.runtime.handle().clone(), hub: Arc::clone(&slot), log };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let ports = Ports { http: Arc::new(http), ..other.ports.clone() };
    let hub = Hub::start(settings(), vec![listener], ports).unwrap();
    *slot.lock().unwrap() = Some(hub.clone());
    for _ in 0..4 {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut head = [0; 38];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head[..], b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let mut client = Client::over(stream, "/second", "").unwrap();
        assert!(client.hear().starts_with("open "));
        assert_eq!(client.hear(), "leftover");
        assert_eq!(client.ask("echo more"), "more");
        client.bye();
    }
    other.runtime.block_on(hub.drain(Some(Duration::ZERO)));
    assert_eq!(hub.counts(), Counts::default());
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let tls = |certificate: &str, key: &str| Settings {
        tls: Some(Tls { certificate: certificate.to_owned(), key: key.to_owned().into() }),
        ..Settings::default()
    };
    let good = certified().tls;
    for (settings, words) in [
        (Settings { max_sockets: 0, ..Settings::default() }, "gateway.hub.max_sockets: 0 is too little"),
        (Settings { overflow: 1, ..Settings::default() }, "gateway.hub.overflow: 1 is too little"),
        (Settings { close_timeout: Duration::ZERO, ..Settings::default() }, "gateway.hub.close_timeout: from 100ms"),
        (Settings { protocols: vec!["a b".to_owned()], ..Settings::default() }, "gateway.hub.protocols: \"a b\""),
        (tls("nonsense", "nonsense"), "gateway.hub.tls.certificate: there is none"),
        (tls(&good.certificate, "nonsense"), "gateway.hub.tls.key: no private key"),
        (
            Settings { tls: Some(Tls { key: certified().tls.key, ..good.clone() }), ..Settings::default() },
            "gateway.hub.tls.key: does not fit",
        ),
    ] {
        let error = settings.check().unwrap_err();
        assert!(error.starts_with(words), "{error}");
    }
    Settings::default().check().unwrap();
    let stage = Stage::new(settings(), |_| Some(Admission::Session(Box::new(Echo))));
    stage.connect("/").bye();
}
