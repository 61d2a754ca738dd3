//! Hostile pickles: none may panic, run anything, or take long.

use std::{sync::mpsc, thread, time::Duration};

use homing_gateway::emit::{Command, Value, json_text, pickle, python};
use serde_json::Value as Json;

use crate::{bytes, ours, vectors};

/// `data` as a reader of a dict would see it.
fn data(bytes: &[u8]) -> Result<Json, String> {
    let value = pickle::read(bytes, &pickle::Limits::default()).map_err(|rejected| rejected.to_string())?;
    let data = value.get("data").unwrap_or(&Value::None);
    let text = json_text::plain(data, json_text::Rules::Python).map_err(|bad| bad.to_string())?;
    Ok(serde_json::from_str(&text).unwrap())
}

#[test]
fn vectors_of_hostile_pickles_are_answered_as_listed() {
    let file = vectors("HOMING_VECTORS_PICKLE", "pickle_hostile.json");
    let (mut read, mut rejected) = (0, 0);
    for case in file.as_array().unwrap() {
        let (name, expect) = (case["name"].as_str().unwrap(), &case["expect"]);
        let published = bytes(&case["base64"]);
        // In a thread of its own: it must neither take long nor need a deep stack.
        let (tx, rx) = mpsc::channel();
        let input = published.clone();
        let thread = thread::Builder::new().stack_size(256 << 10);
        let thread =
            thread.spawn(move || tx.send((data(&input), python::read(&input, &python::Options::default()))).is_ok());
        let (found, command) = rx.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{name}: no answer"));
        assert!(thread.unwrap().join().unwrap());
        match &found {
            Ok(_) => read += 1,
            Err(why) => {
                rejected += 1;
                println!("vectors: {name}: {why}");
                assert!(why.starts_with("pickle: ") && why.contains("at byte"), "{name}: {why}");
            }
        }
        let allowed = match (expect.get("ok"), expect.get("ok_or_reject")) {
            (Some(ok), _) => found.as_ref() == Ok(ok),
            (None, Some(ok)) => found.is_err() || found.as_ref() == Ok(ok),
            (None, None) => found.is_err() && expect["reject"] == true,
        };
        assert!(allowed, "{name}: {found:?}, but {expect} is listed");
        // The reader of messages agrees, and shared values arrive as often as they stand there.
        if let (Ok(Command::Emit { emit, .. }), Ok(found)) = (&command, &found) {
            let array: Json = serde_json::from_slice(&emit.array).unwrap();
            assert_eq!(array[1], *found, "{name}");
        }
        assert!(found.is_ok() || command.is_err(), "{name}: {command:?}");
    }
    println!("vectors: hostile pickles: {read} read, {rejected} rejected");
    assert!(read + rejected > 0 && (!ours("HOMING_VECTORS_PICKLE") || (read, rejected) == (4, 9)), "{read} {rejected}");
}
