//! `durable = true`: what an unmodified python-socketio manager emits to a user's room while nobody is there, or no node
//! is, waits for that user, and comes once.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    calls::Calls,
    listener::{FIXTURES, Listener, python},
    site::{Plan, SECRET, Site},
};
use crate::support::{until, variable};

/// An application with a write-only manager.
struct Application {
    child: Child,
    stdin: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Application {
    fn start(manager: &str, url: &str, channel: &str) -> Self {
        let mut command = python("5.18.1");
        command.arg(format!("{FIXTURES}/rooms.py")).args([manager, url, channel]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, said) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, said }
    }

    /// Emits to a room; returns when the manager has.
    fn emit(&mut self, room: impl Into<Value>, event: &str, data: &Value) {
        let line = format!("{}\n", json!([room.into(), event, data]));
        self.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.said.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the manager emits no more");
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.child.wait().ok();
    }
}

/// What each user is to hear: (event, arguments) and how often.
type Mail = BTreeMap<String, BTreeMap<(String, String), usize>>;

fn note(mail: &mut Mail, user: &str, event: &str, data: &Value) {
    let key = (event.to_owned(), json!([data]).to_string());
    *mail.entry(user.to_owned()).or_default().entry(key).or_default() += 1;
}

fn count(mail: &Mail) -> usize {
    mail.values().flat_map(BTreeMap::values).sum()
}

/// The users of a listener, each in the namespace `/`.
fn users(mail: &Mail) -> Value {
    mail.keys().map(|user| (user.clone(), json!(["/"]))).collect::<serde_json::Map<_, _>>().into()
}

/// Connects clients of these versions one after another: the first hears all of the mail once, and when they are proven to
/// have it, the second hears nothing but what is emitted then.
async fn collect(site: &Site, calls: &Calls, nodes: [String; 2], mail: &Mail, last: &mut Application) {
    let people = users(mail);
    let connect = |dir: &Path, version: &str, node: &String| {
        Listener::python(dir, version, SECRET, &[("websocket", node)], Some(&people))
    };
    let mut first = connect(site.dir.path(), "5.18.1", &nodes[0]);
    first.until("everything", |l| l.ready.len() == mail.len() && l.heard.len() >= count(mail)).await;
    until("the clients have proven that they have it", async || {
        for user in mail.keys() {
            if calls.unread(&nodes[0], user).await > 0 {
                return false;
            }
        }
        true
    })
    .await;
    first.look();
    let mut heard = Mail::new();
    for one in &first.heard {
        let key = (one.event.clone(), one.args.clone());
        *heard.entry(one.user.clone()).or_default().entry(key).or_default() += 1;
    }
    for (user, wanted) in mail {
        let of_user = heard.remove(user).unwrap_or_default();
        let wrong: Vec<_> = of_user.iter().filter(|(key, n)| wanted.get(*key) != Some(*n)).collect();
        let missing: Vec<_> = wanted.keys().filter(|key| !of_user.contains_key(*key)).collect();
        assert!(wrong.is_empty() && missing.is_empty(), "{user}: wrong {wrong:?}, missing {missing:?}");
    }
    assert_eq!(heard, Mail::new(), "nobody else is there");
    assert_eq!(first.lost, [] as [Value; 0]);
    drop(first);

    let mut second = connect(site.dir.path(), "4.6.1", &nodes[1]);
    second.until("connected", |l| l.ready.len() == mail.len()).await;
    for user in mail.keys() {
        last.emit(user.as_str(), "last", &json!(user));
    }
    second.until("the last emits", |l| l.heard.iter().filter(|one| one.event == "last").count() >= mail.len()).await;
    assert_eq!(second.heard.len(), mail.len(), "what is proven to be there comes no more: {:?}", second.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn emits_to_users_who_are_away_wait_and_come_once_though_three_nodes_heard_them() {
    const USERS: usize = 10;
    const EACH: usize = 6;
    let (site, calls) = (Site::with(3, true).await, Calls::new());
    let amqp = variable("HOMING_TEST_AMQP_URL");
    let mut mail = Mail::new();
    let mut applications = [("redis", &site.redis_url), ("kombu", &amqp)]
        .map(|(name, url)| (name, Application::start(name, url, &site.channel)));
    for (name, application) in &mut applications {
        for n in 0..USERS * EACH {
            let (user, data) = (format!("away-{}", n % USERS), json!({"n": n, "text": "你好"}));
            application.emit(user.as_str(), &format!("following notify {name}"), &data);
            note(&mut mail, &user, &format!("following notify {name}"), &data);
        }
        // Two that are equal are two.
        for n in 0..2 * USERS {
            let user = format!("away-{}", n % USERS);
            application.emit(user.as_str(), &format!("poke {name}"), &json!("again"));
            note(&mut mail, &user, &format!("poke {name}"), &json!("again"));
        }
        // Who is in several rooms of a list is told once; a room that is a number is nobody's.
        application.emit(json!(["away-0", "away-1", "away-0"]), &format!("both {name}"), &json!(1));
        for user in ["away-0", "away-1"] {
            note(&mut mail, user, &format!("both {name}"), &json!(1));
        }
        application.emit(7, "nobody", &json!(1));
    }
    let nodes = [site.http(0), site.http(1)];
    until("all is stored", async || {
        let mut stored = 0;
        for user in mail.keys() {
            stored += calls.unread(&nodes[0], user).await;
        }
        stored >= count(&mail)
    })
    .await;
    let [_, (_, last)] = &mut applications;
    collect(&site, &calls, nodes.clone(), &mail, last).await;
    assert_eq!(calls.unread(&nodes[0], "7").await, 0);
    println!(
        "{} emits to {USERS} users who were away, by RedisManager and KombuManager (RabbitMQ) over three nodes, {} of them \
         equal to another: each once, and none after the client's heartbeat",
        count(&mail),
        2 * 2 * USERS
    );
}

/// What is away in the middle of the emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// The only node, by SIGTERM.
    Node,
    /// Its Redis, by kill -9.
    Redis,
}

#[tokio::test(flavor = "multi_thread")]
async fn emits_by_rabbitmq_are_kept_while_the_only_node_restarts() {
    interrupted(Away::Node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn emits_by_rabbitmq_wait_while_redis_is_away() {
    interrupted(Away::Redis).await;
}

async fn interrupted(away: Away) {
    const USERS: usize = 40;
    const STEP: usize = 200;
    const TIMES: usize = 3;
    let more = |_| "[live]\ntimeout = '300ms'\n".to_owned();
    let plan = Plan { nodes: 1, durable: true, more: Some(&more), ..Plan::default() };
    let (mut site, calls) = (Site::plan(plan).await, Calls::new());
    let mut application = Application::start("kombu", &variable("HOMING_TEST_AMQP_URL"), &site.channel);
    let (done, allowed) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
    let (count, may) = (Arc::clone(&done), Arc::clone(&allowed));
    let emitting = tokio::spawn(async move {
        let mut n = 0;
        while let Ok(one) = may.acquire().await {
            one.forget();
            tokio::task::block_in_place(|| application.emit(format!("away-{}", n % USERS), "order", &json!(n)));
            n += 1;
            count.store(n, Ordering::Relaxed);
        }
        application
    });
    let emitted = async |wanted: usize| {
        until("so many are emitted", async || done.load(Ordering::Relaxed) >= wanted).await;
    };
    // It goes in the middle of the emits, and comes back in the middle of them.
    let (mut emits, mut kept) = (0, 0);
    for _ in 0..TIMES {
        allowed.add_permits(2 * STEP);
        emitted(emits + STEP / 2).await;
        match away {
            Away::Node => assert!(site.stop(0).await.success()),
            Away::Redis => site.kill_redis(),
        }
        let stopped = done.load(Ordering::Relaxed);
        allowed.add_permits(STEP);
        emits += 3 * STEP;
        emitted(emits).await;
        kept += emits - stopped;
        allowed.add_permits(STEP);
        emits += STEP;
        match away {
            Away::Node => site.start(0).await,
            Away::Redis => site.start_redis().await,
        }
    }
    emitted(emits).await;
    allowed.close();
    let mut application = emitting.await.unwrap();
    let mut mail = Mail::new();
    for n in 0..emits {
        note(&mut mail, &format!("away-{}", n % USERS), "order", &json!(n));
    }
    let node = site.http(0);
    let ready = format!("{}/readyz", site.node(0).admin());
    until("the node is ready", async || calls.http.get(&ready).send().await.unwrap().status() == 200).await;
    until("all is stored", async || {
        let mut stored = 0;
        for user in mail.keys() {
            stored += calls.unread(&node, user).await;
        }
        stored >= emits
    })
    .await;
    collect(&site, &calls, [node.clone(), node], &mail, &mut application).await;
    println!(
        "{emits} emits by RabbitMQ, {away:?} away {TIMES} times among them ({kept} at least meanwhile): each once"
    );
}
