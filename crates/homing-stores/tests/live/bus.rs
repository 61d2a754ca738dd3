//! The bus.

use std::time::Duration;

use homing_core::live::{Announcement, BUS_SHARDS, Heard, Stream};

use crate::support::{World, body, both, hear, user};

both! {
    what_is_followed_is_heard_in_order;
    what_is_not_followed_is_not_heard;
    a_node_hears_itself;
    who_does_not_listen_gets_a_gap with |s| s.bus_bytes = 65_536;
}

fn said(stream: Stream, n: u32) -> Announcement {
    Announcement::Message { stream, at: None, body: body(&n.to_string()) }
}

async fn what_is_followed_is_heard_in_order(world: World) {
    let (speaker, listener) = (world.node("a"), world.node("b"));
    let all: Vec<u32> = (0..BUS_SHARDS).collect();
    listener.bus.follow(&all).await.unwrap();
    // Follow has returned: all from here on is heard.
    let announcements: Vec<_> = (0..1_000).map(|n| said(user(&(n % 7).to_string()), n)).collect();
    speaker.bus.announce(&announcements).await.unwrap();
    for expected in announcements {
        assert_eq!(hear(&listener).await, Heard::Said(expected));
    }
}

async fn what_is_not_followed_is_not_heard(world: World) {
    let (speaker, listener) = (world.node("a"), world.node("b"));
    let (one, other) = (user("1"), user("2"));
    assert_ne!(one.shard(), other.shard());
    let shards = [one.shard().unwrap()];
    for _ in 0..2 {
        listener.bus.follow(&shards).await.unwrap();
    }
    speaker.bus.announce(&[said(other.clone(), 1), said(one.clone(), 2)]).await.unwrap();
    assert_eq!(hear(&listener).await, Heard::Said(said(one.clone(), 2)));
    listener.bus.unfollow(&shards).await.unwrap();
    listener.bus.unfollow(&shards).await.unwrap();
    let leave = Announcement::Leave { user: "1".into(), why: "logged \"out\"".into() };
    speaker.bus.announce(&[leave.clone(), said(Stream::Everyone, 3)]).await.unwrap();
    assert_eq!(hear(&listener).await, Heard::Said(said(Stream::Everyone, 3)), "everyone's channel is heard always");
    listener.bus.follow(&shards).await.unwrap();
    speaker.bus.announce(std::slice::from_ref(&leave)).await.unwrap();
    assert_eq!(hear(&listener).await, Heard::Said(leave));
    assert!(listener.bus.follow(&[BUS_SHARDS]).await.unwrap_err().refused);
}

async fn a_node_hears_itself(world: World) {
    let ports = world.node("a");
    ports.bus.follow(&[user("1").shard().unwrap()]).await.unwrap();
    ports.bus.announce(&[said(user("1"), 1)]).await.unwrap();
    assert_eq!(hear(&ports).await, Heard::Said(said(user("1"), 1)));
}

async fn who_does_not_listen_gets_a_gap(world: World) {
    let (speaker, listener) = (world.node("a"), world.node("b"));
    listener.bus.follow(&[user("1").shard().unwrap()]).await.unwrap();
    for round in 0..10 {
        let many: Vec<_> = (0..250).map(|n| said(user("1"), round * 250 + n)).collect();
        speaker.bus.announce(&many).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    speaker.bus.announce(&[Announcement::Leave { user: "1".into(), why: "end".into() }]).await.unwrap();
    let (mut heard, mut gaps, mut last) = (0, 0, None);
    loop {
        match hear(&listener).await {
            Heard::Gap => {
                gaps += 1;
                assert_eq!(heard, 0, "a gap comes before what is heard after it");
            }
            Heard::Said(Announcement::Leave { .. }) => break,
            Heard::Said(said) => {
                heard += 1;
                last = Some(said);
            }
        }
    }
    assert!(gaps == 1 && heard < 2_500, "{gaps} gaps, {heard} heard");
    assert!(last.is_none() || last == Some(said(user("1"), 2_499)));
}
