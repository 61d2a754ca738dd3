//! The hub over real sockets: who hears what, who is let in, and what an end is like.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use homing_gateway::{
    desk::{Callback, Reply},
    hub::{Counts, Full, Order, Settings},
    parcel::{Dialect, Emit, Parcel, Payload, Source},
    session::{Close, Move, Poll, PollRequest},
    topic::{Room, Topic},
};
use support::{
    Client, PATIENCE, Stage, Told, at, message,
    puppet::{Puppet, key_text, room},
    user,
};

fn settings() -> Settings {
    Settings { threads: 2, rate: 0, ..Settings::default() }
}

fn one() -> Settings {
    Settings { threads: 1, ..settings() }
}

fn to_stream(name: &str) -> [Topic; 1] {
    [Topic::Stream(user(name))]
}

fn http(stage: &Stage, request: &str) -> String {
    let mut stream = TcpStream::connect(stage.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for part in request.as_bytes().chunks(7) {
        stream.write_all(part).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_is_no_websocket_is_served_by_http() {
    let (stage, _) = Stage::puppets(settings());
    for request in
        ["GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "POST /rpc HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n"]
    {
        let line = request.lines().next().unwrap();
        let answer = http(&stage, request);
        assert!(answer.ends_with(&format!("\r\n\r\n{line} from 127.0.0.1")), "{answer}");
    }
    // A path that no doorman knows is HTTP's, too.
    let answer = Client::connect(stage.addr, "/web/socket", "").err().unwrap();
    assert!(answer.ends_with("GET /web/socket HTTP/1.1 from 127.0.0.1"), "{answer}");
    stage.until(|counts| counts.connections == 0 && counts.handshakes == 0);
}

#[test]
fn a_wrong_handshake_is_answered_exactly() {
    let (stage, _) = Stage::puppets(settings());
    let good = [
        "Host: a",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let with = |at: usize, line: &str| {
        let mut lines = good;
        lines[at] = line;
        format!("GET /x HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"))
    };
    for (request, status, word) in [
        (with(0, "X: a"), 400, "Host"),
        (with(2, "Connection: keep-alive"), 400, "Connection"),
        (with(3, "Sec-WebSocket-Version: 8"), 426, "Version must be 13"),
        (with(3, "X: 13"), 426, "sec-websocket-version: 13\r\n"),
        (with(4, "X: y"), 400, "Key"),
        (with(4, "Sec-WebSocket-Key: dG9vIHNob3J0"), 400, "16 bytes"),
        (
            with(4, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
            400,
            "once",
        ),
        (with(0, "Host: a").replace("GET ", "POST "), 400, "GET"),
        (with(0, "Host: a").replace("HTTP/1.1", "HTTP/1.0"), 400, "HTTP/1.1"),
        (with(0, "Host: a").replace("/x", "/refuse"), 403, "not you\n"),
        ("nonsense\0\r\n\r\n".to_owned(), 400, "no request"),
        (format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(100) + "\r\n"), 431, "too many headers"),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)), 431, "too long"),
    ] {
        let answer = http(&stage, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains(word) && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    stage.until(|counts| *counts == Counts::default());
}

#[test]
fn a_subprotocol_is_chosen_only_if_it_is_known() {
    let settings = Settings { protocols: vec!["b".to_owned(), "c".to_owned()], ..settings() };
    let (stage, _) = Stage::puppets(settings);
    let client = Client::connect(stage.addr, "/", "Sec-WebSocket-Protocol: a, c, b\r\n").unwrap();
    assert!(client.head.contains("Sec-WebSocket-Protocol: c\r\n"), "{}", client.head);
    let client = Client::connect(stage.addr, "/", "Sec-WebSocket-Protocol: a\r\n").unwrap();
    assert!(!client.head.contains("Sec-WebSocket-Protocol"), "{}", client.head);
}

#[test]
fn everybody_in_any_of_the_rooms_hears_it_once() {
    let (stage, _) = Stage::puppets(settings());
    let rooms = [vec!["a"], vec!["a", "b"], vec!["b", "c"], vec!["c"], vec!["a", "b", "out"], vec!["d"]];
    let mut clients: Vec<_> = rooms
        .iter()
        .enumerate()
        .map(|(number, rooms)| {
            let (mut client, _) = stage.puppet("/");
            client.tell(&[&format!("join {}", rooms.join(" "))]);
            if number % 2 == 0 {
                client.tell(&["direct"]);
            }
            client
        })
        .collect();
    let parcel = |data: &str| message(&user("nobody"), None, data);
    stage.deliver(&[room("a"), room("b")], &[room("out")], parcel("one"));
    stage.deliver(&[room("a"), room("b"), room("c"), room("d")], &[], parcel("two"));
    for (number, client) in clients.iter_mut().enumerate() {
        if number < 3 {
            assert_eq!(client.hear(), "\"one\"", "{number}");
        }
        assert_eq!(client.hear(), "\"two\"", "{number}");
        assert_eq!(client.ask("echo end"), "end");
    }
    // A room that is no more has nobody in it; somebody may enter it again.
    stage.order(Order::CloseRoom("/".into(), Room::Name("a".into())));
    stage.order(Order::Move(room("c"), Move::Enter { namespace: "/".into(), room: Room::Name("a".into()) }));
    assert_eq!((clients[2].hear(), clients[3].hear()), ("moved".to_owned(), "moved".to_owned()));
    stage.deliver(&[room("a")], &[], parcel("three"));
    assert_eq!((clients[2].hear(), clients[3].hear()), ("\"three\"".to_owned(), "\"three\"".to_owned()));
    assert_eq!(clients[0].ask("rooms"), "0");
    assert_eq!(clients[2].ask("rooms"), "3");
    stage.order(Order::End(room("d"), Close::new(4103, "dismissed")));
    assert_eq!(clients[5].closed(), (4103, "dismissed".to_owned()));
    clients.truncate(5);
    for client in clients {
        client.bye();
    }
    stage.until(|counts| *counts == Counts::default());
}

#[test]
fn an_emit_is_heard_by_its_dialect_and_a_callback_is_told() {
    let (stage, _) = Stage::puppets(settings());
    let (mut plain, _) = stage.puppet("/");
    let (mut engine, _) = stage.puppet("/engine");
    for client in [&mut plain, &mut engine] {
        client.tell(&["join a", "direct"]);
    }
    let counts = stage.hub.counts();
    assert_eq!((counts.plain, counts.engine4, counts.engine3), (1, 1, 0));
    let emit =
        |array: &'static str| Source::Emit(Emit { namespace: "/".into(), array: array.into(), binary: Vec::new() });
    stage.deliver(&[room("a")], &[], emit("[\"one\"]"));
    let callback = Callback { host: "h".into(), room: "r".into(), namespace: "/".into(), id: "7".into(), source: 0 };
    stage.order(Order::Deliver {
        to: [room("a")].into(),
        except: [].into(),
        parcel: Arc::new(Parcel::new(emit("[\"two\"]"))),
        callback: Some(Arc::new(callback)),
    });
    let ready = Source::Ready(Dialect::Plain, vec![Payload::Text("read".into())]);
    stage.deliver(&[room("a")], &[], ready);
    assert_eq!(engine.hear(), "[\"one\"]");
    assert_eq!(engine.hear(), "callback 7");
    assert_eq!(engine.hear(), "[\"two\"]");
    assert_eq!(engine.ask("echo end"), "end");
    assert_eq!(plain.hear(), "callback 7");
    assert_eq!(plain.hear(), "read");
}

#[test]
fn a_gap_is_asked_for_once_and_closed_in_order() {
    let (stage, _) = Stage::puppets(one());
    let (mut client, _) = stage.puppet("/");
    client.tell(&["join u:1", "direct"]);
    stage.until_told(&Told::Follows(0, "u:1".into(), true));
    let stream = user("1");
    let say =
        |offset: u64| stage.deliver(&to_stream("1"), &[], message(&stream, Some(at(5, offset)), &offset.to_string()));
    for offset in [1, 2, 2, 1, 5, 6, 4] {
        say(offset);
    }
    stage.until_told(&Told::Behind(0, "u:1".into(), at(5, 2)));
    let parcel =
        |offset: u64| (offset, Arc::new(Parcel::new(message(&stream, Some(at(5, offset)), &offset.to_string()))));
    let caught = |whole, top, messages: &[u64]| Order::CaughtUp {
        stream: stream.clone(),
        whole,
        top,
        messages: messages.iter().map(|offset| parcel(*offset)).collect(),
    };
    stage.order(caught(true, at(5, 6), &[2, 3, 4, 5, 6]));
    say(7);
    for offset in 1..=7 {
        assert_eq!(client.hear(), format!("\"{offset}\""));
    }
    assert_eq!(stage.desk.count(|told| matches!(told, Told::Behind(..))), 1);
    assert_eq!(stage.runtime.block_on(stage.hub.places(0)), [(stream.clone(), at(5, 7))]);
    // It began anew, and nobody knows what is missing.
    say(9);
    stage.until_told(&Told::Behind(0, "u:1".into(), at(5, 7)));
    stage.order(caught(false, at(6, 3), &[]));
    assert_eq!(client.hear(), "broken u:1");
    stage.deliver(&to_stream("1"), &[], message(&stream, Some(at(6, 4)), "anew"));
    stage.deliver(&to_stream("1"), &[], message(&stream, None, "not stored"));
    assert_eq!((client.hear(), client.hear()), ("\"anew\"".to_owned(), "\"not stored\"".to_owned()));
    // An answer in two parts: what came meanwhile is beyond the first.
    stage.deliver(&to_stream("1"), &[], message(&stream, Some(at(6, 9)), "9"));
    let order = |top, messages: &[u64]| Order::CaughtUp {
        stream: stream.clone(),
        whole: true,
        top: at(6, top),
        messages: messages
            .iter()
            .map(|o| (*o, Arc::new(Parcel::new(message(&stream, Some(at(6, *o)), &o.to_string())))))
            .collect(),
    };
    stage.order(order(6, &[5, 6]));
    stage.until_told(&Told::Behind(0, "u:1".into(), at(6, 6)));
    stage.order(order(9, &[7, 8, 9]));
    for offset in 5..=9 {
        assert_eq!(client.hear(), format!("\"{offset}\""));
    }
    client.tell(&["leave u:1"]);
    stage.until_told(&Told::Follows(0, "u:1".into(), false));
    assert!(stage.runtime.block_on(stage.hub.places(0)).is_empty());
}

#[test]
fn what_comes_while_the_backlog_is_read_follows_it_once() {
    let (stage, log) = Stage::puppets(one());
    let stream = user("1");
    let say =
        |offset: u64| stage.deliver(&to_stream("1"), &[], message(&stream, Some(at(5, offset)), &offset.to_string()));
    let (mut first, _) = stage.puppet("/");
    first.tell(&["join u:1", "direct"]);
    say(1);
    let (mut second, _) = stage.puppet("/");
    second.tell(&["hold", "join u:1"]);
    say(2);
    say(3);
    stage.deliver(&to_stream("1"), &[], message(&stream, None, "loose"));
    say(4);
    for wanted in ["\"1\"", "\"2\"", "\"3\"", "\"loose\"", "\"4\""] {
        assert_eq!(first.hear(), wanted);
    }
    // The backlog brought 1 to 3; nothing of the rest was shown yet.
    second.tell(&["echo ok", "direct", "live u:1 5 3"]);
    assert_eq!((second.hear(), second.hear()), ("\"loose\"".to_owned(), "\"4\"".to_owned()));
    // A third one is ahead of the bus.
    let (mut third, _) = stage.puppet("/");
    third.tell(&["hold", "join u:1", "direct", "live u:1 5 6"]);
    for offset in 5..=7 {
        say(offset);
    }
    for offset in 5..=7 {
        assert_eq!(second.hear(), format!("\"{offset}\""));
    }
    assert_eq!(third.hear(), "\"7\"");
    // One whose backlog is older than what was shown before it came has missed something.
    let (mut fourth, _) = stage.puppet("/");
    fourth.tell(&["hold", "join u:1", "direct", "live u:1 5 6"]);
    assert_eq!(fourth.hear(), "broken u:1");
    // Too much at a time.
    drop(stage);
    let (stage, _) = Stage::puppets(Settings { max_held: 4_096, ..one() });
    let (mut client, _) = stage.puppet("/");
    client.tell(&["hold", "join u:1"]);
    for offset in 1..40 {
        stage.deliver(&to_stream("1"), &[], message(&stream, Some(at(5, offset)), "x"));
    }
    assert_eq!(client.closed().0, 4002);
    drop(log);
}

#[test]
fn presence_is_balanced_however_a_session_ends() {
    let (stage, log) = Stage::puppets(Settings { close_timeout: Duration::from_millis(500), ..settings() });
    let session = || {
        let (mut client, key) = stage.puppet("/");
        client.tell(&["identify 1", "join u:1 r", "identify 42"]);
        (client, key)
    };
    session().0.bye();
    drop(session());
    let (mut client, _) = session();
    client.say("close 4101");
    assert_eq!(client.closed(), (4101, "as told".to_owned()));
    let (mut client, _) = session();
    client.say("panic");
    assert_eq!(client.closed().0, 1011);
    let (mut client, _) = session();
    client.raw(b"\xff\xff");
    assert_eq!(client.closed().0, 1002);
    let (mut client, _) = session();
    client.tell(&["identify"]);
    stage.until_told(&Told::Went("42".into()));
    client.bye();
    let (mut client, _) = session();
    stage.order(Order::End(room("r"), Close::new(4103, "dismissed")));
    // It does not answer the close, and is cut off.
    assert_eq!(client.next().unwrap().opcode, 8);
    assert_eq!(client.next(), None);
    stage.until(|counts| *counts == Counts::default());
    for user in ["1", "42"] {
        assert_eq!(stage.desk.count(|told| *told == Told::Came(user.into())), 7, "{user}");
        assert_eq!(stage.desk.count(|told| *told == Told::Went(user.into())), 7, "{user}");
    }
    let follows = |yes| stage.desk.count(|told| matches!(told, Told::Follows(_, _, now) if *now == yes));
    assert_eq!((follows(true), follows(false)), (7, 7));
    // The one that panicked is not asked for a goodbye.
    assert_eq!(log.all().iter().filter(|line| line.starts_with("ended")).count(), 6, "{:?}", log.all());
}

#[test]
fn a_session_is_woken_pings_and_knows_what_it_heard() {
    let (stage, _) = Stage::puppets(one());
    let (mut client, _) = stage.puppet("/");
    client.tell(&["wake 200", "wake 100000", "wake 100"]);
    assert_eq!(client.hear(), "woken");
    client.tell(&["wake 100", "wake"]);
    client.say("ping");
    let ping = client.next().unwrap();
    assert_eq!((ping.opcode, ping.data.len()), (9, 4));
    assert_eq!(client.hear(), "pinged 1");
    assert_eq!(client.ask("answered"), "answered 0");
    client.send(10, b"wrong");
    client.send(10, &[0, 0, 0, 9]);
    assert_eq!(client.ask("answered"), "answered 0");
    client.send(10, &ping.data);
    assert_eq!(client.ask("answered"), "answered 1");
    let quiet: u64 = client.ask("quiet").parse().unwrap();
    assert!(quiet < 10_000, "{quiet}");
    // It would have come by now.
    client.tell(&["wake 300"]);
    assert_eq!(client.hear(), "woken");
    assert_eq!(client.ask("echo end"), "end");
}

#[test]
fn a_socket_is_offered_to_a_session_wherever_it_is() {
    let (stage, log) = Stage::puppets(settings());
    for _ in 0..8 {
        let (mut main, key) = stage.puppet("/engine?stays=1");
        let sid = key_text(key);
        let mut offer = stage.connect(&format!("/offer?sid={sid}"));
        assert_eq!(offer.hear(), format!("offered {sid}"));
        assert_eq!(main.ask("echo main"), "main");
        // Only one offer at a time.
        let answer = Client::connect(stage.addr, &format!("/offer?sid={sid}"), "").err().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        offer.tell(&["join a", "promote", "direct"]);
        assert_eq!(main.closed().0, 1000);
        stage.deliver(&[room("a")], &[], message(&user("1"), None, "one"));
        assert_eq!(offer.hear(), "\"one\"");
        let mut third = stage.connect(&format!("/offer?sid={sid}"));
        assert_eq!(third.hear(), format!("offered {sid}"));
        offer.tell(&["drop"]);
        assert_eq!(third.closed(), (4000, "not wanted".to_owned()));
        // It stays without a socket, and takes another.
        offer.bye();
        log.until("lost Main");
        let mut fourth = stage.connect(&format!("/offer?sid={sid}"));
        assert_eq!(fourth.hear(), format!("offered {sid}"));
        fourth.tell(&["promote"]);
        fourth.say("close 1000");
        assert_eq!(fourth.closed().0, 1000);
        let answer = Client::connect(stage.addr, &format!("/offer?sid={sid}"), "").err().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    stage.until(|counts| *counts == Counts::default());
}

#[test]
fn a_session_without_a_socket_polls() {
    let (stage, log) = Stage::puppets(Settings { max_sockets: 1, ..one() });
    let key = stage.runtime.block_on(stage.hub.open(Puppet::boxed(&log))).unwrap();
    assert_eq!(stage.runtime.block_on(stage.hub.open(Puppet::boxed(&log))), Err(Full));
    assert!(stage.hub.full());
    let ask = |key| {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let what = PollRequest::Post { body: "hello".into(), binary: false };
        stage.order(Order::Poll(key, Poll { sid: String::new(), what, reply: tx }));
        stage.runtime.block_on(rx)
    };
    assert_eq!(ask(key).unwrap().status, 200);
    stage.order(Order::Reply(key, Reply::Rpc(None)));
    stage.order(Order::End(room("polled"), Close::new(1000, "")));
    log.until("ended 1000");
    assert!(ask(key).is_err());
    assert_eq!(log.count("post hello"), 1);
    // Its place is another session's now, which is not addressed by the old key.
    let next = stage.runtime.block_on(stage.hub.open(Puppet::boxed(&log))).unwrap();
    assert_eq!((next.slot, next.generation), (key.slot, key.generation + 1));
    assert!(ask(key).is_err());
}

#[test]
fn beyond_the_limit_a_websocket_is_told_to_come_later_and_http_works() {
    let (stage, _) = Stage::puppets(Settings { max_sockets: 2, ..settings() });
    let (first, second) = (stage.puppet("/").0, stage.puppet("/").0);
    let answer = Client::connect(stage.addr, "/", "").err().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
    assert!(http(&stage, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").contains("200 OK"));
    first.bye();
    stage.until(|counts| counts.sessions == 1);
    stage.puppet("/").0.bye();
    second.bye();
}

#[test]
fn who_says_nothing_gives_way_when_others_wait() {
    let settings = Settings { handshakes: 4, handshake_timeout: Duration::from_secs(600), ..one() };
    let (stage, _) = Stage::puppets(settings);
    let silent: Vec<_> = (0..12).map(|_| TcpStream::connect(stage.addr).unwrap()).collect();
    stage.until(|counts| counts.handshakes == 4);
    // Behind all of them.
    stage.puppet("/").0.bye();
    drop(silent);
    stage.until(|counts| *counts == Counts::default());
}

#[test]
fn handshakes_in_progress_are_capped_and_time_out() {
    let settings = Settings { handshakes: 4, handshake_timeout: Duration::from_millis(300), ..one() };
    let (stage, _) = Stage::puppets(settings);
    let idle: Vec<_> = (0..12).map(|_| TcpStream::connect(stage.addr).unwrap()).collect();
    stage.until(|counts| counts.handshakes == 4);
    // It waits behind them, until they have had their time.
    stage.puppet("/").0.bye();
    for mut stream in idle {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    stage.until(|counts| *counts == Counts::default());
}

#[test]
fn too_many_frames_are_a_reason_to_part() {
    let (stage, _) = Stage::puppets(Settings { rate: 5, burst: 20, ..settings() });
    let (mut client, _) = stage.puppet("/");
    for _ in 0..100 {
        client.say("echo x");
    }
    let heard = std::iter::from_fn(|| client.next()).take_while(|frame| frame.opcode == 1).count();
    assert!((20..50).contains(&heard), "{heard}");
}

#[test]
fn a_client_that_takes_nothing_costs_a_bounded_memory_and_is_closed() {
    let settings = Settings { overflow: 64 * 1024, close_timeout: Duration::from_millis(300), ..settings() };
    let (stage, log) = Stage::puppets(settings);
    let stalled: Vec<_> = (0..10)
        .map(|_| {
            let (mut client, _) = stage.puppet("/");
            client.tell(&["join a", "direct"]);
            client
        })
        .collect();
    let mut well: Vec<_> = (0..20)
        .map(|_| {
            let (mut client, _) = stage.puppet("/");
            client.tell(&["join a", "direct"]);
            client
        })
        .collect();
    let data = "x".repeat(60_000);
    let source = message(&user("nobody"), None, &data);
    let Source::Message { message, .. } = &source else { unreachable!() };
    let mut most = 0;
    for _ in 0..200 {
        let copy = Source::Message { stream: user("nobody"), at: None, message: message.clone() };
        stage.deliver(&[room("a")], &[], copy);
        most = most.max(stage.hub.counts().overflow);
        // The others have it, whatever the stalled ones do.
        for client in &mut well {
            assert_eq!(client.next().unwrap().data.len(), 60_002);
        }
    }
    // Each may hold its 64 KiB and the message that was under way.
    assert!(most <= 30 * (64 * 1024 + 60_100), "{most}");
    stage.until(|counts| counts.sessions == 20 && counts.connections == 20 && counts.overflow == 0);
    assert_eq!(log.count("ended 4001"), 10);
    println!("stalled: at most {most} bytes waited");
    drop((stalled, well));
}

#[test]
fn what_a_session_says_at_once_goes_out_in_order() {
    let (stage, _) = Stage::puppets(settings());
    let (mut client, _) = stage.puppet("/");
    client.say("lines 2000 500");
    for number in 0..2_000 {
        assert!(client.hear().starts_with(&format!("line {number} xxx")));
    }
    // More than a session may have waiting.
    client.say("lines 60000 500");
    stage.until(|counts| counts.sessions == 0);
    let mut frames = 0;
    let close = loop {
        match client.next().unwrap() {
            frame if frame.opcode == 8 => break frame,
            _ => frames += 1,
        }
    };
    assert!(frames < 60_000);
    assert_eq!(close.data[..2], 4001u16.to_be_bytes());
}

#[test]
fn a_drain_closes_everybody_within_its_window_and_ends() {
    let (stage, log) = Stage::puppets(settings());
    // One that never says a word.
    let _silent = TcpStream::connect(stage.addr).unwrap();
    let mut clients: Vec<_> = (0..100).map(|_| stage.puppet("/").0).collect();
    let key = stage.runtime.block_on(stage.hub.open(Puppet::boxed(&log))).unwrap();
    let begun = std::time::Instant::now();
    let hub = stage.hub.clone();
    let drain = stage.runtime.spawn(async move { hub.drain(Some(Duration::from_secs(1))).await });
    let ends: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            assert_eq!(client.closed().0, 1012);
            begun.elapsed()
        })
        .collect();
    stage.runtime.block_on(drain).unwrap();
    assert_eq!(log.count("ended 1012"), 101);
    let early = ends.iter().filter(|end| **end < Duration::from_millis(400)).count();
    assert!(early < 100, "not all at once");
    assert_eq!(stage.hub.counts(), Counts::default());
    assert!(TcpStream::connect(stage.addr).is_err(), "nobody listens any more");
    // The hub takes no notice of what comes too late.
    stage.order(Order::Reply(key, Reply::Rpc(None)));
    assert_eq!(stage.runtime.block_on(stage.hub.open(Puppet::boxed(&log))), Err(Full));
    stage.runtime.block_on(stage.hub.drain(None));
}

#[test]
fn twenty_thousand_come_and_go_and_nothing_is_left() {
    let (stage, log) = Stage::puppets(Settings { handshakes: 10_000, ..settings() });
    let mut kept = Vec::new();
    let mut highest = 0;
    for number in 0..20_000u32 {
        let (mut client, key) = stage.puppet("/");
        highest = highest.max(key.slot);
        client.say(&format!("join u:{number} room"));
        match number % 3 {
            0 => kept.push(client),
            1 => client.send(8, &1000u16.to_be_bytes()),
            _ => {}
        }
        if kept.len() > 50 {
            kept.clear();
        }
    }
    kept.clear();
    stage.until(|counts| *counts == Counts::default());
    assert!(highest < 2_000, "{highest}");
    assert_eq!(log.all().iter().filter(|line| line.starts_with("ended")).count(), 20_000);
    for shard in 0..stage.hub.shards() {
        assert!(stage.runtime.block_on(stage.hub.places(shard)).is_empty());
    }
}
