//! The recordings of the official SDKs (and two documentation samples) against our signers, encoders, message types and
//! simulator. `HOMING_VECTORS_XINGE` names another file of the same shape. Of entries that our fixture does not hold, the
//! signature and the message are checked; how strict the simulator is with them is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

#[path = "vectors/app.rs"]
mod app_flavours;
mod support;
#[path = "vectors/v2.rs"]
mod v2;

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/xinge.json");

#[derive(Deserialize)]
struct Entry {
    id: String,
    flavour: String,
    #[serde(default)]
    access_id: Value,
    #[serde(default)]
    secret_key: String,
    timestamp: Option<i64>,
    http: Option<Http>,
    sign: Option<String>,
    sign_source: Option<String>,
    sign_hex: Option<String>,
    authorization: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
    host: String,
    path: String,
    headers: Option<Map<String, Value>>,
    body_params: Option<Map<String, Value>>,
    raw_form: Option<String>,
    param_order: Option<Vec<String>>,
    message_json: Option<Value>,
    raw_body: Option<String>,
    json: Option<Value>,
}

impl Entry {
    /// The id as text; recordings have numbers and texts.
    fn access_id(&self) -> String {
        match &self.access_id {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => panic!("{}: access_id {other}", self.id),
        }
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.secret_key.as_str())
    }

    fn is_known(&self) -> bool {
        fixture().contains(&self.id)
    }
}

impl Http {
    fn param(&self, name: &str) -> Option<&str> {
        self.body_params.as_ref()?.get(name)?.as_str()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.as_ref()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str())
    }
}

fn read(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The ids of our fixture.
fn fixture() -> BTreeSet<String> {
    read(FIXTURE).iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

/// All entries of the file.
fn entries() -> Vec<Entry> {
    let path = std::env::var("HOMING_VECTORS_XINGE").unwrap_or_else(|_| FIXTURE.to_owned());
    let each = |entry: Value| {
        let id = entry["id"].clone();
        serde_json::from_value(entry).unwrap_or_else(|error| panic!("{path}: {id}: {error}"))
    };
    let all: Vec<Entry> = read(&path).into_iter().map(each).collect();
    assert!(!all.is_empty(), "{path} holds no entry");
    all
}

fn of(flavours: &[&str]) -> Vec<Entry> {
    entries().into_iter().filter(|entry| flavours.contains(&entry.flavour.as_str())).collect()
}

#[test]
fn vectors_are_all_of_a_flavour_that_is_checked() {
    let all = entries();
    for entry in &all {
        let known = ["xinge_v2", "xinge_v3", "tpns_hmac", "tpns_basic"];
        assert!(known.contains(&entry.flavour.as_str()), "{}: flavour {}", entry.id, entry.flavour);
    }
    println!("{} entries", all.len());
    if std::env::var_os("HOMING_VECTORS_XINGE").is_none() {
        let count = |flavour| all.iter().filter(|entry| entry.flavour == flavour).count();
        assert_eq!(["xinge_v2", "xinge_v3", "tpns_hmac", "tpns_basic"].map(count), [20, 6, 4, 1]);
    }
}
