//! What only a server can do: lose everything, break connections, be full, be written to by others.

use std::time::Instant;

use homing_core::live::{Announcement, Heard, Marks, Once, Position, Post, Stream};
use redis::AsyncCommands;
use tokio::time::timeout;

use crate::support::{
    SOON, Server, World, after, body, fill, foreign, hear, now, numbered, post, redis_url, settings, unread, until,
    user,
};

#[tokio::test]
async fn after_a_loss_the_epoch_is_another_and_nothing_is_recovered() {
    let server = Server::start(&[]).await;
    let world = World::at(server.url(), settings());
    let ports = world.node("a");
    let stream = user("42");
    let before = fill(&ports, &stream, numbered(1..=3)).await[2].at;
    ports.inbox.mark("42", &[], &Marks::Ids(vec!["3".into()])).await.unwrap();
    let mut admin = foreign(&server.url()).await;
    let () = redis::cmd("FLUSHALL").query_async(&mut admin).await.unwrap();
    let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut admin).await.unwrap();
    assert_eq!(after(&ports, &stream, before, 10).await, (false, Position::default(), vec![]));
    let now = fill(&ports, &stream, numbered(3..=6)).await[3].at;
    assert_ne!(now.epoch, before.epoch);
    assert_eq!(now.offset, 4);
    assert_eq!(after(&ports, &stream, before, 10).await, (false, now, vec![]));
    assert_eq!(unread(&ports, "42", &stream, 10).await.0, ["3", "4", "5", "6"]);
    // The log alone is lost.
    let log = redis::cmd("KEYS").arg("*:log").query_async::<Vec<String>>(&mut admin).await.unwrap();
    let () = admin.del(&log).await.unwrap();
    assert_eq!(after(&ports, &stream, Position { offset: 2, ..now }, 10).await, (false, now, vec![]));
    assert_eq!(unread(&ports, "42", &stream, 10).await, (vec![], true));
    assert_eq!(fill(&ports, &stream, numbered(7..=7)).await[0].at, Position { offset: 5, ..now });
    assert_eq!(after(&ports, &stream, now, 10).await.2, [5]);
}

#[tokio::test]
async fn a_broken_bus_is_followed_again_and_tells_one_gap() {
    let server = Server::start(&[]).await;
    let world = World::at(server.url(), settings());
    let (listener, speaker) = (world.node("a"), world.node("b"));
    let stream = user("42");
    listener.bus.follow(&[stream.shard().unwrap(), 63]).await.unwrap();
    let said = |n: u32| Announcement::Message { stream: stream.clone(), at: None, body: body(&n.to_string()) };
    for round in 0..3 {
        speaker.bus.announce(&[said(round)]).await.unwrap();
        assert_eq!(hear(&listener).await, Heard::Said(said(round)));
        let mut admin = foreign(&server.url()).await;
        let killed: u32 =
            redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query_async(&mut admin).await.unwrap();
        assert_eq!(killed, 1);
        assert_eq!(hear(&listener).await, Heard::Gap);
        // By the gap, all is followed again.
        assert_eq!(subscribers(&server.url(), "*bus:*").await, 3);
    }
    speaker.bus.announce(&[said(9)]).await.unwrap();
    assert_eq!(hear(&listener).await, Heard::Said(said(9)), "one gap, not two");
    // Every other connection breaks, too; calls go on.
    let mut admin = foreign(&server.url()).await;
    let _: u32 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query_async(&mut admin).await.unwrap();
    assert!(fill(&speaker, &stream, numbered(1..=1)).await[0].fresh);
    // The node that is dropped hears nothing more.
    drop(listener);
    until(|| async { subscribers(&server.url(), "*bus:*").await == 0 }).await;
}

async fn subscribers(url: &str, pattern: &str) -> usize {
    let mut admin = foreign(url).await;
    let channels: Vec<String> =
        redis::cmd("PUBSUB").arg("CHANNELS").arg(pattern).query_async(&mut admin).await.unwrap();
    channels.len()
}

#[tokio::test]
async fn a_server_that_comes_late_is_found() {
    let (listener, url, port) = {
        let server = Server::start(&[]).await;
        (World::at(server.url(), settings()).node("a"), server.url(), server.port)
    };
    let error = listener.bus.follow(&[1]).await.unwrap_err();
    assert!(!error.refused && error.to_string().starts_with("bus of redis 127.0.0.1:"), "{error}");
    let _server = Server::start_at(port, &[]).await;
    assert_eq!(hear(&listener).await, Heard::Gap, "what it could not follow in time is a gap");
    until(|| async { subscribers(&url, "*bus:*").await == 2 }).await;
}

#[tokio::test]
async fn a_full_server_says_so_and_stores_nothing() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let world = World::at(server.url(), settings());
    let ports = world.node("a");
    let stream = user("42");
    fill(&ports, &stream, numbered(1..=1)).await;
    ports.schedule.put("due", b"due", now() - 1).await.unwrap();
    let mut admin = foreign(&server.url()).await;
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("100kb").query_async(&mut admin).await.unwrap();
    for posts in [[post(&stream, "2"), post(&user("new"), "1")], [post(&user("new"), "1"), post(&stream, "2")]] {
        let error = ports.inbox.post(&posts).await.unwrap_err();
        let source = error.source.to_string();
        assert!(!error.refused && source.contains("the server is full (maxmemory)"), "{source}");
    }
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0").query_async(&mut admin).await.unwrap();
    assert_eq!(unread(&ports, "42", &stream, 10).await.0, ["1"]);
    assert_eq!(unread(&ports, "new", &user("new"), 10).await.0, Vec::<String>::new());
    assert_eq!(ports.schedule.look(1).await.unwrap().due.len(), 1);
}

#[tokio::test]
async fn what_others_add_wakes_and_is_read() {
    let settings = settings();
    let key = settings.schedule.key.clone();
    let ports = World::at(redis_url(), settings).node("a");
    let mut producer = foreign(&redis_url()).await;
    let member = r#"{"msg_type":"notify","to_user_id":42,"data":{}}"#;
    let mut slowest = std::time::Duration::ZERO;
    for n in 0..20 {
        assert!(ports.schedule.look(1).await.unwrap().due.is_empty());
        let waiting = {
            let ports = ports.clone();
            tokio::spawn(async move { ports.schedule.changed().await })
        };
        let began = Instant::now();
        // Whole seconds, fractions, and far too early ones.
        let score = ["1.5", "-inf", "1447212345", "0"][n % 4];
        let () = redis::cmd("ZADD").arg(&key).arg(score).arg(member).query_async(&mut producer).await.unwrap();
        loop {
            let agenda = ports.schedule.look(1).await.unwrap();
            if let Some(due) = agenda.due.first() {
                assert_eq!(due.member, member);
                break;
            }
            assert!(began.elapsed() < SOON);
        }
        timeout(SOON, waiting).await.expect("a foreign ZADD wakes").unwrap();
        slowest = slowest.max(began.elapsed());
        let once = Once::Due { member: member.into() };
        let taken = Post { once, ..post(&user("42"), &n.to_string()) };
        assert!(ports.inbox.post(&[taken]).await.unwrap()[0].fresh);
    }
    #[allow(clippy::print_stdout, reason = "a figure for whoever looks")]
    {
        println!("the slowest of 20 foreign ZADDs was told of after {slowest:?}");
    }
    let _: u32 = redis::cmd("ZADD").arg(&key).arg("inf").arg("never").query_async(&mut producer).await.unwrap();
    assert_eq!(ports.schedule.look(1).await.unwrap().next, None);
}

#[tokio::test]
async fn what_was_buried_can_be_read() {
    let mut settings = settings();
    settings.schedule.dead_max = 2;
    let key = settings.schedule.key.clone();
    let ports = World::at(redis_url(), settings).node("a");
    let mut producer = foreign(&redis_url()).await;
    for n in 0..3 {
        let () = producer.zadd(&key, format!("bad\n{n}"), 1).await.unwrap();
        ports.schedule.bury(format!("bad\n{n}").as_bytes(), "not \"JSON\"").await.unwrap();
    }
    let dead: Vec<String> = producer.lrange(format!("{{{key}}}:dead"), 0, -1).await.unwrap();
    assert_eq!(dead, ["{\"why\":\"not \\\"JSON\\\"\"}\nbad\n1", "{\"why\":\"not \\\"JSON\\\"\"}\nbad\n2"]);
    assert_eq!(producer.zcard::<_, u32>(&key).await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_that_is_no_streams_loses_no_scheduled_message() {
    let settings = settings();
    let (key, prefix) = (settings.schedule.key.clone(), settings.prefix.clone());
    let ports = World::at(redis_url(), settings).node("a");
    let mut producer = foreign(&redis_url()).await;
    for part in ["meta", "log", "ids"] {
        let junk = format!("{prefix}{{u:{part}}}:{part}");
        let () = producer.sadd(&junk, "junk").await.unwrap();
        // Of a stream that was never there, what stands where its log would be is in nobody's way; so let it be there.
        let meta = format!("{prefix}{{u:{part}}}:meta");
        if part != "meta" {
            for (field, value) in [("e", 7), ("t", 0), ("f", 1), ("b", 0), ("o", 0), ("w", 0), ("c", 0), ("p", 0)] {
                let () = producer.hset(&meta, field, value).await.unwrap();
            }
        }
        let () = producer.zadd(&key, part, 1).await.unwrap();
        let due = Post { once: Once::Due { member: part.into() }, ..post(&user(part), "x") };
        let error = ports.inbox.post(std::slice::from_ref(&due)).await.unwrap_err();
        assert!(error.to_string().contains("WRONGTYPE"), "{part}: {error}");
        assert_eq!(producer.zcard::<_, u32>(&key).await.unwrap(), 1, "{part}");
        let () = producer.del(&junk).await.unwrap();
        assert!(ports.inbox.post(&[due]).await.unwrap()[0].fresh, "{part}");
        assert_eq!(producer.zcard::<_, u32>(&key).await.unwrap(), 0, "{part}");
    }
}

#[tokio::test]
async fn everyones_stream_costs_a_user_little() {
    let server = Server::start(&[]).await;
    let world = World::at(server.url(), settings());
    let ports = world.node("a");
    fill(&ports, &Stream::Everyone, numbered(1..=100)).await;
    let mut admin = foreign(&server.url()).await;
    let memory = async |admin: &mut redis::aio::MultiplexedConnection| {
        let text: String = redis::cmd("INFO").arg("memory").query_async(admin).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.trim().parse::<i64>().unwrap()
    };
    let before = memory(&mut admin).await;
    let users: i64 = 2_000;
    for n in 0..users {
        let top = Marks::UpTo(Stream::Everyone, Position { offset: 100, epoch: epoch(&ports).await });
        assert_eq!(ports.inbox.mark(&n.to_string(), &[], &top).await.unwrap().len(), 100);
    }
    let with_ids = (memory(&mut admin).await - before) / users;
    // Read ids are remembered for a while; what stays are the marks.
    let done: Vec<String> = redis::cmd("KEYS").arg("*:done").query_async(&mut admin).await.unwrap();
    assert_eq!(i64::try_from(done.len()).unwrap(), users);
    let () = admin.del(&done).await.unwrap();
    let left = (memory(&mut admin).await - before) / users;
    #[allow(clippy::print_stdout, reason = "a figure for whoever looks")]
    {
        println!("a user who read 100 broadcasts: {with_ids} bytes for an hour, {left} bytes after it");
    }
    assert!(left < 400, "{left}");
}

async fn epoch(ports: &homing_stores::live::Ports) -> u32 {
    ports.inbox.unread("0", &[Stream::Everyone], 0).await.unwrap()[0].top.epoch
}

#[tokio::test]
async fn a_flood_of_equal_publications_stays_bounded() {
    let settings = settings();
    let key = format!("{}{{all}}:c:{:016x}", settings.prefix, 7);
    let world = World::at(redis_url(), settings);
    let nodes = [world.node("a"), world.node("b")];
    let copies = |node: &str, from: u32| -> Vec<Post> {
        let once = Once::Copy { hash: 7, node: node.into() };
        let copy = |n| Post { once: once.clone(), ..post(&Stream::Everyone, &format!("{node}-{n}")) };
        (from..from + 500).map(copy).collect()
    };
    for from in (0..3_000).step_by(500) {
        // `b` hears each of them after `a`.
        let first = nodes[0].inbox.post(&copies("a", from)).await.unwrap();
        assert!(first.iter().all(|posted| posted.fresh));
        let second = nodes[1].inbox.post(&copies("b", from)).await.unwrap();
        assert!(first.iter().zip(&second).all(|(first, second)| !second.fresh && second.at == first.at));
    }
    let mut admin = foreign(&redis_url()).await;
    let fields: usize = admin.hlen(&key).await.unwrap();
    assert!((1_000..=5_100).contains(&fields), "{fields}");
}

#[tokio::test]
async fn ids_of_members_that_others_took_are_forgotten() {
    let settings = settings();
    let key = settings.schedule.key.clone();
    let ports = World::at(redis_url(), settings).node("a");
    let mut admin = foreign(&redis_url()).await;
    for n in 0..1_001 {
        ports.schedule.put(&n.to_string(), n.to_string().as_bytes(), now() + 60_000).await.unwrap();
    }
    let () = redis::cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(-1).query_async(&mut admin).await.unwrap();
    assert!(!ports.schedule.cancel("999").await.unwrap());
    ports.schedule.put("last", b"last", now()).await.unwrap();
    ports.schedule.put("more", b"more", now()).await.unwrap();
    ports.schedule.put("most", b"most", now()).await.unwrap();
    assert_eq!(admin.hlen::<_, usize>(format!("{{{key}}}:ids")).await.unwrap(), 1_003);
    let () = redis::cmd("ZREM").arg(&key).arg("last").query_async(&mut admin).await.unwrap();
    ports.schedule.put("more", b"now", now()).await.unwrap();
    assert_eq!(admin.hlen::<_, usize>(format!("{{{key}}}:ids")).await.unwrap(), 2);
}
