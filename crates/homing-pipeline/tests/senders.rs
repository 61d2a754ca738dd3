//! Senders over a real Redis: other ways to a device, shared pauses, rehearsals. Each test ends in balanced ledgers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, Millis, SystemClock},
    ledger::{Role, balance},
    lookup::{Death, Explained, Lookup, Row, StoreDown, Verdict},
    notification::{Alternate, Arm, Cohort, Notification, Platform, Target},
    queue::{NewItem, Queue, QueueName},
    retry::Backoff,
    steps::Undisturbed,
};
use homing_pipeline::{
    board::Board,
    context::{Brake, Cellar, Context, Status},
    gates::Gates,
    keep,
    lane::Shards,
    notebook::Notebook,
    sender::{Options, Sender, Ways},
};
use homing_queue::redis::RedisQueue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type Provide = dyn Fn(&Notification, &Target) -> Outcome + Send + Sync;

/// A provider that answers as it is told, and counts.
struct Provider {
    name: &'static str,
    answer: Box<Provide>,
    calls: Mutex<HashMap<String, usize>>,
    rehearsed: AtomicUsize,
}

impl Provider {
    fn new(
        name: &'static str,
        answer: impl Fn(&Notification, &Target) -> Outcome + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { name, answer: Box::new(answer), calls: Mutex::default(), rehearsed: AtomicUsize::new(0) })
    }

    fn answers(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        targets.iter().map(|target| Answer::new((self.answer)(notification, target), "as told")).collect()
    }
}

impl Channel for Provider {
    fn name(&self) -> &'static str {
        self.name
    }

    fn page(&self) -> usize {
        8
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut calls = self.calls.lock().unwrap();
            for target in targets {
                *calls.entry(target.token.clone()).or_default() += 1;
            }
            drop(calls);
            self.answers(notification, targets)
        })
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.rehearsed.fetch_add(targets.len(), Ordering::Relaxed);
            self.answers(notification, targets)
        })
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { provider_id: None }
}

struct Silent;

impl Status for Silent {
    fn ready(&self, _: &str) {}
    fn not_ready(&self, _: &str, _: &str) {}
}

/// The directory: what was taken out of it.
#[derive(Default)]
struct Tokens {
    forgotten: Mutex<Vec<String>>,
    cleaned: Mutex<Vec<String>>,
}

impl Lookup for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn rows<'a>(&'a self, _: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        unreachable!("a sender looks nothing up")
    }

    fn explain<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        unreachable!("a sender explains nothing")
    }

    fn judge(&self, _: &[Row], _: Millis) -> Verdict {
        unreachable!("a sender judges nothing")
    }

    fn forget<'a>(&'a self, _: &'a str, token: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        self.forgotten.lock().unwrap().push(token.to_owned());
        Box::pin(std::future::ready(Ok(true)))
    }

    fn clean<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<bool, StoreDown>> {
        self.cleaned.lock().unwrap().push(user.to_owned());
        Box::pin(std::future::ready(Ok(true)))
    }
}

/// Two channels' delivery lists on the server of the tests.
struct Lane {
    /// One handle: what an aborted task leaves behind may be taken by the next one of the same handle at once.
    queue: Arc<dyn Queue>,
    ways: Arc<Ways>,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
}

impl Lane {
    fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let url = std::env::var("HOMING_TEST_REDIS_URL").expect("HOMING_TEST_REDIS_URL is not set: run scripts/test");
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let lists = |name: &str| Shards::new(&format!("test_{name}_{random:016x}_{{n}}"), 1, 2).unwrap();
        let ways: Ways = ["xinge", "fcm"].map(|name| (name.to_owned(), lists(name))).into();
        let queue = Arc::new(RedisQueue::new(&url, homing_queue::redis::Options::default()).unwrap());
        Self { queue, ways: Arc::new(ways), tokens: Arc::default(), clock: Arc::new(SystemClock::default()) }
    }

    fn lists(&self, channel: &str) -> Vec<QueueName> {
        self.ways[channel].all()
    }

    async fn offer(&self, channel: &str, notifications: &[Notification]) {
        let queue = &self.queue;
        for notification in notifications {
            let item = NewItem { id: None, body: notification.encode() };
            let list = self.ways[channel].of(&notification.targets[0].user);
            queue.append(&list, &[item], 0, 0).await.unwrap();
        }
    }

    /// Senders of both channels in a process of their own.
    fn process(&self, channels: &[Arc<Provider>]) -> Process {
        let (queue, stop) = (Arc::clone(&self.queue), CancellationToken::new());
        let board = Board::start(Arc::clone(&queue), Arc::clone(&self.clock), stop.clone());
        let gates = Gates::start(board, Arc::clone(&self.clock), stop.clone());
        let cx = Context {
            queue,
            clock: Arc::clone(&self.clock),
            steps: Arc::new(Undisturbed),
            status: Arc::new(Silent),
            stop: stop.clone(),
            grace: Duration::from_secs(5),
            renew: Duration::from_secs(2),
            brake: Arc::new(Brake::new(0.9)),
            cellar: Cellar { folder: None, bound: 0 },
            notebook: Notebook { folder: None },
        };
        let options = Options {
            pause: Duration::from_millis(100),
            pause_cap: Duration::from_millis(200),
            backoff: Backoff { base: 20, cap: 50 },
            concurrency: 8,
            ..Options::default()
        };
        let mut workers = Vec::new();
        for channel in channels {
            for list in self.lists(channel.name()) {
                let mut sender = Sender {
                    queue: list,
                    channel: Arc::clone(channel) as Arc<dyn Channel>,
                    gates: Arc::clone(&gates),
                    ways: Arc::clone(&self.ways),
                    tokens: Some(Arc::clone(&self.tokens) as Arc<dyn Lookup>),
                    foreign: None,
                    options: options.clone(),
                    cx: cx.clone(),
                };
                let cx = cx.clone();
                workers.push(tokio::spawn(async move { keep(&cx, &mut sender).await }));
            }
        }
        Process { stop, workers }
    }

    /// Counters of a channel's lists together; each list must balance.
    async fn counts(&self, channel: &str) -> BTreeMap<String, i64> {
        let queue = &self.queue;
        let mut all = BTreeMap::new();
        for list in self.lists(channel) {
            let snapshot = queue.inspect(&list).await.unwrap();
            for line in balance(&snapshot, Role::Delivery) {
                assert!(line.balanced, "{list}: {line:?}");
                if line.stage == "send" {
                    *all.entry("waiting".to_owned()).or_default() += line.waiting;
                    *all.entry("in".to_owned()).or_default() += line.came_in;
                    for (fate, n) in line.fates {
                        *all.entry(fate).or_default() += n;
                    }
                }
            }
            for (field, n) in snapshot.counts.iter().filter(|(field, _)| field.starts_with("cohort.")) {
                *all.entry(field.to_owned()).or_default() += n;
            }
        }
        all
    }

    /// Waits until nothing waits in the lists of these channels but so many targets.
    async fn until_left(&self, channel: &str, waiting: i64) -> BTreeMap<String, i64> {
        let began = Instant::now();
        loop {
            let counts = self.counts(channel).await;
            if counts["waiting"] == waiting {
                return counts;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{channel} hangs: {counts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Process {
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

impl Process {
    async fn end(self) {
        self.stop.cancel();
        for worker in self.workers {
            worker.await.unwrap();
        }
    }

    /// As if it were killed: nothing is committed, nothing is given back.
    async fn kill(self) {
        for worker in self.workers {
            worker.abort();
            worker.await.ok();
        }
        self.stop.cancel();
    }
}

fn message(i: usize, token: &str, alternates: &[&str]) -> Notification {
    let user = format!("user{i}");
    let alternate = |channel: &&str| Alternate { channel: (*channel).into(), token: format!("{channel}-{token}-{i}") };
    let alternates = alternates.iter().map(alternate).collect();
    let now = SystemClock::default().now();
    Notification {
        id: format!("m{i}"),
        kind: 7,
        app: "higo".into(),
        platform: Platform::Android,
        created_at: now,
        expires_at: now + 86_400_000,
        targets: vec![Target { alternates, clean: i.is_multiple_of(10), ..Target::new(user, format!("{token}-{i}")) }],
        ..Notification::default()
    }
}

/// Expected counters, as `name n name n`.
#[track_caller]
fn check(counts: &BTreeMap<String, i64>, expected: &[(&str, i64)]) {
    let expected: BTreeMap<String, i64> = expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    assert_eq!(*counts, expected);
}

/// Dead tokens go on to the other list while the senders are killed again and again: every end is counted once, and
/// every target that goes on comes in there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_tokens_go_on_exactly_once_whatever_dies() {
    let lane = Lane::new();
    let dead =
        |_: &Notification, target: &Target| if target.token.starts_with("dead") { Outcome::DEAD } else { delivered() };
    let (xinge, fcm) = (Provider::new("xinge", dead), Provider::new("fcm", |_, _| delivered()));
    let kinds: [(&str, &[&str]); 3] = [("good", &["fcm"]), ("dead", &["gone", "fcm"]), ("dead", &[])];
    let all: Vec<Notification> = (0..3_000).map(|i| message(i, kinds[i % 3].0, kinds[i % 3].1)).collect();
    lane.offer("xinge", &all).await;
    let mut deaths = 0;
    for round in 0..12 {
        let process = lane.process(&[Arc::clone(&xinge), Arc::clone(&fcm)]);
        tokio::time::sleep(Duration::from_millis(40 + 15 * round)).await;
        process.kill().await;
        deaths += 1;
    }
    let process = lane.process(&[Arc::clone(&xinge), Arc::clone(&fcm)]);
    let (here, there) = (lane.until_left("xinge", 0).await, lane.until_left("fcm", 0).await);
    process.end().await;
    check(&here, &[("bad_token", 2_000), ("delivered", 1_000), ("in", 3_000), ("waiting", 0)]);
    check(&there, &[("delivered", 1_000), ("in", 1_000), ("waiting", 0)]);
    let calls = fcm.calls.lock().unwrap();
    assert_eq!(calls.len(), 1_000);
    assert!(calls.keys().all(|token| token.starts_with("fcm-dead-")));
    let mut cleaned = lane.tokens.cleaned.lock().unwrap().clone();
    cleaned.sort();
    cleaned.dedup();
    // One in ten is to be cleaned; the dead ones without another way were never told.
    assert_eq!(cleaned.len(), (0..3_000).filter(|i| i % 10 == 0 && i % 3 != 2).count());
    let repeated: usize = calls.values().map(|n| n - 1).sum();
    println!("deaths {deaths}, targets 3000 + 1000, lost 0, ends counted twice 0, calls repeated {repeated}");
}

/// Refused credentials: who has another way takes it, the others wait, and are told when the credentials work again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_hold_back_only_who_has_no_other_way() {
    let lane = Lane::new();
    let refused = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&refused);
    let answer = move |_: &Notification, _: &Target| match asked.load(Ordering::Relaxed) {
        true => Outcome::Config,
        false => delivered(),
    };
    let (xinge, fcm) = (Provider::new("xinge", answer), Provider::new("fcm", |_, _| delivered()));
    let all: Vec<Notification> = (0..1_000).map(|i| message(i, "t", if i % 2 == 0 { &["fcm"] } else { &[] })).collect();
    lane.offer("xinge", &all).await;
    let process = lane.process(&[Arc::clone(&xinge), Arc::clone(&fcm)]);
    let here = lane.until_left("xinge", 500).await;
    check(&here, &[("in", 1_000), ("rerouted", 500), ("waiting", 500)]);
    check(&lane.until_left("fcm", 0).await, &[("delivered", 500), ("in", 500), ("waiting", 0)]);
    refused.store(false, Ordering::Relaxed);
    check(&lane.until_left("xinge", 0).await, &[("delivered", 500), ("in", 1_000), ("rerouted", 500), ("waiting", 0)]);
    process.end().await;
    assert_eq!(fcm.calls.lock().unwrap().len(), 500);
}

/// "429, come back in six seconds": after the time that the word needs to get round, nobody calls until they are over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_wish_is_obeyed_by_all_senders_of_all_processes() {
    const WISH: Duration = Duration::from_secs(6);
    const ROUND: Duration = Duration::from_secs(3);
    let lane = Lane::new();
    let app = format!("app{:x}", lane.clock.now());
    // When the provider had enough, and the calls since then.
    let enough: Arc<Mutex<Option<Instant>>> = Arc::default();
    let since: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let answer = {
        let (enough, since, served) = (Arc::clone(&enough), Arc::clone(&since), AtomicUsize::new(0));
        move |_: &Notification, _: &Target| {
            if served.fetch_add(1, Ordering::Relaxed) < 200 {
                return delivered();
            }
            let passed = enough.lock().unwrap().get_or_insert_with(Instant::now).elapsed();
            since.lock().unwrap().push(passed);
            if passed < WISH {
                let left = i64::try_from((WISH - passed).as_millis()).unwrap();
                return Outcome::limited(Some(left));
            }
            delivered()
        }
    };
    let fcm = Provider::new("fcm", answer);
    let one = lane.process(&[Arc::clone(&fcm)]);
    let messages = |from: usize| -> Vec<Notification> {
        (from..from + 500).map(|i| Notification { app: app.clone(), ..message(i, "t", &["xinge"]) }).collect()
    };
    lane.offer("fcm", &messages(0)).await;
    // A second process that has shards of its own: another lane with the same provider and app.
    let other = Lane::new();
    other.offer("fcm", &messages(1_000)).await;
    let two = other.process(&[Arc::clone(&fcm)]);
    let (here, there) = (lane.until_left("fcm", 0).await, other.until_left("fcm", 0).await);
    check(&here, &[("delivered", 500), ("in", 500), ("waiting", 0)]);
    check(&there, &[("delivered", 500), ("in", 500), ("waiting", 0)]);
    one.end().await;
    two.end().await;
    let since = since.lock().unwrap().clone();
    let inside = since.iter().filter(|passed| (ROUND..WISH).contains(passed)).count();
    let early = since.iter().filter(|passed| **passed < ROUND).count();
    assert_eq!(inside, 0, "{since:?}");
    println!("refused before the word was round: {early}; afterwards 0; delivered 1000, lost 0");
    lane.queue.post(&format!("pause:fcm:{app}-android"), None).await.unwrap();
}

/// A migration's shadow with bad credentials: it is reported, no real message is held up or lost, and nobody's token is
/// touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_reports_bad_credentials_and_disturbs_nobody() {
    let lane = Lane::new();
    let migration = format!("x2f{:x}", lane.clock.now());
    let cohort = Some(Cohort { migration: migration.clone(), arm: Arm::Shadow });
    let bad = |notification: &Notification, _: &Target| {
        if notification.is_rehearsal() { Outcome::Config } else { delivered() }
    };
    let fcm = Provider::new("fcm", bad);
    let mut all = Vec::new();
    for i in 0..2_000 {
        all.push(Notification { cohort: cohort.clone(), ..message(i, "t", &["xinge"]) });
        if i % 4 == 0 {
            all.push(message(i, "real", &[]));
        }
    }
    lane.offer("fcm", &all).await;
    let process = lane.process(&[Arc::clone(&fcm)]);
    let counts = lane.until_left("fcm", 0).await;
    let (tried, config) = (fcm.rehearsed.load(Ordering::Relaxed), counts["rehearsed.config"]);
    let paused = counts.get("rehearsed.paused").copied().unwrap_or(0);
    assert_eq!((counts["delivered"], config, config + paused), (500, i64::try_from(tried).unwrap(), 2_000));
    assert_eq!(counts[&format!("cohort.{migration}.shadow.config")], config);
    assert!((1..500).contains(&config), "tried some: {config}");
    assert!(lane.tokens.forgotten.lock().unwrap().is_empty());
    let (queue, key) = (&lane.queue, format!("migration-error:{migration}:shadow"));
    let began = Instant::now();
    let told = loop {
        if let Some(told) = queue.notices().await.unwrap().remove(&key) {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(told, "config: as told");
    process.end().await;
    queue.post(&key, None).await.unwrap();
    println!("rehearsals 2000, tried {tried}, real 500, lost 0");
}
