//! Readers of Redis. Each test has names of its own; those that break connections have a server of their own.

use std::{
    net::TcpListener,
    process::{Child, Command as Process, Stdio},
    sync::Arc,
    time::Duration,
};

use homing_gateway::{
    desk::Callback,
    emit::{Emitter, Kind, Writer, kombu},
};
use redis::{AsyncCommands, aio::MultiplexedConnection};

use crate::support::{Book, Running, unique, variable};

/// A server that ends with the test.
struct Server {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::var("HOMING_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Process::new(&program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, url: format!("redis://127.0.0.1:{port}/0"), folder };
        for _ in 0..300 {
            if let Ok(mut connection) = connect(&server.url).await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("redis-server did not start in {}", server.folder.path().display());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await
}

fn emitter(kind: Kind, url: &str, channel: &str) -> Emitter {
    Emitter {
        kind,
        url: url.into(),
        channel: Some(channel.to_owned()),
        prefix: channel.to_owned(),
        ..Emitter::default()
    }
}

const EMIT: &str = r#"{"method":"emit","event":"x","data":["hello"],"binary":false,"room":"42"}"#;

#[tokio::test]
async fn each_kind_hears_its_own_channels() {
    let url = variable("HOMING_TEST_REDIS_URL");
    let mut connection = connect(&url).await.unwrap();
    let channel = unique("kinds");
    let request = r#"{"type":2,"opts":{"rooms":["42"],"except":[]},"rooms":["r9"]}"#;
    let node = b"\x93\xa1u\x82\xa4type\x02\xa4data\x92\xa1x\xa1y\x81\xa5rooms\x91\xa242".to_vec();
    for (kind, to, payload, expected) in [
        (Kind::PythonRedis, channel.clone(), EMIT.into(), r#"0 emit / ["x","hello"] to ["42"] with 0"#),
        (
            Kind::PythonKombuRedis,
            format!("/0.{channel}"),
            kombu::seal(EMIT.as_bytes(), &channel, "t"),
            r#"0 emit / ["x","hello"] to ["42"] with 0"#,
        ),
        (Kind::NodeRedis, format!("{channel}#/#42#"), node.clone(), r#"0 emit / ["x","y"] to ["42"] with 0"#),
        (Kind::NodeRedis, format!("{channel}-request#/#"), request.into(), "0 enter_all /"),
        (
            Kind::ProducerChannel,
            channel.clone(),
            br#"{"msg_type":"n","to_user_id":42,"data":{"a":1}}"#.to_vec(),
            r#"0 publication n Some("42") {"a":1}"#,
        ),
    ] {
        let book = Arc::new(Book::default());
        let reader = Running::start(emitter(kind, &url, &channel), "n", &book);
        book.wait_state(&format!("0-{}", kind.name()), true).await;
        connection.publish::<_, _, ()>(&to, payload).await.unwrap();
        connection.publish::<_, _, ()>(&to, "rubbish").await.unwrap();
        let lines = book.wait(2).await;
        assert_eq!(lines[0], expected, "{kind:?}");
        assert!(lines[1].starts_with("0 bad "), "{lines:?}");
        // Servers of Node wait for the answers of those who subscribe to this channel.
        let counted: Vec<(String, u64)> = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(format!("{channel}-request#/#"))
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(counted[0].1, 0);
        reader.stop().await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_once_and_comes_back() {
    let server = Server::start().await;
    let book = Arc::new(Book::default());
    let reader = Running::start(emitter(Kind::PythonRedis, &server.url, "c"), "n", &book);
    book.wait_state("0-python-redis", true).await;
    let mut connection = connect(&server.url).await.unwrap();
    connection.publish::<_, _, ()>("c", EMIT).await.unwrap();
    book.wait(1).await;
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query_async::<()>(&mut connection).await.unwrap();
    book.wait_state("0-python-redis", false).await;
    book.wait_state("0-python-redis", true).await;
    assert_eq!(book.changes("0-python-redis"), 3);
    connection.publish::<_, _, ()>("c", EMIT).await.unwrap();
    assert_eq!(book.wait(2).await.len(), 2);
    reader.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_down_and_the_reader_still_stops() {
    let book = Arc::new(Book::default());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for kind in [Kind::PythonRedis, Kind::NodeStreams, Kind::PythonAmqp] {
        let scheme = if kind == Kind::PythonAmqp { "amqp" } else { "redis" };
        let reader = Running::start(emitter(kind, &format!("{scheme}://127.0.0.1:{port}"), "c"), "n", &book);
        let why = book.wait_state(&format!("0-{}", kind.name()), false).await;
        assert!(why.to_lowercase().contains("refused"), "{why}");
        reader.stop().await;
    }
}

#[tokio::test]
async fn streams_miss_nothing_while_the_reader_is_cut_off() {
    let server = Server::start().await;
    let mut connection = connect(&server.url).await.unwrap();
    let add = async |connection: &mut MultiplexedConnection, stream: &str, number: u32| {
        let data = format!(r#"{{"packet":{{"type":2,"data":["n",{number}]}},"opts":{{"rooms":[],"except":[]}}}}"#);
        let fields = [("uid", "u"), ("nsp", "/"), ("type", "3"), ("data", &data)];
        connection.xadd::<_, _, _, _, ()>(stream, "*", &fields).await.unwrap();
    };
    // What is there before the reader is not for it.
    add(&mut connection, "s-0", 999).await;
    let book = Arc::new(Book::default());
    let settings = Emitter { streams: 2, ..emitter(Kind::NodeStreams, &server.url, "s") };
    let reader = Running::start(settings, "n", &book);
    book.wait_state("0-node-streams", true).await;
    let mut number = 0;
    for round in 0..4 {
        for _ in 0..100 {
            add(&mut connection, if number % 2 == 0 { "s-0" } else { "s-1" }, number).await;
            number += 1;
            if number % 100 == 50 && round > 0 {
                let mut kill = redis::cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
                kill.query_async::<()>(&mut connection).await.unwrap();
            }
        }
        book.wait(number as usize).await;
    }
    reader.stop().await;
    let numbers = |odd: bool| -> Vec<u32> {
        let lines = book.lines();
        let all = lines.iter().map(|line| line.split(['[', ',', ']']).nth(2).unwrap().parse::<u32>().unwrap());
        all.filter(|number| (number % 2 == 1) == odd).collect()
    };
    // Each stream in its order, each entry once.
    assert_eq!(numbers(false), (0..400).step_by(2).collect::<Vec<_>>());
    assert_eq!(numbers(true), (1..400).step_by(2).collect::<Vec<_>>());
    assert!(book.changes("0-node-streams") >= 3, "the connection was cut");
}

#[tokio::test]
async fn an_entry_of_any_bytes_holds_up_no_other() {
    let url = variable("HOMING_TEST_REDIS_URL");
    let mut connection = connect(&url).await.unwrap();
    let stream = unique("bytes");
    let junk: [&[(&[u8], &[u8])]; 4] = [
        &[(b"\xff", b"\xff")],
        &[(b"nsp", b"\xff"), (b"type", b"\xfe")],
        &[(b"", b"")],
        &[(b"type", b"3"), (b"data", b"{")],
    ];
    let name = stream.clone();
    let add = async |connection: &mut MultiplexedConnection| {
        for fields in junk {
            connection.xadd::<_, _, _, _, ()>(&name, "*", fields).await.unwrap();
        }
    };
    // It is the newest entry already when the reader looks where the stream ends.
    connection.xadd::<_, _, _, _, ()>(&stream, "*", junk[0]).await.unwrap();
    let book = Arc::new(Book::default());
    let reader = Running::start(emitter(Kind::NodeStreams, &url, &stream), "n", &book);
    book.wait_state("0-node-streams", true).await;
    add(&mut connection).await;
    let data = r#"{"packet":{"type":2,"data":["n",1]},"opts":{"rooms":["42"],"except":[]}}"#;
    let fields = [("uid", "u"), ("nsp", "/"), ("type", "3"), ("data", data)];
    connection.xadd::<_, _, _, _, ()>(&stream, "*", &fields).await.unwrap();
    let lines = book.wait(5).await;
    assert!(lines[..4].iter().all(|line| line.starts_with("0 ignored ")), "{lines:?}");
    assert_eq!(lines[4], r#"0 emit / ["n",1] to ["42"] with 0"#);
    assert_eq!(book.changes("0-node-streams"), 1, "{:?}", book.lines());
    reader.stop().await;
    connection.del::<_, ()>(&stream).await.unwrap();
}

#[tokio::test]
async fn answers_go_back_as_each_transport_has_them() {
    let url = variable("HOMING_TEST_REDIS_URL");
    let channel = unique("answers");
    let route =
        Callback { host: "h".into(), room: "\"sidABC\"".into(), namespace: "/".into(), id: "1".into(), source: 0 };
    let expected =
        r#"{"method":"callback","host_id":"h","sid":"sidABC","namespace":"/","id":1,"args":["answer",{"n":1}]}"#;
    let client = redis::Client::open(url.as_str()).unwrap();
    for (kind, on) in [(Kind::PythonRedis, channel.clone()), (Kind::PythonKombuRedis, format!("/0.{channel}"))] {
        let mut listener = client.get_async_pubsub().await.unwrap();
        listener.subscribe(&on).await.unwrap();
        let writer = Writer::new(0, emitter(kind, &url, &channel));
        writer.callback(&route, r#"["answer",{"n":1}]"#, &[]).await.unwrap();
        let mut messages = listener.into_on_message();
        let message = futures_util::StreamExt::next(&mut messages);
        let message = tokio::time::timeout(Duration::from_secs(30), message).await.unwrap().unwrap();
        let payload = message.get_payload::<Vec<u8>>().unwrap();
        let body = if kind == Kind::PythonRedis { payload } else { kombu::open(&payload).unwrap() };
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected, "{kind:?}");
    }
    let writer = Writer::new(3, emitter(Kind::NodeRedis, &url, &channel));
    let error = writer.callback(&route, "[]", &[]).await.unwrap_err().to_string();
    assert!(error.contains("3-node-redis") && error.contains("wait for nothing"), "{error}");
}
