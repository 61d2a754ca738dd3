//! Unmodified managers of python-socketio, old and new, on both transports; whoever comes first declares the exchange.

use std::{process::Command as Process, sync::Arc};

use homing_gateway::emit::{Emitter, Kind};
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeleteOptions};

use crate::{
    broker::{Publisher, short},
    support::{Book, Running, unique, variable},
};

const EMIT: &str = "
import sys, socketio
getattr(socketio, sys.argv[1])(sys.argv[2], channel=sys.argv[3], write_only=True).emit(
    'following notify', {'user_name': '张三', 'photo': b'\\x89PNG', 'big': 2 ** 63 + 5}, room='42', skip_sid='s1')
";

/// Runs one emitter; it has published when this returns.
async fn run(version: &str, manager: &str, url: &str, channel: &str) {
    let (python, packages) = (format!("{}/bin/python", variable("HOMING_TEST_VENV")), variable("HOMING_TEST_PY"));
    let mut process = Process::new(python);
    process.args(["-c", EMIT, manager, url, channel]);
    process.env("PYTHONPATH", format!("{packages}/sio-{version}:{packages}/common"));
    let output = tokio::task::spawn_blocking(move || process.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn real_managers_are_heard_whoever_comes_first() {
    let (redis, amqp) = (variable("HOMING_TEST_REDIS_URL"), variable("HOMING_TEST_AMQP_URL"));
    let publisher = Publisher::connect(&amqp).await.unwrap();
    for (kind, manager, url, versions) in [
        (Kind::PythonRedis, "RedisManager", &redis, ["4.6.1", "5.18.1"]),
        (Kind::PythonKombuRedis, "KombuManager", &redis, ["5.13.0", "5.18.1"]),
        (Kind::PythonAmqp, "KombuManager", &amqp, ["4.6.1", "5.18.1"]),
    ] {
        let channel = unique("python");
        if kind == Kind::PythonAmqp {
            // The emitter first: what it declares is to suit us.
            run(versions[0], manager, url, &channel).await;
        }
        let book = Arc::new(Book::default());
        let emitter = Emitter { kind, url: url.as_str().into(), channel: Some(channel.clone()), ..Emitter::default() };
        let reader = Running::start(emitter, "a", &book);
        book.wait_state(&format!("0-{}", kind.name()), true).await;
        for (count, version) in versions.into_iter().enumerate() {
            run(version, manager, url, &channel).await;
            let lines = book.wait(count + 1).await;
            assert_eq!(lines.len(), count + 1, "{lines:?}");
            let heard = lines.last().unwrap();
            assert!(heard.starts_with("0 emit / [\"following notify\",{"), "{version}: {heard}");
            assert!(
                heard.ends_with("} to [\"42\"] with 1") || heard.ends_with("}] to [\"42\"] with 1"),
                "{version}: {heard}"
            );
            assert!(heard.contains("9223372036854775813"), "{version}: {heard}");
            assert!(heard.contains("张三") || heard.contains("\\u5f20\\u4e09"), "{version}: {heard}");
        }
        reader.stop().await;
        if kind == Kind::PythonAmqp {
            publisher.declare(&channel, ExchangeDeclareOptions { passive: true, ..Default::default() }).await.unwrap();
            let queue = format!("homing.gateway.a.{channel}");
            publisher.channel.queue_delete(short(&queue), QueueDeleteOptions::default()).await.unwrap();
            publisher.channel.exchange_delete(short(&channel), ExchangeDeleteOptions::default()).await.unwrap();
        }
    }
}
