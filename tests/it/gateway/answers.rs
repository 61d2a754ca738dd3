//! A real server of python-socketio beside the gateway: its callbacks are answered by the gateway's clients, and it moves them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    listener::{FIXTURES, python},
    site::Site,
    tab::token,
};
use crate::support::variable;

#[tokio::test(flavor = "multi_thread")]
async fn emitters_hear_acknowledgements_and_move_sessions() {
    let site = Site::new(1).await;
    let amqp = variable("HOMING_TEST_AMQP_URL");
    let runs = [
        ("5.13.0", "redis", &site.redis_url),
        ("5.18.1", "redis", &site.redis_url),
        ("5.13.0", "kombu", &amqp),
        ("5.18.1", "kombu", &amqp),
        ("5.18.1", "kombu", &site.redis_url),
    ];
    for (version, kind, url) in runs {
        let mut client = Command::new("node")
            .arg(format!("{FIXTURES}/node/answers.cjs"))
            .args([site.http(0), token("42")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        let sid = next();
        assert_eq!(sid[0], "sid");
        let mut emitter = python(version);
        emitter.arg(format!("{FIXTURES}/answers.py")).args([kind, url, &site.channel, sid[1].as_str().unwrap()]);
        let out = emitter.output().unwrap();
        assert!(out.status.success(), "{version} {kind}: {}", String::from_utf8_lossy(&out.stderr));
        let answers: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(answers, json!([["yes", {"n": 1, "t": "中文"}]]), "{version} {kind}");
        let heard: Vec<Value> = (0..4).map(|_| next()).collect();
        let expected =
            json!([["asked", "q"], ["room", "enter_room"], ["room", "again"], ["gone", "io server disconnect"]]);
        assert_eq!(json!(heard), expected, "{version} {kind}");
        client.wait().unwrap();
        println!("python-socketio {version} {kind}: one answer, in and out of a room, sent away");
    }
}
