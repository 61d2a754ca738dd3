//! Sockets beside phones, from the entry list to the streams on a real Redis: who has just gone is waited for, who reads the
//! message on a socket is not woken, and the books balance.

use std::{sync::Arc, time::Duration};

use homing::{
    config::Config,
    live,
    operator::{ledger, trace},
    wiring::{self, Kit, Scope},
};
use homing_core::{
    clock::{Clock, SystemClock},
    live::{Attendance, Inbox, Marks, Stream},
    notification::Notification,
    queue::{NewItem, QueueName},
    record::{Fate, Record},
    wire_live::Message,
};
use homing_pipeline::{
    context::{Brake, Cellar, Context, Status},
    keep,
    notebook::Notebook,
};
use tokio_util::sync::CancellationToken;

struct Unheard;

impl Status for Unheard {
    fn ready(&self, _: &str) {}
    fn not_ready(&self, _: &str, _: &str) {}
}

#[test]
fn a_push_waits_for_a_socket_that_has_just_gone_and_is_cancelled_by_its_reader() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hang = Duration::from_secs(60);
    let whole = runtime.block_on(async { tokio::time::timeout(hang, whole()).await });
    whole.expect("it hangs");
}

async fn whole() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path());
    let stores = homing_stores::build(&config.stores()).unwrap();
    let (stop, clock) = (CancellationToken::new(), Arc::new(SystemClock::default()) as Arc<dyn Clock>);
    let cx = Context {
        queue: wiring::queue(&config).unwrap(),
        clock: Arc::clone(&clock),
        steps: Arc::new(homing_core::steps::Undisturbed),
        status: Arc::new(Unheard),
        stop: stop.clone(),
        grace: Duration::from_secs(5),
        renew: Duration::from_secs(1),
        brake: Arc::new(Brake::new(0.9)),
        cellar: Cellar { folder: None, bound: 1_000 },
        notebook: Notebook { folder: None },
    };
    let ports = live::open(&config, "a-node", &clock).unwrap().expect("a lane with sockets needs it");
    let queue = Arc::clone(&cx.queue);
    let kit = Kit { live: Some(ports.clone()), ..Kit::still(cx) };
    // Nobody sends to phones here: their list shows who would be woken.
    let scope = Scope { channel: Some("websocket".into()), ..Scope::default() };
    let channels = wiring::channels(&config, &scope, &clock, kit.live.as_ref()).unwrap();
    let mut workers = wiring::distributors(&config, &stores, &scope, &kit).unwrap();
    workers.extend(wiring::senders(&config, &stores, &scope, &channels, &kit).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for mut worker in workers {
        let cx = kit.cx.clone();
        tasks.spawn(async move { keep(&cx, &mut *worker).await });
    }

    let attend = |users: &[&str], sessions| -> Vec<Attendance> {
        users.iter().map(|user| Attendance { user: (*user).into(), sessions }).collect()
    };
    ports.presence.beat().await.unwrap();
    ports.presence.attend(&attend(&["reads", "away", "there"], 1)).await.unwrap();
    ports.presence.attend(&attend(&["reads", "away"], 0)).await.unwrap();
    let users = r#"["reads","away","there","never"]"#;
    let event = format!(r#"{{"id":"e-1","type":"DEFAULT","to":{{"users":{users}}},"title":"你好","data":{{"n":1}}}}"#);
    queue.append(&QueueName::new("in"), &[NewItem { id: None, body: event.into() }], 0, 0).await.unwrap();

    let message = loop {
        if let Some(body) = unread(&*ports.inbox, "reads").await.pop() {
            break Message::decode(&body).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((&*message.id, &*message.kind), ("e-1", "DEFAULT"));
    assert!(message.data.get().contains("你好"), "{}", message.data);
    let marks = Marks::Ids(vec!["e-1".into()]);
    let marked = ports.inbox.mark("reads", &[Stream::User("reads".into())], &marks).await.unwrap();
    assert_eq!(marked.iter().map(|id| &**id).collect::<Vec<_>>(), ["e-1"]);

    let records = loop {
        let records = trace::read(&config, &*queue, "e-1").await.unwrap().records;
        let sockets = records.iter().filter(|r| matches!(r.fate, Fate::Delivered { .. })).count();
        if of(&records, "reads", "skipped").is_some() && of(&records, "away", "queued").is_some() && sockets == 4 {
            break records;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(of(&records, "reads", "skipped").unwrap().reason.as_deref(), Some("read on a socket"));
    let there = of(&records, "there", "passed").unwrap().reason.clone();
    assert_eq!(there.as_deref(), Some("only by a live way: online: 1 session(s) on 1 node(s)"));
    let woken = queue.inspect(&QueueName::new("phones")).await.unwrap();
    assert_eq!(woken.counts.get("send.in"), 2, "who was never there, and who stayed away");
    for user in ["away", "there", "never"] {
        assert_eq!(unread(&*ports.inbox, user).await.len(), 1, "{user}");
    }
    assert!(unread(&*ports.inbox, "reads").await.is_empty());

    // A sender that died before its commit sends the same once more.
    let again = Notification {
        id: "e-1".into(),
        expires_at: clock.now() + 60_000,
        targets: vec![homing_core::notification::Target::new("never", "user/never")],
        ..Notification::default()
    };
    let answer = channels["websocket"].send(&again, &again.targets).await.remove(0);
    assert_eq!((answer.outcome.name(), answer.detail.as_str()), ("delivered", "stored before"));
    assert_eq!(unread(&*ports.inbox, "never").await.len(), 1);

    stop.cancel();
    while tasks.join_next().await.is_some() {}
    assert!(ledger::read(&config, &*queue).await.unwrap().balanced);
}

/// The last record about a user with a fate of that name.
fn of<'a>(records: &'a [Record], user: &str, fate: &str) -> Option<&'a Record> {
    let about = |record: &&Record| record.target.as_deref() == Some(user) && record.fate.name() == fate;
    let of_phones = |record: &&Record| !matches!(&record.fate, Fate::Queued { channel } if channel == "websocket");
    records.iter().rfind(|record| about(record) && of_phones(record))
}

async fn unread(inbox: &dyn Inbox, user: &str) -> Vec<bytes::Bytes> {
    let unread = inbox.unread(user, &[Stream::User(user.into())], 10).await.unwrap().remove(0);
    unread.messages.into_iter().map(|message| message.body).collect()
}

/// A queue and a directory in SQLite files, live delivery on the tests' Redis, and one lane.
fn configuration(folder: &std::path::Path) -> Config {
    let directory = folder.join("directory.db");
    let made = rusqlite::Connection::open(&directory).unwrap();
    let rows = "CREATE TABLE phones (user_id TEXT, token TEXT, platform TEXT, app TEXT);
        INSERT INTO phones VALUES ('reads','t1','android','a'), ('away','t2','android','a'), ('there','t3','android','a'),
                                  ('never','t4','android','a');";
    made.execute_batch(rows).unwrap();
    let redis = std::env::var("HOMING_TEST_REDIS_URL").expect("HOMING_TEST_REDIS_URL is not set: run scripts/test");
    let text = format!(
        "[queue]\nbackend = 'sqlite'\npath = '{}'\n[stores.db]\nkind = 'sqlite'\nurl = 'sqlite://{}'\n\
         [live]\nurl = '{redis}'\nprefix = 'sockets-{}:'\n\
         [lookup.tokens]\nstore = 'db'\ntable = 'phones'\nid = 'user_id'\n\
         columns = {{ token = 'token', platform = 'platform', app = 'app' }}\n\
         [lane.a]\nentry.name = 'in'\ndelivery.fcm.name = 'phones'\ndelivery.websocket.name = 'sockets'\n\
         rules = ['presence']\nsockets = 'websocket'\npresence = {{ grace = '2s' }}\n",
        folder.join("queue.db").display(),
        directory.display(),
        std::process::id(),
    );
    let file = folder.join("homing.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&[file]).unwrap()
}
