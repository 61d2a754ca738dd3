//! Read marks.

use std::sync::Arc;

use homing_core::live::{Announcement, Heard, Marks, Position, Stream};
use homing_stores::live::Ports;

use crate::support::{World, both, fill, group, hear, numbered, post, unread, until, user};

both! {
    what_was_read_on_one_tab_is_read_on_all;
    a_shared_stream_has_marks_per_user;
    up_to_marks_all_before_it;
    any_order_of_marks_is_kept;
    what_left_the_stream_unread_is_told with |s| s.max_messages = 5;
    a_read_message_that_has_left_was_read with |s| s.max_messages = 3;
    a_limit_shows_the_newest;
    marks_are_void_in_another_life;
    marks_of_nothing_change_nothing;
    marks_are_bounded_in_streams;
}

fn ids<const N: usize>(ids: [&str; N]) -> Marks {
    Marks::Ids(ids.map(Arc::from).to_vec())
}

async fn mark(ports: &Ports, who: &str, streams: &[Stream], marks: &Marks) -> Vec<String> {
    let fresh = ports.inbox.mark(who, streams, marks).await.unwrap();
    fresh.iter().map(|id| id.to_string()).collect()
}

async fn what_was_read_on_one_tab_is_read_on_all(world: World) {
    let (one, other) = (world.node("a"), world.node("b"));
    let stream = user("4\"2/小");
    let who = "4\"2/小";
    other.bus.follow(&[stream.shard().unwrap()]).await.unwrap();
    fill(&one, &stream, ["a/1".to_owned(), "b\"小".to_owned(), "c".to_owned()]).await;
    for _ in 0..3 {
        hear(&other).await;
    }
    assert_eq!(mark(&one, who, &[], &ids(["b\"小", "a/1"])).await, ["b\"小", "a/1"]);
    let said = Announcement::Read { user: who.into(), ids: vec!["b\"小".into(), "a/1".into()] };
    assert_eq!(hear(&other).await, Heard::Said(said));
    // Again, from the other tab: nothing is new, nobody is told.
    assert_eq!(mark(&other, who, std::slice::from_ref(&stream), &ids(["a/1"])).await, Vec::<String>::new());
    for ports in [&one, &other] {
        assert_eq!(unread(ports, who, &stream, 10).await, (vec!["c".to_owned()], false));
    }
    let pairs = [(who, "a/1"), (who, "b\"小"), (who, "c"), (who, "nothing"), ("nobody", "a/1")];
    assert_eq!(one.inbox.were_read(&pairs).await.unwrap(), [true, true, false, false, false]);
    assert_eq!(mark(&one, who, &[], &ids(["c"])).await, ["c"]);
    assert_eq!(hear(&other).await, Heard::Said(Announcement::Read { user: who.into(), ids: vec!["c".into()] }));
}

async fn a_shared_stream_has_marks_per_user(world: World) {
    let ports = world.node("a");
    let streams = [Stream::Everyone, group("news")];
    for stream in &streams {
        fill(&ports, stream, numbered(1..=3).map(|n| format!("{stream}-{n}"))).await;
    }
    assert_eq!(mark(&ports, "1", &streams, &ids(["all-1", "g:news-3", "all-2"])).await, ["all-1", "g:news-3", "all-2"]);
    assert_eq!(mark(&ports, "2", &streams[1..], &ids(["all-1", "g:news-1"])).await, ["g:news-1"]);
    assert_eq!(unread(&ports, "1", &streams[0], 10).await.0, ["all-3"]);
    assert_eq!(unread(&ports, "1", &streams[1], 10).await.0, ["g:news-1", "g:news-2"]);
    assert_eq!(unread(&ports, "2", &streams[0], 10).await.0, ["all-1", "all-2", "all-3"]);
    assert_eq!(unread(&ports, "2", &streams[1], 10).await.0, ["g:news-2", "g:news-3"]);
    let all = ports.inbox.unread("1", &[user("1"), streams[0].clone(), streams[1].clone()], 10).await.unwrap();
    assert_eq!(all.iter().map(|one| one.messages.len()).collect::<Vec<_>>(), [0, 1, 2]);
    let pairs = [("1", "all-1"), ("1", "all-3"), ("2", "all-1"), ("2", "g:news-1"), ("1", "g:news-1")];
    assert_eq!(ports.inbox.were_read(&pairs).await.unwrap(), [true, false, false, true, false]);
}

async fn up_to_marks_all_before_it(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    let posted = fill(&ports, &stream, numbered(1..=6)).await;
    mark(&ports, "42", &[], &ids(["2", "5"])).await;
    let up_to = |offset| Marks::UpTo(stream.clone(), Position { offset, ..posted[0].at });
    assert_eq!(mark(&ports, "42", &[], &up_to(4)).await, ["1", "3", "4"]);
    assert_eq!(mark(&ports, "42", &[], &up_to(2)).await, Vec::<String>::new());
    assert_eq!(unread(&ports, "42", &stream, 10).await.0, ["6"]);
    let of_another_life = Marks::UpTo(stream.clone(), Position { epoch: posted[0].at.epoch ^ 1, offset: 6 });
    assert_eq!(mark(&ports, "42", &[], &of_another_life).await, Vec::<String>::new());
    // What has not come yet is not read.
    assert_eq!(mark(&ports, "42", &[], &up_to(1_000)).await, ["6"]);
    fill(&ports, &stream, numbered(7..=7)).await;
    assert_eq!(unread(&ports, "42", &stream, 10).await, (vec!["7".to_owned()], false));
    assert_eq!(ports.inbox.were_read(&[("42", "1"), ("42", "7")]).await.unwrap(), [true, false]);
}

async fn any_order_of_marks_is_kept(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    fill(&ports, &stream, numbered(1..=200)).await;
    // 7 is coprime to 200: all of them, in a strange order.
    let order: Vec<u32> = (0..200).map(|n| n * 7 % 200 + 1).collect();
    for (n, id) in order.iter().enumerate().take(150) {
        assert_eq!(mark(&ports, "42", &[], &ids([&id.to_string()])).await, [id.to_string()], "{n}");
    }
    let mut left: Vec<u32> = order[150..].to_vec();
    left.sort_unstable();
    let left: Vec<String> = left.iter().map(u32::to_string).collect();
    assert_eq!(unread(&ports, "42", &stream, 1_000).await, (left.clone(), false));
    let rest = Marks::Ids(order.iter().map(|id| id.to_string().into()).collect());
    let mut fresh = mark(&ports, "42", &[], &rest).await;
    fresh.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(fresh, left);
    assert_eq!(unread(&ports, "42", &stream, 1_000).await, (vec![], false));
}

async fn what_left_the_stream_unread_is_told(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    fill(&ports, &stream, numbered(1..=5)).await;
    mark(&ports, "42", &[], &ids(["1", "2"])).await;
    fill(&ports, &stream, numbered(6..=7)).await;
    assert_eq!(unread(&ports, "42", &stream, 10).await, (numbered(3..=7).collect(), false), "only read ones left");
    fill(&ports, &stream, numbered(8..=8)).await;
    assert_eq!(unread(&ports, "42", &stream, 10).await, (numbered(4..=8).collect(), true), "3 left unread");
}

async fn a_read_message_that_has_left_was_read(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    fill(&ports, &stream, numbered(1..=3)).await;
    mark(&ports, "42", &[], &ids(["2"])).await;
    fill(&ports, &stream, numbered(4..=9)).await;
    mark(&ports, "42", &[], &ids(["9"])).await;
    let pairs = [("42", "1"), ("42", "2"), ("42", "3"), ("42", "8"), ("42", "9")];
    assert_eq!(ports.inbox.were_read(&pairs).await.unwrap(), [false, true, false, false, true]);
    // An acknowledgement that comes after its message has left counts, once.
    assert_eq!(mark(&ports, "42", &[], &ids(["3"])).await, ["3"]);
    assert_eq!(mark(&ports, "42", &[], &ids(["3"])).await, Vec::<String>::new());
    assert_eq!(ports.inbox.were_read(&[("42", "3")]).await.unwrap(), [true]);
}

async fn a_limit_shows_the_newest(world: World) {
    let ports = world.node("a");
    let stream = user("42");
    let posted = fill(&ports, &stream, numbered(1..=9)).await;
    mark(&ports, "42", &[], &ids(["8"])).await;
    assert_eq!(unread(&ports, "42", &stream, 3).await, (["6", "7", "9"].map(str::to_owned).to_vec(), true));
    assert!(!unread(&ports, "42", &stream, 8).await.1);
    assert_eq!(unread(&ports, "42", &stream, 0).await, (vec![], true));
    let all = ports.inbox.unread("42", &[stream, user("nobody")], 3).await.unwrap();
    assert_eq!((all[0].top, all[1].top), (posted[8].at, Position::default()));
}

async fn marks_are_void_in_another_life(world: World) {
    // A stream is lost with its server; here another stream that begins anew shows the same.
    let ports = world.node("a");
    fill(&ports, &group("g"), numbered(1..=3)).await;
    mark(&ports, "1", &[group("g")], &ids(["1", "2", "3"])).await;
    fill(&ports, &group("h"), numbered(1..=3)).await;
    assert_eq!(unread(&ports, "1", &group("h"), 10).await.0.len(), 3);
    assert_eq!(unread(&ports, "1", &group("g"), 10).await.0.len(), 0);
}

async fn marks_of_nothing_change_nothing(world: World) {
    let ports = world.node("a");
    let long = "x".repeat(1_000);
    assert_eq!(mark(&ports, "42", &[group("g")], &ids(["1", &long, ""])).await, Vec::<String>::new());
    assert_eq!(ports.inbox.were_read(&[("42", "1"), ("42", "")]).await.unwrap(), [false, false]);
    assert_eq!(mark(&ports, "42", &[], &Marks::Ids(vec![])).await, Vec::<String>::new());
    // The announcement of a mark reaches a listener only after it was written.
    ports.bus.follow(&[user("42").shard().unwrap()]).await.unwrap();
    fill(&ports, &user("42"), numbered(1..=1)).await;
    hear(&ports).await;
    mark(&ports, "42", &[], &ids(["1"])).await;
    assert!(matches!(hear(&ports).await, Heard::Said(Announcement::Read { .. })));
    until(|| async { ports.inbox.were_read(&[("42", "1")]).await.unwrap()[0] }).await;
}

async fn marks_are_bounded_in_streams(world: World) {
    let ports = world.node("a");
    let groups: Vec<Stream> = (0..1_030).map(|n| group(&n.to_string())).collect();
    let posts: Vec<_> = groups.iter().map(|group| post(group, "1")).collect();
    ports.inbox.post(&posts).await.unwrap();
    for some in groups.chunks(100) {
        assert_eq!(mark(&ports, "42", some, &ids(["1"])).await, ["1"]);
    }
    let all = ports.inbox.unread("42", &groups, 10).await.unwrap();
    assert_eq!(all.iter().filter(|unread| !unread.messages.is_empty()).count(), 6);
    // The mark of the last one is there.
    assert!(all[1_029].messages.is_empty());
}
