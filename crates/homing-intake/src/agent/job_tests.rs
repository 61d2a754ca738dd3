#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::sync::Arc;

use homing_core::{
    catalogue::Catalogue,
    clock::SystemClock,
    event::{Audience, Event, Kind, Map},
    queue::{Queue, QueueName},
};
use homing_queue::sqlite::{Options as SqliteOptions, SqliteQueue};
use rmpv::Value as Rmp;
use serde_json::json;

use super::*;
use crate::{
    Lane, Parts, Settings,
    agent::{Text, TypeRule},
};

const TYPES: &str = "[AGENT_SILENT]\ncode = 100\nsilent = true\n[TALK]\ncode = 101\nbody = '{{ data.text }}'";

struct Rig {
    intake: Intake,
    options: Options,
    conventions: Conventions,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let queue: Arc<dyn Queue> = Arc::new(SqliteQueue::open(folder.path().join("q"), SqliteOptions::default()).unwrap());
    let lane = Lane {
        name: "agent".into(),
        entry: (1..=3).map(|n| QueueName::new(format!("agent_{n}"))).collect(),
        finds: vec!["members".into()],
        ..Lane::default()
    };
    let parts = Parts {
        queue,
        catalogue: Arc::new(Catalogue::parse("types.toml", TYPES).unwrap()),
        lanes: vec![lane],
        seats: Vec::new(),
        clock: Arc::new(SystemClock::default()),
    };
    let rule = TypeRule {
        push_type: Some(Text::Text("talk".into())),
        r#type: Some(Text::Number(1)),
        event: "TALK".into(),
        ..TypeRule::default()
    };
    let options = Options { types: vec![rule], ..Options::default() };
    let intake = Intake::new(parts, Settings::default()).unwrap();
    Rig { intake, options, conventions: Conventions::default(), _folder: folder }
}

fn packed(value: &Rmp) -> Bytes {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes.into()
}

fn plain(value: &serde_json::Value) -> Bytes {
    rmp_serde::to_vec(value).unwrap().into()
}

impl Rig {
    fn read(&self, bytes: Bytes) -> Result<Job, Garbage> {
        let reader = Reader { intake: &self.intake, options: &self.options, conventions: &self.conventions };
        reader.read(&Frame { bytes, at: 1_000 })
    }

    fn job(&self, frame: serde_json::Value) -> Job {
        self.read(plain(&frame)).unwrap()
    }

    /// The only event of a frame.
    #[track_caller]
    fn event(&self, frame: serde_json::Value) -> Event {
        let job = self.job(frame);
        assert_eq!((job.events.len(), job.refused), (1, None));
        stored(&job.events[0])
    }

    #[track_caller]
    fn garbage(&self, frame: serde_json::Value, expected: &str) {
        let garbage = self.read(plain(&frame)).unwrap_err();
        assert_eq!((garbage.at, garbage.what.as_str()), (1_000, expected));
    }
}

fn stored(checked: &Checked) -> Event {
    Event::read(&decode(&checked.item.body, Codec::Msgpack).unwrap(), &Map::default()).unwrap()
}

#[test]
fn the_shape_of_the_id_says_who_is_meant() {
    let rig = rig();
    let users = |ids: &[&str]| Audience::Users(ids.iter().map(|id| (*id).to_owned()).collect());
    for kind in [2, 3] {
        assert_eq!(rig.event(json!([kind, "u1", {}])).to, users(&["u1"]));
        assert_eq!(rig.event(json!([kind, 42, {}])).to, users(&["42"]));
        assert_eq!(rig.event(json!([kind, ["u1", 2], {}])).to, users(&["u1", "2"]));
        assert!(rig.job(json!([kind, [], {}])).events.is_empty(), "nobody is told nothing");
    }
    assert_eq!(rig.event(json!([1, 9, {}])).to, Audience::GroupMembers("9".into()));
    let php = rig.event(json!([2, {"0": "a", "2": "b"}, {}]));
    assert_eq!(php.to, users(&["a", "b"]));
}

#[test]
fn the_table_gives_the_type_and_a_talk_of_a_user_its_author() {
    let rig = rig();
    let event =
        rig.event(json!([1, "9", {"push_type": "talk", "type": "1", "sender_type": 1, "sender": 7, "text": "hi"}]));
    assert_eq!((event.kind, event.author.as_deref()), (Kind::Name("TALK".into()), Some("7")));
    assert_eq!(event.data["text"], "hi");
    let event = rig.event(json!([1, "9", {"push_type": "talk", "type": 2, "sender_type": 2, "sender": 7}]));
    assert_eq!((event.kind, event.author), (Kind::Name("AGENT_SILENT".into()), None));
    let event = rig.event(json!([3, "7", {"push_type": "talk", "type": 3, "sender_type": 1, "sender": 7}]));
    assert_eq!(event.author, None, "only a group is told without its author");
    assert_eq!(rig.event(json!([3, "7", null])).data, serde_json::Map::new());
}

#[test]
fn bytes_that_are_no_text_stay_what_they_are_in_the_queue() {
    let rig = rig();
    let data =
        Rmp::Map(vec![(Rmp::from("type"), Rmp::from(6)), (Rmp::from("raw"), Rmp::Binary(b"\xff\xfeA".to_vec()))]);
    let frame = Rmp::Array(vec![Rmp::from(2), Rmp::Binary(b"u1".to_vec()), data]);
    let job = rig.read(packed(&frame)).unwrap();
    let value = decode(&job.events[0].item.body, Codec::Msgpack).unwrap();
    assert_eq!(value.path("data.raw"), Some(&Value::Str(b"\xff\xfeA".to_vec())));
    let event = stored(&job.events[0]);
    assert_eq!(event.data["raw"], "\u{fffd}\u{fffd}A", "and become text with U+FFFD on their way out");
    assert_eq!(event.to, Audience::Users(vec!["u1".into()]));
}

#[test]
fn a_long_list_becomes_several_events() {
    let rig = rig();
    let ids: Vec<u32> = (0..12_001).collect();
    let job = rig.job(json!([3, ids, {"type": 6}]));
    let sizes: Vec<usize> = job.events.iter().map(|event| stored(event).to.recipients()).collect();
    assert_eq!(sizes, [5_000, 5_000, 2_001]);
    let ids: Vec<u32> = (0..100_000).collect();
    let job = rig.job(json!([3, ids, {"text": "x".repeat(400_000)}]));
    let refused = job.refused.unwrap();
    assert!(refused.starts_with("100000 users and "), "{refused}");
    assert_eq!(job.events.len(), 1);
}

#[test]
fn what_is_no_job_is_garbage_with_its_place() {
    let rig = rig();
    let three = "expected an array of 3 (type, id, data)";
    rig.garbage(json!({"type": 1}), three);
    rig.garbage(json!([1, 2]), three);
    rig.garbage(json!([1, 2, {}, 3]), three);
    rig.garbage(json!(["1", 2, {}]), "expected a number as the type");
    let garbage = rig.read(Bytes::from_static(b"\x93\x01\x02\x80\x80")).unwrap_err();
    assert_eq!((garbage.at, garbage.what.as_str()), (1_004, "msgpack: 1 byte follows the value"));
    let garbage = rig.read(Bytes::from_static(b"\x93\x01\xa5ab")).unwrap_err();
    assert_eq!(garbage.at, 1_002);
}

/// What the distributor will say of a job that nobody can use.
#[track_caller]
fn buried(rig: &Rig, job: &Job) -> String {
    assert!(job.refused.is_some());
    let [checked] = job.events.as_slice() else { panic!("{} items", job.events.len()) };
    let value = decode(&checked.item.body, Codec::Msgpack).unwrap();
    assert_eq!(value.get("id").and_then(Value::text).unwrap(), checked.id.as_str());
    rig.intake
        .look("agent", value)
        .map(|_| ())
        .map_err(|wrong| match wrong {
            Wrong::Invalid(invalid) | Wrong::TooLarge(invalid) => invalid.to_string(),
        })
        .unwrap_err()
}

#[test]
fn a_job_that_cannot_be_used_is_an_item_that_says_why() {
    let rig = rig();
    for (frame, reason) in [
        (
            json!([9, "u", {}]),
            "type: of a frame that the agent could not use (expected type 1, 2 or 3, found 9) is not in the catalogue of push types",
        ),
        (
            json!([1, [1, 2], {}]),
            "type: of a frame that the agent could not use (type 1 names one group, found a list) is not in the catalogue of push types",
        ),
        (json!([1, null, {}]), "to: expected one of user, users, group, topic, tokens, all"),
        (json!([2, "", {}]), "to.user: expected an id of 1 to 256 bytes"),
        (json!([2, [null], {}]), "to.users.0: expected text or a number"),
        (json!([2, "u", "text"]), "data: expected an object, found text"),
        (
            json!([2, "u", {"push_type": "talk", "type": 1}]),
            "data: template TALK.body cannot be filled: data.text is missing",
        ),
    ] {
        let job = rig.job(frame.clone());
        assert_eq!(buried(&rig, &job), reason, "{frame}");
    }
    let deep = (0..80).fold(Rmp::Nil, |inner, _| Rmp::Array(vec![inner]));
    let frame = Rmp::Array(vec![Rmp::from(2), Rmp::from("u"), Rmp::Map(vec![(Rmp::from("x"), deep)])]);
    assert!(buried(&rig, &rig.read(packed(&frame)).unwrap()).contains("nested deeper than 64"));
    let ext = Rmp::Map(vec![(Rmp::from("at"), Rmp::Ext(-1, vec![0; 4]))]);
    let frame = Rmp::Array(vec![Rmp::from(2), Rmp::from("u"), ext]);
    let job = rig.read(packed(&frame)).unwrap();
    assert!(buried(&rig, &job).contains("an extension type"));
    let value = decode(&job.events[0].item.body, Codec::Msgpack).unwrap();
    assert_eq!(value.get("frame"), Some(&Value::Str(packed(&frame).to_vec())), "as it came");
}

#[test]
fn a_frame_as_long_as_may_be_is_on_record_too() {
    let rig = rig();
    // Its own bytes fit the queue, with those of the event around it they do not.
    let text = "x".repeat((1 << 20) - 20);
    let frame = plain(&json!([2, "u", {"t": text}]));
    assert!(frame.len() <= 1 << 20);
    let job = rig.read(frame).unwrap();
    assert!(buried(&rig, &job).contains("the limit is 1048576"));
    assert!(job.events[0].item.body.len() < 1_000);
}
