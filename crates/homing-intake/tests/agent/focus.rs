//! The focus of apps: published with paho, heard from mosquitto, written to Redis.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use homing_core::clock::{Clock as _, SystemClock};
use homing_intake::agent::focus::{Focus, Options, Source, listen};
use redis::aio::MultiplexedConnection;
use rumqttc::MqttOptions;
use tokio::{io::AsyncWriteExt as _, process::Command, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{rig::var, support::fresh};

/// Writes to Redis, after it failed a few times.
struct Written {
    options: Options,
    redis: MultiplexedConnection,
    failures: AtomicUsize,
}

impl Focus for Written {
    fn set<'a>(&'a self, user: &'a str, on: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let fails = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if fails.is_ok() {
                return Err("away".to_owned());
            }
            self.run(self.options.commands(user, on, SystemClock::default().now())).await.map(|_: redis::Value| ())
        })
    }

    fn overdue(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async move {
            let Some(parts) = self.options.overdue(SystemClock::default().now()) else { return Ok(Vec::new()) };
            self.run(vec![parts]).await.map(|all: Vec<Vec<String>>| all.into_iter().flatten().collect())
        })
    }
}

impl Written {
    async fn run<T: redis::FromRedisValue>(&self, commands: Vec<Vec<String>>) -> Result<T, String> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for parts in commands {
            pipe.cmd(&parts[0]).arg(&parts[1..]);
        }
        pipe.query_async(&mut self.redis.clone()).await.map_err(|error| error.to_string())
    }
}

async fn publish(url: &str, topic: &str, lines: &[String]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/producers/mqtt_publish.py");
    let mut child = Command::new(Path::new(&var("HOMING_TEST_VENV")).join("bin/python"))
        .arg(script)
        .args([url, topic])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.join("\n").as_bytes()).await.unwrap();
    drop(input);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn who_looks_at_the_app_stands_in_his_hash() {
    let (url, prefix) = (var("HOMING_TEST_MQTT_URL"), fresh());
    let client = redis::Client::open(var("HOMING_TEST_REDIS_URL")).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let options: Options = serde_json::from_str(&format!(
        r#"{{"store": "main", "key": "test_{prefix}:{{user_id}}", "ttl": "5s", "ttl_key": "test_{prefix}"}}"#
    ))
    .unwrap();
    let (host, port) = url.strip_prefix("mqtt://").unwrap().split_once(':').unwrap();
    let topic = format!("{prefix}/{}", options.topic);
    let source = Source {
        options: MqttOptions::new(fresh(), (host, port.parse().unwrap())),
        topic: topic.clone(),
        connect_timeout: Duration::from_secs(5),
        address: url.clone(),
    };
    let written = Written { options: options.clone(), redis: redis.clone(), failures: AtomicUsize::new(3) };
    let stop = CancellationToken::new();
    let listening = tokio::spawn(listen(source, Arc::new(written), stop.clone()));
    let state = |user: usize, focus: &str| format!(r#"{{"user_id": "{user}", "focus": {focus}}}"#);
    let mut lines: Vec<String> = (0..50).map(|user| state(user, "1")).collect();
    lines.extend(["garbage".to_owned(), "{}".to_owned(), r#"{"user_id": [], "focus": 1}"#.to_owned()]);
    lines.extend((0..50).step_by(2).map(|user| state(user, "false")));
    lines.push(state(1_000, "true"));
    let on = async |redis: &mut MultiplexedConnection, user: usize| -> bool {
        let key = options.commands(&user.to_string(), true, 0)[0][1].clone();
        redis::cmd("HEXISTS").arg(key).arg("app_focus").query_async(redis).await.unwrap()
    };
    // Until the subscription stands, nothing is heard; so it is said until it is.
    for _ in 0..100 {
        publish(&url, &topic, &lines).await;
        if on(&mut redis, 1_000).await {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..400 {
        let mut right = 0;
        for user in 0..50 {
            right += usize::from(on(&mut redis, user).await == (user % 2 == 1));
        }
        if right == 50 {
            break;
        }
        sleep(Duration::from_millis(25)).await;
    }
    for user in 0..50 {
        assert_eq!(on(&mut redis, user).await, user % 2 == 1, "user {user}");
    }
    // Nobody says it again, so it ends.
    let mut left = 25;
    for _ in 0..1_200 {
        left = 0;
        for user in 0..50 {
            left += usize::from(on(&mut redis, user).await);
        }
        if left == 0 {
            break;
        }
        sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(left, 0, "the focus of apps that fell silent");
    stop.cancel();
    listening.await.unwrap();
}
