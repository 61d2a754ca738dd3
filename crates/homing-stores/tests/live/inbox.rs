//! Streams: offsets, what was missed, bounds, ends.

use std::time::{Duration, Instant};

use homing_core::live::{Position, Posted, Stream};

use crate::support::{World, after, both, fill, group, hear_message, now, numbered, post, unread, until, user};

both! {
    offsets_are_contiguous_and_announced_in_order;
    an_id_is_stored_once;
    what_was_missed_is_all_or_honestly_not;
    a_stream_is_bounded_in_messages with |s| { s.max_messages = 10; s.everyone_messages = 20; };
    a_stream_is_bounded_in_bytes with |s| s.max_bytes = 65_536;
    messages_end with |s| { s.ttl = Duration::from_millis(400); s.id_window = Duration::from_millis(400); };
    an_id_is_forgotten_after_its_window with |s| { s.max_messages = 2; s.id_window = Duration::from_millis(200); };
    what_nobody_takes_is_refused;
    posts_per_second_are_printed;
}

async fn offsets_are_contiguous_and_announced_in_order(world: World) {
    let (writer, listener) = (world.node("a"), world.node("b"));
    let stream = user("42");
    listener.bus.follow(&[stream.shard().unwrap()]).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (ports, stream) = (writer.clone(), stream.clone());
            tokio::spawn(async move {
                let mut all = Vec::new();
                for n in 0..25 {
                    let posts = [post(&stream, &format!("{task}-{n}-a")), post(&stream, &format!("{task}-{n}-b"))];
                    all.extend(ports.inbox.post(&posts).await.unwrap());
                }
                all
            })
        })
        .collect();
    let mut offsets = Vec::new();
    let mut epochs = Vec::new();
    for task in tasks {
        let posted: Vec<Posted> = task.await.unwrap();
        assert!(posted.iter().all(|posted| posted.fresh));
        // One call's messages stand one after another.
        assert!(posted.chunks(2).all(|pair| pair[0].at.offset + 1 == pair[1].at.offset));
        offsets.extend(posted.iter().map(|posted| posted.at.offset));
        epochs.extend(posted.iter().map(|posted| posted.at.epoch));
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=400).collect::<Vec<u64>>());
    epochs.dedup();
    assert!(epochs.len() == 1 && epochs[0] != 0, "{epochs:?}");
    for offset in 1..=400 {
        assert_eq!(hear_message(&listener).await, (stream.clone(), offset));
    }
}

async fn an_id_is_stored_once(world: World) {
    let ports = world.node("a");
    let first = fill(&ports, &user("42"), ["x".to_owned(), "y".to_owned(), "x".to_owned()]).await;
    assert_eq!(first.iter().map(|p| (p.at.offset, p.fresh)).collect::<Vec<_>>(), [(1, true), (2, true), (1, false)]);
    let again = fill(&ports, &user("42"), ["y".to_owned()]).await;
    assert_eq!(again, [Posted { at: first[1].at, fresh: false }]);
    // Of another stream it is another message.
    assert!(fill(&ports, &user("43"), ["x".to_owned()]).await[0].fresh);
    let racing = (0..5).map(|_| {
        let ports = ports.clone();
        tokio::spawn(async move { fill(&ports, &group("g"), ["z".to_owned()]).await[0] })
    });
    let mut fresh = 0;
    for racer in racing.collect::<Vec<_>>() {
        let posted = racer.await.unwrap();
        assert_eq!(posted.at.offset, 1);
        fresh += u32::from(posted.fresh);
    }
    assert_eq!(fresh, 1);
}

async fn what_was_missed_is_all_or_honestly_not(world: World) {
    let ports = world.node("a");
    let stream = user("4 2}{\"小");
    let nowhere = Position::default();
    assert_eq!(after(&ports, &stream, nowhere, 10).await, (true, nowhere, vec![]));
    let somewhere = Position { epoch: 7, offset: 0 };
    assert_eq!(after(&ports, &stream, somewhere, 10).await, (false, nowhere, vec![]));
    let posted = fill(&ports, &stream, numbered(1..=5)).await;
    let top = posted[4].at;
    let at = |offset| Position { offset, ..top };
    assert_eq!(after(&ports, &stream, at(2), 10).await, (true, top, vec![3, 4, 5]));
    assert_eq!(after(&ports, &stream, at(2), 3).await, (true, top, vec![3, 4, 5]));
    assert_eq!(after(&ports, &stream, at(5), 0).await, (true, top, vec![]));
    assert_eq!(after(&ports, &stream, at(0), 10).await, (true, top, vec![1, 2, 3, 4, 5]));
    assert_eq!(after(&ports, &stream, at(2), 2).await, (false, top, vec![]), "more than the limit");
    assert_eq!(after(&ports, &stream, at(6), 10).await, (false, top, vec![]), "beyond the top");
    for offset in [1 << 53, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX] {
        assert_eq!(after(&ports, &stream, at(offset), 10).await, (false, top, vec![]), "{offset}, which nothing has");
        let never = Position { epoch: 0, offset };
        assert_eq!(after(&ports, &user("never"), never, 10).await, (false, nowhere, vec![]), "{offset} of nothing");
    }
    assert_eq!(after(&ports, &stream, nowhere, 10).await, (false, top, vec![]), "no position");
    let other = Position { epoch: top.epoch ^ 1, offset: 5 };
    assert_eq!(after(&ports, &stream, other, 10).await, (false, top, vec![]), "another epoch");
    // Many streams in one call, in their order.
    let asks: Vec<_> = (0..100)
        .map(|n| if n == 70 { (stream.clone(), at(4)) } else { (user(&format!("nobody {n}")), nowhere) })
        .collect();
    let all = ports.inbox.after(&asks, 10).await.unwrap();
    assert!(all.iter().all(|backlog| backlog.recovered));
    assert_eq!(all.iter().map(|backlog| backlog.messages.len()).sum::<usize>(), 1);
    assert_eq!(all[70].messages[0].offset, 5);
}

async fn a_stream_is_bounded_in_messages(world: World) {
    let ports = world.node("a");
    for (stream, most) in [(user("42"), 10), (group("g"), 10), (Stream::Everyone, 20)] {
        let posted = fill(&ports, &stream, numbered(1..=35)).await;
        let top = posted[34].at;
        let first = 35 - most + 1;
        let at = |offset| Position { offset, ..top };
        let (recovered, _, offsets) = after(&ports, &stream, at(first - 1), 100).await;
        assert!(recovered && offsets == (first..=35).collect::<Vec<_>>(), "{stream}: {offsets:?}");
        assert_eq!(after(&ports, &stream, at(first - 2), 100).await, (false, top, vec![]), "{stream}");
        let kept: Vec<String> = numbered(u32::try_from(first).unwrap()..=35).collect();
        // Of a shared stream what had left before the user came is not theirs.
        assert_eq!(unread(&ports, "42", &stream, 100).await, (kept, stream == user("42")), "{stream}");
        // Ids that left are known all the same.
        assert_eq!(fill(&ports, &stream, numbered(1..=1)).await, [Posted { at: at(1), fresh: false }]);
    }
}

async fn a_stream_is_bounded_in_bytes(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    let mut large = post(&stream, "1");
    large.body = vec![b'x'; 20_000].into();
    let mut top = Position::default();
    for n in 1..=10_u64 {
        large.id = n.to_string().into();
        top = ports.inbox.post(std::slice::from_ref(&large)).await.unwrap()[0].at;
    }
    let at = |offset| Position { offset, ..top };
    let kept = ports.inbox.after(&[(stream.clone(), at(7)), (stream.clone(), at(6))], 100).await.unwrap();
    assert_eq!(kept[0].messages.len(), 3);
    assert!(kept[0].messages.iter().all(|stored| stored.body == large.body));
    assert!(!kept[1].recovered);
    // The newest stays though it is larger than all of the bound.
    large.id = "whole".into();
    large.body = vec![0xff; 1 << 20].into();
    ports.inbox.post(std::slice::from_ref(&large)).await.unwrap();
    let kept = ports.inbox.after(&[(stream, at(10))], 100).await.unwrap();
    assert_eq!(kept[0].messages[0].body, large.body);
}

async fn messages_end(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    let mut posts = [post(&stream, "1"), post(&stream, "2"), post(&stream, "3")];
    posts[1].expires_at = Some(now() - 1);
    let posted = ports.inbox.post(&posts).await.unwrap();
    let at = |offset| Position { offset, ..posted[2].at };
    // What nobody wants any more is not missed.
    assert_eq!(after(&ports, &stream, at(0), 10).await, (true, at(3), vec![1, 3]));
    assert_eq!(unread(&ports, "42", &stream, 10).await, (vec!["1".to_owned(), "3".to_owned()], false));
    // What became too old is.
    until(|| async { !after(&ports, &stream, at(2), 10).await.0 }).await;
    assert_eq!(after(&ports, &stream, at(0), 10).await, (false, at(3), vec![]));
    assert_eq!(after(&ports, &stream, at(3), 10).await, (true, at(3), vec![]));
    assert_eq!(unread(&ports, "42", &stream, 10).await, (vec![], true));
    // The number goes on.
    assert_eq!(fill(&ports, &stream, numbered(4..=4)).await, [Posted { at: at(4), fresh: true }]);
    assert_eq!(unread(&ports, "42", &stream, 10).await, (vec!["4".to_owned()], true));
}

async fn an_id_is_forgotten_after_its_window(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    fill(&ports, &stream, numbered(1..=5)).await;
    assert!(!fill(&ports, &stream, numbered(1..=1)).await[0].fresh);
    // Each window that ends lets the one before it be forgotten, as messages come.
    let mut n = 5;
    let stopwatch = Instant::now();
    while !fill(&ports, &stream, numbered(1..=1)).await[0].fresh {
        n += 1;
        fill(&ports, &stream, numbered(n..=n)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(stopwatch.elapsed() < crate::support::SOON, "it is never forgotten");
    }
    assert!(stopwatch.elapsed() >= Duration::from_millis(150), "forgotten after {:?}", stopwatch.elapsed());
}

async fn what_nobody_takes_is_refused(world: World) {
    let ports = world.node("a");
    let good = post(&user("42"), "1");
    let mut large = post(&user("42"), "large");
    large.body = vec![0; (1 << 20) + 1].into();
    let long = post(&user("42"), &"x".repeat(129));
    let nameless = post(&user(&"x".repeat(257)), "1");
    for (bad, why) in [(large, "has 1048577 bytes"), (long, "must have 1 to 128 bytes"), (nameless, "1 to 256 bytes")] {
        let error = ports.inbox.post(&[good.clone(), bad]).await.unwrap_err();
        let told = format!("{error}");
        assert!(error.refused && told.contains(why) && told.starts_with("inbox of "), "{told}");
    }
    assert_eq!(unread(&ports, "42", &user("42"), 10).await, (vec![], false), "nothing was stored");
    assert!(ports.inbox.unread("", &[], 1).await.unwrap_err().refused);
}

async fn posts_per_second_are_printed(world: World) {
    let ports = world.node("a");
    let (tasks, calls, batch) = (16, 25, 8);
    let began = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let ports = ports.clone();
            tokio::spawn(async move {
                for call in 0..calls {
                    let posts: Vec<_> =
                        (0..batch).map(|n| post(&user(&format!("{}", task * 8 + n)), &format!("{call}"))).collect();
                    ports.inbox.post(&posts).await.unwrap();
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    let all = f64::from(tasks * calls * batch);
    #[allow(clippy::print_stdout, reason = "a figure for whoever looks")]
    {
        println!("{:.0} posts/s in calls of {batch}, {tasks} callers", all / began.elapsed().as_secs_f64());
    }
    assert_eq!(unread(&ports, "7", &user("7"), 1_000).await.0.len(), usize::try_from(calls).unwrap());
}
