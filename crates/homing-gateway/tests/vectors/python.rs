//! What python-socketio published, version by version.

use std::collections::BTreeMap;

use homing_gateway::emit::{Command, Ignored, kombu, python};
use serde_json::{Value as Json, json};

use crate::{
    bytes,
    model::{Model, named},
    ours,
    packet::{self, Heard},
    vectors,
};

type Sent = BTreeMap<String, Vec<Heard>>;

fn options(own_host: Option<&str>) -> python::Options {
    python::Options { own_host: own_host.map(Into::into), ..python::Options::default() }
}

/// What the file says that each client hears.
fn expected(sends: &Json) -> Sent {
    let packets = |list: &Json| {
        let each = list.as_array().unwrap().iter().map(|packet| match packet.get("text") {
            Some(text) => packet::read(text.as_str().unwrap()),
            None => Heard::Binary(bytes(&packet["bin_b64"])),
        });
        each.collect()
    };
    sends.as_object().unwrap().iter().map(|(client, list)| (client.clone(), packets(list))).collect()
}

/// What each client of the model heard, by the file's keys: 5.x names the namespace, too.
fn found(model: &Model, with_namespace: bool) -> Sent {
    let mut sent = Sent::new();
    for ((namespace, sid), heard) in &model.heard {
        let client = if with_namespace { format!("{sid}{namespace}") } else { sid.clone() };
        sent.entry(client).or_default().extend(heard.iter().cloned());
    }
    sent
}

/// 4.x sends `["ping",null]` where 5.x sends `["ping"]`; the published bytes are the same. We follow 5.x.
fn as_in_5(sent: &mut Sent) {
    for heard in sent.values_mut().flatten() {
        if let Heard::Packet { array, .. } = heard
            && *array == json!(["ping", null])
        {
            *array = json!(["ping"]);
        }
    }
}

/// Where the receiver of the same version raised an error, 5.18 under Python 3 shows what was meant. Python 2 pickles
/// ASCII bytes as it pickles ASCII text, so there one attachment of two is text.
fn meant(case: &str, era: &str) -> Option<Json> {
    let everyone = |clients: &[&str], packets: Json| {
        Some(
            clients
                .iter()
                .map(|client| ((*client).to_owned(), packets.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        )
    };
    match (case, era) {
        ("room_list", _) => everyone(&["abcSID", "sidABC", "s1"], json!([{"text": "2[\"x\",{\"a\":1}]"}])),
        ("bytes_room", "pickle0") => everyone(
            &["abcSID", "sidABC"],
            json!([{"text": "51-[\"bin\",{\"_placeholder\":true,\"num\":0}]"}, {"bin_b64": "AAH+/w=="}]),
        ),
        ("nested_bytes", "pickle0") => everyone(
            &["abcSID", "sidABC"],
            json!([
                {"text": "51-[\"file\",{\"name\":\"图.png\",\"body\":{\"_placeholder\":true,\"num\":0},\"parts\":[\"a\",\"b\"]}]"},
                {"bin_b64": "iVBORw=="}
            ]),
        ),
        _ => None,
    }
}

#[test]
fn vectors_of_python_emitters_reach_whom_the_real_server_reaches() {
    let file = vectors("HOMING_VECTORS_SOCKETIO", "socketio_emits.json");
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for group in file["python"].as_array().unwrap() {
        let (source, era) = (group["source"].as_str().unwrap(), group["encoding"].as_str().unwrap());
        let new = !group["python_socketio"].as_str().unwrap().starts_with('4');
        for case in group["cases"].as_array().unwrap() {
            let name = case["case"].as_str().unwrap();
            for message in case["messages"].as_array().unwrap() {
                let place = format!("{source} {name}");
                let count = counts.entry(era.to_owned()).or_default();
                count.0 += 1;
                let mut published = bytes(&message["base64"]);
                if message["channel"] == "/0.socketio" {
                    published = kombu::open(&published).unwrap_or_else(|bad| panic!("{place}: {bad}"));
                }
                let read = python::read(&published, &options(None)).unwrap_or_else(|bad| panic!("{place}: {bad}"));
                let mut model = Model::new(&file["population"]);
                let applied = model.apply(&read);
                if message.get("real_server_errors").is_some() && meant(name, era).is_none() {
                    println!("vectors: {place}: read; the receiver raised an error, so there is nothing to compare");
                    continue;
                }
                compare(&place, message, (name, era), new, &model);
                // It is another server's callback, and read in full by the one that it is for.
                let callback = name == "return_callback";
                assert_eq!(applied, !callback, "{place}");
                if callback {
                    let Command::Ignored { why: Ignored::OtherHost, .. } = read else { panic!("{place}: {read:?}") };
                    let own = python::read(&published, &options(Some(&"f".repeat(32)))).unwrap();
                    let Command::Answer { sid, id, args, .. } = own else { panic!("{place}: {own:?}") };
                    let args: Json = serde_json::from_str(args.get()).unwrap();
                    assert_eq!((&*sid, &*id, args), ("\"sidABC\"", "1", json!(["answer", {"n": 1}])), "{place}");
                }
                if name.starts_with("callback_server") {
                    let route = read.callback(7).unwrap_or_else(|| panic!("{place}: no way back"));
                    assert_eq!((&*route.room, route.host.len(), route.source), ("\"sidABC\"", 32, 7), "{place}");
                }
                count.1 += model.heard.values().map(Vec::len).sum::<usize>();
            }
        }
    }
    let all = counts.values().fold((0, 0), |all, count| (all.0 + count.0, all.1 + count.1));
    for (era, (messages, packets)) in &counts {
        println!("vectors: {era}: {messages} messages, {packets} packets");
    }
    println!("vectors: python: {} messages, {} packets", all.0, all.1);
    assert!(all.0 > 0 && (!ours("HOMING_VECTORS_SOCKETIO") || all == (114, 228)), "{counts:?}");
}

#[track_caller]
fn compare(place: &str, message: &Json, (name, era): (&str, &str), with_namespace: bool, model: &Model) {
    let failed = message.get("real_server_errors").is_some();
    let meant = failed.then(|| meant(name, era)).flatten();
    let mut sends = expected(meant.as_ref().unwrap_or(&message["real_server_sends"]));
    as_in_5(&mut sends);
    assert_eq!(found(model, with_namespace), sends, "{place}");
    for (field, room) in [("room42_after", "42"), ("r9_after", "r9")] {
        if let Some(after) = message.get(field) {
            assert_eq!(json!(model.members("/", &named(room))), *after, "{place}: {field}");
        }
    }
    let left: Vec<Json> = model.left.iter().map(|(sid, namespace, _)| json!([sid, namespace])).collect();
    let disconnects = message.get("real_server_disconnects").cloned().unwrap_or_else(|| json!([]));
    assert_eq!(Json::from(left), disconnects, "{place}");
}

/// The captures, cut and changed at every place: whatever comes of it, there is an answer.
#[test]
fn vectors_that_were_damaged_are_answered() {
    let file = vectors("HOMING_VECTORS_SOCKETIO", "socketio_emits.json");
    let (mut read, mut refused) = (0_u32, 0_u32);
    let mut answer = |bytes: &[u8]| match python::read(bytes, &options(None)) {
        Ok(_) => read += 1,
        Err(_) => refused += 1,
    };
    for group in file["python"].as_array().unwrap() {
        for case in group["cases"].as_array().unwrap() {
            for message in case["messages"].as_array().unwrap() {
                let published = bytes(&message["base64"]);
                for place in (0..published.len()).step_by(3) {
                    answer(&published[..place]);
                    let mut changed = published.clone();
                    for byte in [changed[place] ^ 1, 0, b'(', b'h', 0xff] {
                        changed[place] = byte;
                        answer(&changed);
                    }
                }
            }
        }
    }
    println!("vectors: damaged captures: {read} read, {refused} refused");
    assert!(read > 0 && refused > read, "{read} {refused}");
}
