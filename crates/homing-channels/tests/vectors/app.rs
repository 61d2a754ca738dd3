//! v3 and TPNS: Basic headers, HMAC over the bytes as they were sent, bodies.

use homing_channels::{
    simulator::{Flavour, SimulatorConfig},
    xinge::{AppMessage, AppPush, basic, hmac_sign},
};
use homing_core::{
    clock::{Clock as _, SystemClock},
    notification::Platform,
};
use serde_json::Value;

use super::{
    Entry, Http, of,
    support::{Running, app_of, clock_at},
};

const FLAVOURS: [&str; 3] = ["xinge_v3", "tpns_hmac", "tpns_basic"];

#[test]
fn vectors_app_sign_and_round_trip() {
    let all = of(&FLAVOURS);
    let (mut signed, mut messages) = (0, 0);
    for entry in &all {
        let proved = if entry.flavour == "tpns_hmac" { check_hmac(entry) } else { check_basic(entry) };
        signed += usize::from(proved);
        messages += usize::from(entry.http.as_ref().is_some_and(|http| check_body(entry, http)));
    }
    println!("{} entries of v3 and TPNS: {signed} signed again, {messages} messages by value", all.len());
    if std::env::var_os("HOMING_VECTORS_XINGE").is_none() {
        assert_eq!((all.len(), signed, messages), (11, 11, 10));
    }
}

/// False when there is no recording to compare with.
fn check_basic(entry: &Entry) -> bool {
    let ours = basic(&entry.access_id(), &entry.secret());
    let header = entry.http.as_ref().and_then(|http| http.header("authorization"));
    let recorded: Vec<&str> = [entry.authorization.as_deref(), header].into_iter().flatten().collect();
    assert!(recorded.iter().all(|recorded| *recorded == ours), "{}: ours is {ours}, recorded {recorded:?}", entry.id);
    if recorded.is_empty() {
        println!("{}: nothing to compare our header with", entry.id);
    }
    !recorded.is_empty()
}

fn timestamp(entry: &Entry) -> Option<i64> {
    let header = || entry.http.as_ref()?.header("timestamp")?.parse().ok();
    entry.timestamp.or_else(header)
}

fn check_hmac(entry: &Entry) -> bool {
    let id = &entry.id;
    let body = entry.http.as_ref().and_then(|http| http.raw_body.as_ref());
    let (Some(seconds), Some(body)) = (timestamp(entry), body) else {
        println!("{id}: no time or no body to sign");
        return false;
    };
    let ours = hmac_sign(seconds, &entry.access_id(), body.as_bytes(), &entry.secret());
    let header = entry.http.as_ref().and_then(|http| http.header("sign"));
    let recorded: Vec<&str> = [entry.sign.as_deref(), header].into_iter().flatten().collect();
    assert!(recorded.iter().all(|recorded| *recorded == ours), "{id}: ours is {ours}, recorded {recorded:?}");
    if let Some(hex) = &entry.sign_hex {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        assert_eq!(ours, STANDARD.encode(hex), "{id}: sign_hex");
    }
    if let Some(source) = &entry.sign_source {
        assert_eq!(source, &format!("{seconds}{}{body}", entry.access_id()), "{id}: sign_source");
    }
    if recorded.is_empty() {
        println!("{id}: nothing to compare our signature with");
    }
    !recorded.is_empty()
}

/// False when the body holds no message.
fn check_body(entry: &Entry, http: &Http) -> bool {
    let id = &entry.id;
    let raw: Option<Value> =
        http.raw_body.as_ref().map(|raw| serde_json::from_str(raw).unwrap_or_else(|e| panic!("{id}: {e}")));
    if let (Some(raw), Some(json)) = (&raw, &http.json) {
        assert_eq!(raw, json, "{id}: raw_body and json");
    }
    let Some(json) = raw.or_else(|| http.json.clone()) else { return false };
    let body: AppPush = serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{id}: {e}"));
    assert_eq!(serde_json::to_value(&body).unwrap(), json, "{id}: the body by value");
    let Some(message) = json.get("message") else { return false };
    let read: AppMessage = serde_json::from_value(message.clone()).unwrap_or_else(|e| panic!("{id}: {e}"));
    assert_eq!(&serde_json::to_value(&read).unwrap(), message, "{id}: the message by value");
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(&serde_json::from_str::<Value>(&written).unwrap(), message, "{id}: the message, read and written");
    assert!(body.message.known().is_some_and(|message| *message == read), "{id}: the message within its body");
    if entry.is_known() {
        read.text().unwrap_or_else(|refusal| panic!("{id}: refused: {refusal}"));
    }
    true
}

/// The simulator takes the recorded bytes as they are.
#[tokio::test]
async fn vectors_app_pass_the_simulator() {
    let mut taken = 0;
    for entry in of(&FLAVOURS) {
        let Some(http) = &entry.http else { continue };
        let Some(body) = &http.raw_body else { continue };
        let flavour = if entry.flavour == "xinge_v3" { Flavour::V3 } else { Flavour::Tpns };
        let ios = http.json.as_ref().is_some_and(|json| json["platform"] == "ios")
            || (flavour == Flavour::Tpns && entry.access_id().starts_with("16"));
        let platform = if ios { Platform::Ios } else { Platform::Android };
        let mut config = SimulatorConfig::new(vec![app_of(flavour, &entry.access_id(), &entry.secret_key, platform)]);
        config.clock = clock_at(timestamp(&entry).unwrap_or_else(|| SystemClock::default().now() / 1000));
        let simulator = Running::start(config).await;
        let own = ["connection", "content-length", "host"];
        let recorded = http.headers.iter().flatten().filter(|(name, _)| !own.contains(&name.to_lowercase().as_str()));
        let mut headers: Vec<(String, String)> =
            recorded.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        headers.push(("Host".to_owned(), http.host.clone()));
        let answer = simulator.post_with(&http.path, &headers, body).await;
        let code = answer["ret_code"].as_i64().unwrap();
        if entry.is_known() {
            assert_eq!(code, 0, "{}: {answer}", entry.id);
        } else if ["/v3/push/app", "/v3/device/tag"].contains(&http.path.as_str()) {
            assert!(![10_104, 10_606, 1_008_003, 10_030_002].contains(&code), "{}: {answer}", entry.id);
        }
        simulator.stop().await;
        taken += 1;
    }
    println!("{taken} requests of v3 and TPNS were taken by the simulator");
    assert!(taken == 11 || std::env::var_os("HOMING_VECTORS_XINGE").is_some(), "{taken}");
}
