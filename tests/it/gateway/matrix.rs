//! Every emitter to every client: each message once, with the same arguments, and to nobody else. The clients are in
//! `tests/fixtures/gateway/listen.py` and `node/listen.cjs`, the emitters beside them, and what is sent in `cases.json`.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    listener::{FIXTURES, HANG, Heard, Listener, python},
    site::{SECRET, Site},
};
use crate::support::variable;

/// Of the kinds of connections, so many are tried with Python's clients.
const PYTHON: usize = 3;

/// Cases with binary, for emitters that cannot send any.
const BINARY: [&str; 4] = ["binary", "binary inside", "binary among several", "chat binary"];

/// How the arguments stand in what is published (python-socketio), where it matters to what arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    /// Several arguments are told from a list.
    Exact,
    /// Several arguments became a list: one argument (5.14.0, 5.14.1).
    OneList,
    /// A list cannot be told from several arguments (5.14.2 to 5.15.0): it is read as 5.15.1 and later read it.
    Spread,
    /// Node.js, where null is an argument.
    Node,
}

struct Emitter {
    name: String,
    era: Era,
    left_out: Vec<&'static str>,
    command: Command,
}

/// What a client of this kind is to hear.
fn expected(case: &Value, emitter: &Emitter, client: &str) -> Vec<Value> {
    let mut args = case["args"].as_array().unwrap().clone();
    if let Some(times) = case["repeat"].as_u64() {
        args = vec![json!(args[0].as_str().unwrap().repeat(usize::try_from(times).unwrap()))];
    }
    match emitter.era {
        Era::OneList if args.len() > 1 => args = vec![Value::Array(args)],
        Era::Spread if args.len() == 1 && args[0].is_array() => args = args[0].as_array().unwrap().clone(),
        Era::Node => {}
        _ if args == [Value::Null] => args.clear(),
        _ => {}
    }
    if client.starts_with("js") {
        args.iter_mut().for_each(doubles);
    }
    args
}

/// JavaScript has no other numbers.
fn doubles(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(doubles),
        Value::Object(all) => match all.get("$int").and_then(Value::as_str) {
            Some(digits) => *value = json!({ "$int": format!("{:.0}", digits.parse::<f64>().unwrap()) }),
            None => all.values_mut().for_each(doubles),
        },
        _ => {}
    }
}

fn emitters(site: &Site, sids: &Value, not_now: &[&'static str]) -> Vec<Emitter> {
    let amqp = variable("HOMING_TEST_AMQP_URL");
    let mut all = Vec::new();
    let mut add = |name: String, era, left_out: &[&'static str], mut command: Command, words: &[&str]| {
        let left_out = [left_out, not_now].concat();
        command.args(words).arg(sids.to_string()).arg(json!(left_out).to_string());
        all.push(Emitter { name, era, left_out, command });
    };
    for version in ["2.1.2", "4.6.1", "5.13.0", "5.14.0", "5.14.3", "5.18.1"] {
        let (era, left_out) = match version {
            "5.14.0" => (Era::OneList, &BINARY[..]),
            "5.14.3" => (Era::Spread, &["binary among several"][..]),
            _ => (Era::Exact, &[][..]),
        };
        let mut ways = vec![
            ("redis", "redis", &site.redis_url),
            ("kombu amqp", "kombu", &amqp),
            ("kombu redis", "kombu", &site.redis_url),
        ];
        if version == "5.18.1" {
            ways.extend([("aio-pika", "aio-pika", &amqp), ("async redis", "async-redis", &site.redis_url)]);
        }
        for (way, manager, url) in ways {
            let name = format!("python-socketio {version} {way}");
            let mut command = python(version);
            command.arg(format!("{FIXTURES}/emit.py"));
            add(name.clone(), era, left_out, command, &[&name, manager, url, &site.channel]);
        }
    }
    for (library, left_out) in [
        ("redis-emitter", &["big"][..]),
        ("socket.io-emitter", &["big", "skip", "skip in room"]),
        ("streams-adapter", &["big"]),
    ] {
        let mut command = Command::new("node");
        command.arg(format!("{FIXTURES}/node/emit.cjs")).env("HOMING_TEST_NODE", variable("HOMING_TEST_NODE"));
        add(
            format!("node {library}"),
            Era::Node,
            left_out,
            command,
            &[&format!("node {library}"), library, &site.redis_url],
        );
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_emitter_reaches_every_client_once() {
    run(false).await;
}

/// What is for a room takes the way through the stream of the user of that name, and every node offers it for storing.
#[tokio::test(flavor = "multi_thread")]
async fn every_emitter_reaches_every_client_once_by_the_inbox() {
    run(true).await;
}

async fn run(durable: bool) {
    let since = Instant::now();
    let site = Site::with(2, durable).await;
    let [one, two] = [site.http(0), site.http(1)];
    let kinds = [("websocket", &*one), ("upgrade", &two), ("polling", &two)];
    let dir = site.dir.path();
    let mut listeners = Vec::new();
    listeners.extend([2, 3, 4].map(|major| (Listener::node(dir, major, SECRET, &kinds, None), kinds.len())));
    listeners.extend(["4.6.1", "5.18.1"].map(|v| (Listener::python(dir, v, SECRET, &kinds[..PYTHON], None), PYTHON)));

    let cases: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{FIXTURES}/cases.json")).unwrap()).unwrap();
    let users = cases["namespaces"].as_object().unwrap().len();
    let cases = cases["cases"].as_array().unwrap();
    let (mut clients, mut sids) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    for (listener, kinds) in &mut listeners {
        listener.until("connected", |l| l.ready.len() == *kinds * users).await;
        for ((client, user), (sid, transport)) in &listener.ready {
            assert_eq!(transport, if client.ends_with("polling") { "polling" } else { "websocket" }, "{client}");
            sids.entry(user.clone()).or_default().push(sid.clone());
            if user == "42" {
                clients.push(client.clone());
            }
        }
    }
    println!(
        "{} connections after {:.1?}",
        listeners.iter().map(|(l, _)| l.ready.len()).sum::<usize>(),
        since.elapsed()
    );

    // A session's id is no user's name.
    let mut emitters = emitters(&site, &json!(sids), if durable { &["sids"] } else { &[] });
    if durable {
        emitters.retain(|e| ["2.1.2", "5.18.1", "node"].iter().any(|part| e.name.contains(part)));
    }
    for some in emitters.chunks_mut(3) {
        let started: Vec<Child> =
            some.iter_mut().map(|one| one.command.stderr(Stdio::piped()).spawn().unwrap()).collect();
        for (emitter, child) in some.iter().zip(started) {
            let out = child.wait_with_output().unwrap();
            assert!(out.status.success(), "{}: {}", emitter.name, String::from_utf8_lossy(&out.stderr));
        }
    }
    println!("everything is sent after {:.1?}", since.elapsed());

    let wanted: Vec<(&str, Heard)> = emitters
        .iter()
        .flat_map(|emitter| clients.iter().map(move |client| (emitter, client)))
        .flat_map(|(emitter, client)| wanted(cases, emitter, client).into_iter().map(|heard| (&*emitter.name, heard)))
        .collect();
    // If something is missing, the matrix says what.
    let patience = Instant::now();
    let mut count = 0;
    while count < wanted.len() && patience.elapsed() < HANG {
        tokio::time::sleep(Duration::from_millis(50)).await;
        listeners.iter_mut().for_each(|(listener, _)| listener.look());
        count = listeners.iter().map(|(listener, _)| listener.heard.len()).sum();
    }
    // And if something comes twice, then now.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut heard: BTreeMap<Heard, usize> = BTreeMap::new();
    for (listener, _) in &mut listeners {
        listener.look();
        assert_eq!(listener.lost, [] as [Value; 0]);
        for one in std::mem::take(&mut listener.heard) {
            *heard.entry(one).or_default() += 1;
        }
    }
    let (mut faults, mut right) = (Vec::new(), BTreeMap::<(&str, &str), usize>::new());
    for (emitter, one) in &wanted {
        match heard.remove(one) {
            Some(1) => *right.entry((emitter, &one.client)).or_default() += 1,
            times => faults.push(format!("{} times: {}", times.unwrap_or(0), shown(one))),
        }
    }
    faults.extend(heard.iter().map(|(one, times)| format!("not expected, {times} times: {}", shown(one))));
    print(&emitters, &clients, &right);
    let (count, since) = (wanted.len(), since.elapsed());
    println!("{count} messages to {} clients of {} emitters, {since:.1?}", clients.len(), emitters.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(60)].join("\n"));
}

/// What this client is to hear of this emitter.
fn wanted(cases: &[Value], emitter: &Emitter, client: &str) -> Vec<Heard> {
    let mut wanted = Vec::new();
    for case in cases {
        let name = case["case"].as_str().unwrap();
        if emitter.left_out.contains(&name) {
            continue;
        }
        for whom in case["heard"].as_array().unwrap() {
            let (user, namespace) = whom.as_str().unwrap().split_once(' ').unwrap();
            wanted.push(Heard {
                client: client.to_owned(),
                user: user.to_owned(),
                namespace: namespace.to_owned(),
                event: format!("{}|{name}", emitter.name),
                args: Value::Array(expected(case, emitter, client)).to_string(),
            });
        }
    }
    wanted
}

fn shown(heard: &Heard) -> String {
    let args: String = heard.args.chars().take(200).collect();
    format!("{} for {} {}: {} {args}", heard.client, heard.user, heard.namespace, heard.event)
}

/// A line per emitter, a column per client: the messages that were right.
fn print(emitters: &[Emitter], clients: &[String], right: &BTreeMap<(&str, &str), usize>) {
    let mut head = format!("{:36}", "");
    for client in clients {
        let (version, kind) = client.split_once(' ').unwrap();
        head += &format!("{version:>9}/{}", kind.chars().take(2).collect::<String>());
    }
    println!("{head}");
    for emitter in emitters {
        let cells = clients.iter().map(|c| format!("{:12}", right.get(&(&emitter.name, c)).copied().unwrap_or(0)));
        println!("{:36}{}", emitter.name, cells.collect::<String>());
    }
}
