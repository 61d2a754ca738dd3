//! What the emitters and adapters of Node published.

use homing_gateway::emit::{Command, Ignored, node};
use serde_json::{Value as Json, json};

use crate::{
    bytes,
    model::{Model, named},
    ours,
    packet::{self, Heard},
    vectors,
};

fn options() -> node::Options {
    node::Options { namespaces: Vec::new(), text_rooms: false, bytes: 1 << 20 }
}

/// Everything that a case published, read.
fn read(case: &Json) -> Vec<Command> {
    let published = case["messages"].as_array().unwrap().iter().map(|message| {
        let bytes = bytes(&message["base64"]);
        let mut channel = message["channel"].as_str().unwrap().split('#');
        match channel.next().unwrap().ends_with("-request") {
            true => node::request(&bytes, &channel.next().unwrap().into(), &options()),
            false => node::broadcast(&bytes, &options()),
        }
    });
    let entries = case.get("entries").and_then(Json::as_array).into_iter().flatten().map(|entry| {
        let text = |name: &str| entry["message"][name].as_str().unwrap().to_owned();
        let fields = node::Entry { namespace: text("nsp"), kind: text("type"), data: Some(text("data").into_bytes()) };
        node::entry(&fields, &options())
    });
    published.chain(entries).map(|read| read.unwrap_or_else(|bad| panic!("{}: {bad}", case["call"]))).collect()
}

fn event(array: Json) -> Vec<Heard> {
    vec![packet::read(&format!("2{array}"))]
}

#[test]
fn vectors_of_node_emitters_reach_their_rooms() {
    let file = vectors("HOMING_VECTORS_SOCKETIO", "socketio_emits.json");
    let notify = json!({"user_id": 7, "user_name": "张三", "user_photo": "http://img.example/a.png", "timestamp": 1_700_000_000});
    let (room, everyone) = (&["abcSID", "sidABC"][..], &["abcSID", "introom", "s1", "s2", "sidABC"][..]);
    let mut messages = 0;
    for case in file["node"].as_array().unwrap() {
        let (name, call) = (case["case"].as_str().unwrap(), case["call"].as_str().unwrap());
        let mut model = Model::new(&file["population"]);
        let commands = read(case);
        messages += commands.len();
        assert!(!commands.is_empty(), "{call}: nothing was published");
        let applied = commands.iter().filter(|command| model.apply(command)).count();
        let (clients, packets) = match name {
            "dict_cjk_room" => (room, event(json!(["following notify", notify]))),
            "bytes_room" => (
                room,
                vec![
                    packet::read(r#"51-["bin",{"_placeholder":true,"num":0}]"#),
                    Heard::Binary(b"\0\x01\xfe\xff".to_vec()),
                ],
            ),
            "except" if call.starts_with("to('42')") => (room, event(json!(["x", "y"]))),
            "except" => (everyone, event(json!(["x", "y"]))),
            "multi_args" => (room, event(json!(["multi", "a", 2, {"c": "三"}]))),
            "nums" => (
                everyone,
                event(
                    json!(["num", {"big": 9_007_199_254_740_992_u64, "neg": -1, "f": 0.1, "e": "😀", "n": null, "b": true, "dt": "2023-11-14T22:13:20.000Z"}]),
                ),
            ),
            "ack_broadcast" => (room, event(json!(["q", 1]))),
            "socketsJoin" => {
                assert_eq!(model.members("/", &named("r9")), room, "{call}");
                (&[][..], vec![])
            }
            "disconnectSockets" => {
                let left: Vec<_> = model.left.iter().map(|(sid, _, close)| (sid.as_str(), *close)).collect();
                assert_eq!(left, [("abcSID", true), ("sidABC", true)], "{call}");
                (&[][..], vec![])
            }
            "serverSideEmit" => {
                assert!(
                    matches!(&commands[..], [Command::Ignored { why: Ignored::Cluster, .. }]),
                    "{call}: {commands:?}"
                );
                assert_eq!(applied, 0);
                (&[][..], vec![])
            }
            other if ours("HOMING_VECTORS_SOCKETIO") => panic!("{other}: a case that nobody thought of"),
            other => {
                println!("vectors: {other}: read; nothing is known to compare it with");
                continue;
            }
        };
        let heard: Vec<&str> = model.heard.keys().map(|(_, sid)| sid.as_str()).collect();
        assert_eq!(heard, clients, "{call}");
        for ((_, sid), heard) in &model.heard {
            assert_eq!(*heard, packets, "{call}: {sid}");
        }
    }
    println!("vectors: node: {messages} messages");
    assert!(messages > 0 && (!ours("HOMING_VECTORS_SOCKETIO") || messages == 13), "{messages}");
}
