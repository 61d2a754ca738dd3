//! What the official suites of Engine.IO 3 and 4 and of Socket.IO 5 check, written anew, against the fixture of a whole
//! gateway over real sockets. Each suite prints how many of its cases pass; all must.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a client that is silent for a while is what is tested")]

mod nothing;
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use homing_core::clock::SystemClock;
use homing_gateway::{Gateway, Parts, Settings};
use serde_json::{Value, json};
use support::{Client, PATIENCE};
use tokio::runtime::Runtime;

/// One gateway with the fixture, and the endpoint that a suite is about.
struct Server {
    addr: SocketAddr,
    path: &'static str,
    version: u8,
    _gateway: Gateway,
    _runtime: Runtime,
}

type Case = (&'static str, fn(&Server));

impl Server {
    fn start(path: &'static str, version: u8) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut settings = Settings { listen: vec![addr], ..Settings::default() };
        settings.hub.threads = 1;
        let parts = Parts {
            settings,
            name: "suite".into(),
            stores: nothing::stores(),
            clock: Arc::new(SystemClock::default()),
            status: Arc::new(nothing::Nothing),
            metrics: None,
            fixture: true,
        };
        let gateway = {
            let _inside = runtime.enter();
            Gateway::start(parts, vec![listener]).unwrap()
        };
        Self { addr, path, version, _gateway: gateway, _runtime: runtime }
    }

    /// A target with this query behind the version.
    fn target(&self, query: &str) -> String {
        format!("{}?EIO={}&{query}", self.path, self.version)
    }

    fn http(&self, method: &str, target: &str, kind: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), answer[end + 4..].to_vec())
    }

    fn get(&self, sid: &str) -> (u16, String) {
        let (status, body) = self.http("GET", &self.polling(sid), "text/plain", b"");
        (status, String::from_utf8(body).unwrap())
    }

    fn post(&self, sid: &str, body: &str) -> (u16, String) {
        let (status, body) = self.http("POST", &self.polling(sid), "text/plain;charset=UTF-8", body.as_bytes());
        (status, String::from_utf8(body).unwrap())
    }

    fn polling(&self, sid: &str) -> String {
        self.target(&format!("transport=polling&sid={sid}"))
    }

    /// The packets as one payload of this version.
    fn payload(&self, packets: &[&str]) -> String {
        match self.version {
            4 => packets.join("\x1e"),
            _ => packets.iter().map(|packet| format!("{}:{packet}", packet.len())).collect(),
        }
    }

    /// Opens a session by polling: its handshake.
    fn open(&self, query: &str) -> Value {
        let (status, body) = self.http("GET", &self.target(&format!("transport=polling{query}")), "", b"");
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{body}");
        let packet = match self.version {
            4 => body.as_str(),
            _ => {
                let (length, packet) = body.split_once(':').unwrap();
                assert_eq!(length, packet.len().to_string());
                packet
            }
        };
        serde_json::from_str(packet.strip_prefix('0').unwrap()).unwrap()
    }

    fn sid(&self) -> String {
        self.open("")["sid"].as_str().unwrap().to_owned()
    }

    fn try_socket(&self, query: &str) -> Result<Client, String> {
        Client::connect(self.addr, &format!("{}?{query}", self.path), "")
    }

    /// A WebSocket with a session of its own, and its handshake.
    fn websocket(&self) -> (Client, Value) {
        let mut client = self.try_socket(&format!("EIO={}&transport=websocket", self.version)).unwrap();
        let handshake = client.hear();
        (client, serde_json::from_str(handshake.strip_prefix('0').unwrap()).unwrap())
    }

    /// A WebSocket for a session that polls.
    fn candidate(&self, sid: &str) -> Client {
        self.try_socket(&format!("EIO={}&transport=websocket&sid={sid}", self.version)).unwrap()
    }

    /// Connected to the main namespace, `auth` is read.
    fn socketio(&self) -> Client {
        let (mut client, _) = self.websocket();
        client.say("40");
        assert!(hear(&mut client).starts_with("40{"));
        assert_eq!(hear(&mut client), r#"42["auth",{}]"#);
        client
    }
}

/// The next text that is no ping.
#[track_caller]
fn hear(client: &mut Client) -> String {
    loop {
        let text = client.hear();
        if text != "2" {
            return text;
        }
    }
}

/// The next frame that is no ping: opcode and bytes.
fn frame(client: &mut Client) -> (u8, Vec<u8>) {
    loop {
        let frame = client.next().expect("a frame, not the end");
        if frame.data != b"2" {
            return (frame.opcode, frame.data);
        }
    }
}

/// The connection is closed by the server, whatever it says before.
#[track_caller]
fn ends(client: &mut Client) {
    while let Some(frame) = client.next() {
        if frame.opcode == 8 {
            client.raw(&Client::<TcpStream>::frame(true, 0, 8, &frame.data));
        }
    }
}

/// The protocol's times are part of the suites: 200 ms for an answer, 1 s for a connect. A machine that is busy with other
/// work may miss them, so a case that fails is tried again, and what fails three times has failed.
fn run(name: &str, server: &Server, cases: &[Case]) {
    let passes = |case: fn(&Server)| catch_unwind(AssertUnwindSafe(|| case(server))).is_ok();
    let mut again = 0;
    let mut failed = Vec::new();
    for (title, case) in cases {
        let tries = (1..=3).find(|_| passes(*case));
        again += tries.unwrap_or(3) - 1;
        failed.extend(tries.is_none().then_some(*title));
    }
    println!("{name}: {} of {} cases pass, {again} tried again", cases.len() - failed.len(), cases.len());
    assert!(failed.is_empty(), "{name}: {failed:?}");
}

// === Engine.IO, of all suites ===

const ENGINE: [Case; 16] = [
    ("handshake by polling", |server| {
        let handshake = server.open("");
        check_handshake(&handshake, &json!(["websocket"]));
    }),
    ("polling: EIO is missing or wrong", |server| {
        for query in ["transport=polling", "EIO=abc&transport=polling"] {
            let (status, body) = server.http("GET", &format!("{}?{query}", server.path), "", b"");
            assert_eq!(status, 400);
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], 5);
        }
    }),
    ("polling: transport is missing or wrong", |server| {
        for query in ["", "transport=abc"] {
            let (status, body) = server.http("GET", &server.target(query), "", b"");
            assert_eq!(status, 400);
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], 0);
        }
    }),
    ("polling: a session is opened by GET alone", |server| {
        for method in ["POST", "PUT"] {
            assert_eq!(server.http(method, &server.target("transport=polling"), "", b"").0, 400);
        }
    }),
    ("handshake by WebSocket", |server| {
        let (client, handshake) = server.websocket();
        check_handshake(&handshake, &json!([]));
        client.bye();
    }),
    ("WebSocket: EIO is missing or wrong", |server| {
        for query in ["transport=websocket", "EIO=abc&transport=websocket"] {
            assert!(server.try_socket(query).err().unwrap().starts_with("HTTP/1.1 400 "));
        }
    }),
    ("WebSocket: transport is missing or wrong", |server| {
        for query in ["EIO=4", "EIO=4&transport=abc", "EIO=3&transport=abc"] {
            assert!(server.try_socket(query).err().unwrap().starts_with("HTTP/1.1 400 "));
        }
    }),
    ("polling: three heartbeats", |server| {
        let sid = server.sid();
        for _ in 0..3 {
            match server.version {
                4 => {
                    assert_eq!(server.get(&sid), (200, "2".to_owned()));
                    assert_eq!(server.post(&sid, "3").0, 200);
                }
                _ => {
                    assert_eq!(server.post(&sid, "1:2").0, 200);
                    assert_eq!(server.get(&sid), (200, "1:3".to_owned()));
                }
            }
        }
    }),
    ("polling: a client that is silent is gone", |server| {
        let sid = server.sid();
        thread::sleep(Duration::from_millis(500));
        let status = if server.version == 4 { server.get(&sid).0 } else { server.post(&sid, "1:2").0 };
        assert_eq!(status, 400);
    }),
    ("WebSocket: three heartbeats", |server| {
        let (mut client, _) = server.websocket();
        for _ in 0..3 {
            match server.version {
                4 => {
                    assert_eq!(client.hear(), "2");
                    client.say("3");
                }
                _ => {
                    client.say("2");
                    assert_eq!(client.hear(), "3");
                }
            }
        }
        client.bye();
    }),
    ("WebSocket: a client that is silent is gone", |server| ends(&mut server.websocket().0)),
    ("polling: close", |server| {
        let sid = server.sid();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| server.get(&sid));
            // The suite sends both at once: the one that waits must be there first for its answer.
            thread::sleep(Duration::from_millis(50));
            assert_eq!(server.post(&sid, &server.payload(&["1"])).0, 200);
            assert_eq!(waiting.join().unwrap(), (200, server.payload(&["6"])));
        });
        assert_eq!(server.get(&sid).0, 400);
    }),
    ("WebSocket: close", |server| {
        let (mut client, _) = server.websocket();
        client.say("1");
        ends(&mut client);
    }),
    ("upgrade", |server| {
        let sid = server.sid();
        let mut client = server.candidate(&sid);
        client.say("2probe");
        assert_eq!(client.hear(), "3probe");
        // A request during the probe ends, so that the client can go on.
        assert_eq!(server.get(&sid), (200, server.payload(&["6"])));
        client.say("5");
        still_there(server, &mut client);
    }),
    ("upgrade without waiting for the probe's answer; no more requests after it", |server| {
        let sid = server.sid();
        let mut client = server.candidate(&sid);
        client.say("2probe");
        client.say("5");
        // Even if it overtakes the upgrade.
        assert_eq!(server.get(&sid).0, 400);
        assert_eq!(client.hear(), "3probe");
        still_there(server, &mut client);
        assert_eq!(server.get(&sid).0, 400);
    }),
    ("no second WebSocket after the upgrade", |server| {
        let sid = server.sid();
        let mut client = server.candidate(&sid);
        client.say("2probe");
        client.say("5");
        assert_eq!(client.hear(), "3probe");
        still_there(server, &mut client);
        ends(&mut server.candidate(&sid));
        still_there(server, &mut client);
    }),
];

fn check_handshake(handshake: &Value, upgrades: &Value) {
    let expected = json!({
        "sid": handshake["sid"], "upgrades": upgrades, "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000,
    });
    assert_eq!(handshake, &expected);
    assert!(handshake["sid"].is_string());
}

/// The session answers over this WebSocket.
fn still_there(server: &Server, client: &mut Client) {
    if server.path == "/engine.io/" {
        client.say("4hello");
        assert_eq!(hear(client), "4hello");
    } else {
        client.say("40/nowhere,");
        assert_eq!(hear(client), r#"44/nowhere,{"message":"Invalid namespace"}"#);
    }
}

// === Messages of Engine.IO ===

const MESSAGES: [Case; 8] = [
    ("polling: one text", |server| echoed(server, "", &["4hello"])),
    ("polling: several texts", |server| echoed(server, "", &["4test1", "4test2", "4test3"])),
    ("polling: text and base64", |server| match server.version {
        4 => echoed(server, "", &["4hello", "bAQIDBA=="]),
        _ => echoed(server, "&b64=1", &["4hello", "b4AQIDBA=="]),
    }),
    ("polling: a malformed packet ends the session", |server| {
        let sid = server.sid();
        assert_eq!(server.post(&sid, "abc").0, 400);
        assert_eq!(server.get(&sid).0, 400);
    }),
    ("polling: two requests at a time end the session", |server| {
        let sid = server.sid();
        thread::scope(|scope| {
            let first = scope.spawn(|| server.get(&sid));
            thread::sleep(Duration::from_millis(50));
            assert_eq!(server.get(&sid).0, 400);
            assert_eq!(first.join().unwrap(), (200, server.payload(&["1"])));
        });
        assert_eq!(server.get(&sid).0, 400);
    }),
    ("WebSocket: text", |server| {
        let (mut client, _) = server.websocket();
        client.say("4hello");
        assert_eq!(hear(&mut client), "4hello");
        client.bye();
    }),
    ("WebSocket: binary", |server| {
        let (mut client, _) = server.websocket();
        let bytes = if server.version == 4 { vec![1, 2, 3, 4] } else { vec![4, 1, 2, 3, 4] };
        client.send(2, &bytes);
        assert_eq!(frame(&mut client), (2, bytes));
        client.bye();
    }),
    ("WebSocket: a malformed packet ends the session", |server| {
        let (mut client, _) = server.websocket();
        client.say("abc");
        ends(&mut client);
    }),
];

fn echoed(server: &Server, query: &str, packets: &[&str]) {
    let sid = server.open(query)["sid"].as_str().unwrap().to_owned();
    let payload = server.payload(packets);
    assert_eq!(server.post(&sid, &payload), (200, "ok".to_owned()));
    assert_eq!(server.get(&sid), (200, payload));
}

const FRAMING: Case = ("polling: text and binary framing", |server| {
    let sid = server.sid();
    let payload = [&[0, 6, 255][..], b"4hello", &[1, 5, 255, 4, 1, 2, 3, 4]].concat();
    let posted = server.http("POST", &server.polling(&sid), "application/octet-stream", &payload);
    assert_eq!(posted, (200, b"ok".to_vec()));
    assert_eq!(server.http("GET", &server.polling(&sid), "", b""), (200, payload));
});

// === Socket.IO ===

const SOCKETIO: [Case; 16] = [
    ("connect", |server| connect(server, "40", "40", r#"42["auth",{}]"#)),
    ("connect with a payload", |server| {
        connect(server, r#"40{"token":"123"}"#, "40", r#"42["auth",{"token":"123"}]"#);
    }),
    ("connect to another namespace", |server| connect(server, "40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#)),
    ("connect to another namespace with a payload", |server| {
        connect(server, r#"40/custom,{"token":"abc"}"#, "40/custom,", r#"42/custom,["auth",{"token":"abc"}]"#);
    }),
    ("connect to an unknown namespace", |server| {
        let (mut client, _) = server.websocket();
        client.say("40/random");
        assert_eq!(hear(&mut client), r#"44/random,{"message":"Invalid namespace"}"#);
    }),
    ("a malformed connect ends the connection", |server| {
        let (mut client, _) = server.websocket();
        client.say("4abc");
        ends(&mut client);
    }),
    ("without a connect the connection ends", |server| {
        let (mut client, _) = server.websocket();
        // Heartbeats go on, so that it is the time without a connect.
        for _ in 0..2 {
            assert_eq!(client.hear(), "2");
            client.say("3");
        }
        ends(&mut client);
    }),
    ("leaving the main namespace leaves the connection", |server| {
        let mut client = server.socketio();
        client.say("41");
        assert_eq!(client.hear(), "2");
    }),
    ("leaving one namespace leaves the other", |server| {
        let mut client = server.socketio();
        client.say("40/custom");
        assert!(hear(&mut client).starts_with("40/custom,{"));
        assert_eq!(hear(&mut client), r#"42/custom,["auth",{}]"#);
        client.say("41/custom");
        client.say(r#"42["message","to the main namespace"]"#);
        assert_eq!(hear(&mut client), r#"42["message-back","to the main namespace"]"#);
    }),
    ("event", |server| {
        let mut client = server.socketio();
        client.say(r#"42["message",1,"2",{"3":[true]}]"#);
        assert_eq!(hear(&mut client), r#"42["message-back",1,"2",{"3":[true]}]"#);
    }),
    ("event with attachments", |server| {
        let mut client = server.socketio();
        client.say(r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
        binary(&mut client, r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
    }),
    ("acknowledgement", |server| {
        let mut client = server.socketio();
        client.say(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
        assert_eq!(hear(&mut client), r#"43456[1,"2",{"3":[false]}]"#);
    }),
    ("acknowledgement with attachments", |server| {
        let mut client = server.socketio();
        client.say(r#"452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
        binary(&mut client, r#"462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
    }),
    ("an unknown type ends the connection", |server| cut_off(server, "4abc")),
    ("a payload that is no array ends the connection", |server| cut_off(server, "42{}")),
    ("a number that is none ends the connection", |server| {
        cut_off(server, r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#);
    }),
];

fn connect(server: &Server, packet: &str, start: &str, auth: &str) {
    let (mut client, handshake) = server.websocket();
    client.say(packet);
    let answer = hear(&mut client);
    let answer: Value = serde_json::from_str(answer.strip_prefix(start).unwrap()).unwrap();
    assert_eq!(answer, json!({"sid": answer["sid"]}));
    assert!(answer["sid"].is_string() && answer["sid"] != handshake["sid"]);
    assert_eq!(hear(&mut client), auth);
}

fn binary(client: &mut Client, text: &str) {
    client.send(2, &[1, 2, 3]);
    client.send(2, &[4, 5, 6]);
    assert_eq!(hear(client), text);
    assert_eq!(frame(client), (2, vec![1, 2, 3]));
    assert_eq!(frame(client), (2, vec![4, 5, 6]));
}

fn cut_off(server: &Server, packet: &str) {
    let mut client = server.socketio();
    client.say(packet);
    ends(&mut client);
}

#[test]
fn socketio_5() {
    run("Socket.IO 5", &Server::start("/socket.io/", 4), &[&ENGINE[..], &SOCKETIO].concat());
}

#[test]
fn engineio_4() {
    run("Engine.IO 4", &Server::start("/engine.io/", 4), &[&ENGINE[..], &MESSAGES].concat());
}

#[test]
fn engineio_3() {
    run("Engine.IO 3", &Server::start("/engine.io/", 3), &[&ENGINE[..], &MESSAGES, &[FRAMING]].concat());
}
