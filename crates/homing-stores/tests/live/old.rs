//! A history from before Homing, in Redis hashes.

use homing_core::live::{Announcement, Heard, Marks, Position};
use homing_core::wire_live::Message;
use homing_stores::live::OldHistory;
use redis::AsyncCommands;

use crate::support::{World, fill, foreign, hear, numbered, redis_url, settings, unread, user};

#[tokio::test]
async fn what_is_unread_there_comes_first_and_is_marked_there() {
    let mut settings = settings();
    let hash = format!("{}history:{{user}}", settings.prefix);
    let key = hash.replace("{user}", "42");
    let old = OldHistory { key: hash, message: "body".to_owned(), at: "time".to_owned(), ..OldHistory::default() };
    settings.old_history = Some(old);
    let world = World::at(redis_url(), settings);
    let mut producer = foreign(&redis_url()).await;
    for (id, state, time) in [("o1", "0", 30), ("o2", "1", 20), ("o3", "\"0\"", 10), ("o4", "0", 40)] {
        let entry = format!(r#"{{"body": {{"n":{time}.10}}, "state":{state} ,"time":{time}}}"#);
        let () = producer.hset(&key, id, entry).await.unwrap();
    }
    let () = producer.hset(&key, "rubbish", "a:0:{}").await.unwrap();
    let ports = world.node("a");
    let stream = user("42");
    ports.bus.follow(&[stream.shard().unwrap()]).await.unwrap();
    let posted = fill(&ports, &stream, numbered(1..=2)).await;
    let all = ["o3", "o1", "o4", "1", "2"].map(str::to_owned).to_vec();
    assert_eq!(unread(&ports, "42", &stream, 10).await, (all, false));
    assert_eq!(unread(&ports, "42", &stream, 3).await, (["o4", "1", "2"].map(str::to_owned).to_vec(), true));
    assert_eq!(unread(&ports, "43", &user("43"), 3).await, (vec![], false));
    let shown = ports.inbox.unread("42", std::slice::from_ref(&stream), 10).await.unwrap();
    let message = Message::decode(&shown[0].messages[1].body).unwrap();
    assert_eq!((message.data.get(), &*message.kind, shown[0].messages[1].offset), (r#"{"n":30.10}"#, "message", 0));

    let marks = Marks::Ids(["o1", "o2", "1", "nothing"].map(Into::into).to_vec());
    let fresh = ports.inbox.mark("42", &[], &marks).await.unwrap();
    assert_eq!(texts(fresh), ["1", "o1"]);
    assert!(ports.inbox.mark("42", &[], &marks).await.unwrap().is_empty());
    let written: String = producer.hget(&key, "o1").await.unwrap();
    assert_eq!(written, r#"{"body": {"n":30.10}, "state":1 ,"time":30}"#);
    assert_eq!(unread(&ports, "42", &stream, 10).await.0, ["o3", "o4", "2"]);
    assert_eq!(ports.inbox.were_read(&[("42", "o1"), ("42", "o3")]).await.unwrap(), [true, false]);

    // All of it is older than any message of ours.
    let up_to = Marks::UpTo(stream.clone(), Position { offset: 1, ..posted[0].at });
    assert_eq!(texts(ports.inbox.mark("42", &[], &up_to).await.unwrap()), ["o3", "o4"]);
    let written: String = producer.hget(&key, "o3").await.unwrap();
    assert_eq!(written, r#"{"body": {"n":10.10}, "state":"1" ,"time":10}"#);
    assert_eq!(unread(&ports, "42", &stream, 10).await, (vec!["2".to_owned()], false));
    let mut read = Vec::new();
    while read.len() < 4 {
        if let Heard::Said(Announcement::Read { ids, .. }) = hear(&ports).await {
            read.extend(ids.iter().map(|id| id.to_string()));
        }
    }
    assert_eq!(read, ["1", "o1", "o3", "o4"]);
    let rubbish: String = producer.hget(&key, "rubbish").await.unwrap();
    assert_eq!(rubbish, "a:0:{}");
}

fn texts(ids: Vec<std::sync::Arc<str>>) -> Vec<String> {
    ids.iter().map(|id| id.to_string()).collect()
}
