//! The simulator of v3 and TPNS against bytes that our client would not send. Signed here by hand.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use homing_channels::simulator::Flavour;
use serde_json::Value;

use super::{support::app_of, *};

const V3: &str = "a1b2c3d4e5f60";
const V3_IOS: &str = "i1b2c3d4e5f60";
const TPNS: &str = "1500012345";
const TPNS_IOS: &str = "1600012345";
const PUSH: &str = "/v3/push/app";

async fn started() -> Running {
    let apps = vec![
        app_of(Flavour::V3, V3, ANDROID_KEY, Platform::Android),
        app_of(Flavour::V3, V3_IOS, IOS_KEY, Platform::Ios),
        app_of(Flavour::Tpns, TPNS, ANDROID_KEY, Platform::Android),
        app_of(Flavour::Tpns, TPNS_IOS, IOS_KEY, Platform::Ios),
    ];
    Running::start(SimulatorConfig::new(apps)).await
}

fn header(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn basic(access_id: &str, secret: &str) -> Vec<(String, String)> {
    let encoded = STANDARD.encode(format!("{access_id}:{secret}"));
    vec![header("Authorization", format!("Basic {encoded}")), header("Content-Type", "application/json")]
}

fn key(access_id: &str) -> &'static str {
    if [V3, TPNS].contains(&access_id) { ANDROID_KEY } else { IOS_KEY }
}

fn signed(access_id: &str, secret: &str, seconds: i64, body: &str) -> Vec<(String, String)> {
    let mut digest = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    digest.update(format!("{seconds}{access_id}{body}").as_bytes());
    let hex: String = digest.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        header("aCCessid", access_id),
        header("timestamp", seconds),
        header("SIGN", STANDARD.encode(hex)),
        header("Content-Type", "application/json; charset=utf-8"),
    ]
}

fn good(access_id: &str) -> Value {
    let v3 = [V3, V3_IOS].contains(&access_id);
    let ios = [V3_IOS, TPNS_IOS].contains(&access_id);
    let mut body = json!({
        "audience_type": "token", "message_type": "notify", "token_list": ["03345b8a9d1ba5e5b690358a368480000000"],
        "message": {"title": "t", "content": "c"},
    });
    if v3 {
        body["platform"] = json!(if ios { "ios" } else { "android" });
    }
    if ios {
        body["environment"] = json!("dev");
    }
    body
}

/// Changes fields by path: `message.android.n_id`; `null` takes a field away.
fn changed(access_id: &str, changes: &[(&str, Value)]) -> String {
    let mut body = good(access_id);
    for (path, value) in changes {
        let mut at = &mut body;
        let (parents, name) = path.rsplit_once('.').map_or((vec![], *path), |(p, n)| (p.split('.').collect(), n));
        for parent in parents {
            at = &mut at[parent];
        }
        match (value, at.as_object_mut()) {
            (Value::Null, Some(map)) => drop(map.remove(name)),
            _ => at[name] = value.clone(),
        }
    }
    body.to_string()
}

async fn code(simulator: &Running, access_id: &str, body: &str) -> (i64, Value) {
    let answer = simulator.post_with(PUSH, &basic(access_id, key(access_id)), body).await;
    (answer["ret_code"].as_i64().unwrap(), answer)
}

type Changes = Vec<(&'static str, Value)>;

#[tokio::test]
async fn bodies_are_judged_by_each_flavour_in_its_own_codes() {
    let simulator = started().await;
    let tokens = |count: usize| json!((0..count).map(|number| format!("{number:036x}")).collect::<Vec<_>>());
    let list = |count: usize| ("token_list", tokens(count));
    let page = ("audience_type", json!("token_list"));
    let first = ("push_id", json!("0"));
    let long = json!("x".repeat(4096));
    // The expected codes of v3 and of TPNS.
    let table: Vec<(Changes, i64, i64)> = vec![
        (vec![], 0, 0),
        (vec![("audience_type", json!(null))], 10_102, 1_008_002),
        (vec![("audience_type", json!("nobody"))], 10_103, 1_008_007),
        (vec![("audience_type", json!(1))], 10_103, 1_008_007),
        (vec![("message_type", json!(null))], 0, 1_008_002),
        (vec![("message_type", json!("loud"))], 10_103, 1_008_007),
        (vec![("message", json!(null))], 10_102, 1_008_002),
        (vec![("message", json!("text"))], 10_103, 1_008_007),
        (vec![("message.title", json!(null))], 10_102, 1_008_002),
        (vec![("message.content", json!(7))], 10_103, 1_008_007),
        (vec![("message.content", long)], 10_117, 1_008_007),
        (vec![("message.accept_time", json!("always"))], 10_103, 1_008_007),
        (vec![("message.android", json!([]))], 10_103, 1_008_007),
        (vec![("message.android", json!({"n_id": "1"}))], 10_103, 1_008_007),
        (vec![("message.android", json!({"n_id": 2_147_483_648_i64}))], 10_103, 1_008_007),
        (vec![("message.android", json!({"action": {"action_type": 3}}))], 10_103, 1_008_007),
        (vec![("message.android", json!({"action": {"action_type": 2, "browser": {"url": "http://a"}}}))], 0, 0),
        (vec![("message.android", json!({"custom_content": {"a": "b"}}))], 0, 1_008_007),
        (vec![("message.android", json!({"custom_content": "{\"a\":\"b\"}"}))], 10_103, 0),
        (vec![("message.android", json!({"custom_content": {"a": 1}}))], 10_103, 1_008_007),
        (vec![("message.android", json!({"custom_content": "no json"}))], 10_103, 1_008_007),
        (vec![("token_list", json!(null))], 10_102, 1_008_002),
        (vec![("token_list", json!([]))], 10_102, 1_008_002),
        (vec![("token_list", json!("t"))], 10_103, 1_008_007),
        (vec![("token_list", json!(["x".repeat(65)]))], 10_103, 1_008_006),
        (vec![("token_list", json!(["x".repeat(40)]))], 0, 1_008_006),
        (vec![page.clone(), list(1000), first.clone()], 0, 0),
        (vec![page.clone(), list(1001), first.clone()], 10_103, 1_008_007),
        (vec![page.clone(), list(0), first.clone()], 10_102, 1_008_002),
        (vec![page.clone(), list(2)], 10_102, 0),
        (vec![page.clone(), list(2), ("push_id", json!(0))], 10_103, 1_008_007),
        (vec![page.clone(), list(2), ("push_id", json!("77"))], 10_103, 1_008_015),
        (vec![page.clone(), list(2), ("push_id", json!("x"))], 10_103, 1_008_015),
        (vec![("expire_time", json!(259_200))], 0, 0),
        (vec![("expire_time", json!(259_201))], 10_103, 1_008_007),
        (vec![("expire_time", json!(-1))], 10_103, 1_008_007),
        (vec![("expire_time", json!("60"))], 10_103, 1_008_007),
        (vec![("multi_pkg", json!(1))], 10_103, 1_008_007),
        (vec![("environment", json!("test"))], 10_103, 1_008_007),
        (vec![("collapse_id", json!(5))], 10_103, 1_008_007),
        (vec![("send_time", json!("tomorrow"))], 10_103, 1_008_016),
        (vec![("audience_type", json!("account")), ("account_list", json!([]))], 10_115, 1_008_002),
        (vec![("audience_type", json!("account")), ("account_list", json!(["u1"]))], 0, 0),
        (vec![("audience_type", json!("all"))], 0, 0),
        (vec![("audience_type", json!("all")), ("send_time", json!("2001-01-01 00:00:00"))], 0, 10_010_012),
        (vec![("audience_type", json!("tag")), ("tag_list", json!({"tags": ["a"], "op": "AND"}))], 0, 0),
        (vec![("audience_type", json!("tag")), ("tag_list", json!({"tags": ["a"]}))], 10_103, 1_008_007),
        (vec![("audience_type", json!("tag")), ("tag_rules", json!([{}]))], 10_102, 0),
    ];
    for (changes, v3, tpns) in table {
        for (access_id, expected) in [(V3, v3), (TPNS, tpns)] {
            let (code, answer) = code(&simulator, access_id, &changed(access_id, &changes)).await;
            assert_eq!(code, expected, "{access_id} {changes:?}: {answer}");
        }
    }
    for (access_id, changes, expected) in [
        (V3, vec![("platform", json!(null))], 10_102),
        (V3, vec![("platform", json!("ios"))], 10_103),
        (V3, vec![("platform", json!("all"))], 10_106),
        (V3_IOS, vec![], 0),
        (V3_IOS, vec![("environment", json!(null))], 0),
        (V3_IOS, vec![("message.ios", json!({"custom": {"a": 1}, "aps": {"badge_type": -2}}))], 0),
        (V3_IOS, vec![("message.ios", json!({"custom": "{}"}))], 0),
        (V3_IOS, vec![("message.ios", json!({"custom": 1}))], 10_103),
        (TPNS_IOS, vec![], 0),
        (TPNS_IOS, vec![("environment", json!(null))], 1_008_002),
        (TPNS_IOS, vec![("message.ios", json!({"custom_content": "{\"a\":1}"}))], 0),
        (TPNS_IOS, vec![("message.ios", json!({"custom_content": {"a": 1}}))], 1_008_007),
        (TPNS_IOS, vec![("message.ios", json!({"aps": {"badge_type": -3}}))], 1_008_007),
        (TPNS_IOS, vec![("message.ios", json!({"aps": "x"}))], 1_008_007),
    ] {
        let (code, answer) = code(&simulator, access_id, &changed(access_id, &changes)).await;
        assert_eq!(code, expected, "{access_id} {changes:?}: {answer}");
    }
    for body in ["", "{", "[]", "\"x\""] {
        assert_eq!(code(&simulator, V3, body).await.0, 10_107, "{body}");
        assert_eq!(code(&simulator, TPNS, body).await.0, 1_008_001, "{body}");
    }
}

#[tokio::test]
async fn callers_prove_who_they_are() {
    let simulator = started().await;
    let (v3, tpns) = (good(V3).to_string(), good(TPNS).to_string());
    let now = SystemClock::default().now() / 1000;
    let json_type = || header("Content-Type", "application/json");
    let without = |name: &str| {
        let mut headers = signed(TPNS, ANDROID_KEY, now, &tpns);
        headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        headers
    };
    let text = |headers: &[(&str, &str)]| -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| header(name, value)).chain([json_type()]).collect()
    };
    for (headers, body, expected) in [
        (basic(V3, ANDROID_KEY), &v3, 0),
        (basic(V3, IOS_KEY), &v3, 10_104),
        (basic("unknown", IOS_KEY), &v3, 10_606),
        (text(&[("Authorization", "Basic ???")]), &v3, 10_104),
        (text(&[("Authorization", "Bearer abc")]), &v3, 10_104),
        (text(&[("Authorization", "Basic")]), &v3, 10_104),
        (basic(TPNS, ANDROID_KEY), &tpns, 0),
        (basic(TPNS, IOS_KEY), &tpns, 10_030_002),
        (basic("1500099999", IOS_KEY), &tpns, 10_030_002),
        (signed(TPNS, ANDROID_KEY, now, &tpns), &tpns, 0),
        (signed(TPNS, ANDROID_KEY, now - 590, &tpns), &tpns, 0),
        (signed(TPNS, ANDROID_KEY, now - 700, &tpns), &tpns, 1_008_003),
        (signed(TPNS, ANDROID_KEY, now + 700, &tpns), &tpns, 1_008_003),
        (signed(TPNS, IOS_KEY, now, &tpns), &tpns, 1_008_003),
        (signed(TPNS, ANDROID_KEY, now, &format!("{tpns} ")), &tpns, 1_008_003),
        (signed("1500099999", ANDROID_KEY, now, &tpns), &tpns, 1_008_003),
        (signed(V3, ANDROID_KEY, now, &v3), &v3, 1_008_003),
        (without("sign"), &tpns, 1_008_003),
        (without("timestamp"), &tpns, 1_008_003),
        (without("accessid"), &tpns, 1_008_003),
        (without("content-type"), &tpns, 1_008_007),
        (text(&[]), &v3, 1_008_003),
    ] {
        let answer = simulator.post_with(PUSH, &headers, body).await;
        assert_eq!(answer["ret_code"], json!(expected), "{headers:?}: {answer}");
    }
    let get =
        format!("GET {PUSH} HTTP/1.1\r\nAuthorization: {}\r\nConnection: close\r\n\r\n", basic(V3, ANDROID_KEY)[0].1);
    let answer = String::from_utf8(simulator.raw(get.as_bytes()).await).unwrap();
    assert!(answer.contains("\"ret_code\":10103"), "{answer}");
    let unknown = simulator.post_with("/v3/statistics/get", &basic(V3, ANDROID_KEY), "{}").await;
    assert!(unknown["err_msg"].as_str().unwrap().contains("/v3/statistics/get"), "{unknown}");
}

#[tokio::test]
async fn v3_goes_on_with_a_task_and_its_text() {
    let simulator = started().await;
    let list = |push_id: &str, title: &str, token: &str, more: (&'static str, Value)| {
        let changes = [
            ("audience_type", json!("token_list")),
            ("push_id", json!(push_id)),
            ("token_list", json!([token])),
            ("message.title", json!(title)),
            more,
        ];
        changed(V3, &changes)
    };
    let (code0, first) = code(&simulator, V3, &list("0", "stored", "t1", ("expire_time", json!(600)))).await;
    assert_eq!(code0, 0);
    let task = first["push_id"].as_str().unwrap().to_owned();
    let next = list(&task, "another", "t2", ("expire_time", json!(600)));
    assert_eq!(code(&simulator, V3, &next).await.1["push_id"], json!(task));
    let phone = simulator.get("/_sim/phones/t2").await;
    assert_eq!(phone["deliveries"][0]["title"], json!("stored"), "the text is the task's");
    simulator.faults(json!({"accept_skew_s": 601})).await;
    assert_eq!(code(&simulator, V3, &next).await.0, 10_205);
    assert_eq!(simulator.get("/_sim/stats").await["most_pages_of_a_task"], json!(1));
}

#[tokio::test]
async fn a_batch_of_tpns_tells_what_failed() {
    let simulator = started().await;
    simulator.faults(json!({"dead_tokens": ["dead"], "token_codes": {"odd": 4711}})).await;
    let batch = |tokens: Value, ignore: i64| {
        let changes =
            [("audience_type", json!("token_list")), ("token_list", tokens), ("ignore_invalid_token", json!(ignore))];
        changed(TPNS, &changes)
    };
    for (tokens, ignore, code0, result) in [
        (json!(["a", "b"]), 0, 0, "[0,0]"),
        (json!(["a", "dead", "odd"]), 0, 1_008_026, "[0,1008006,4711]"),
        (json!(["a", "dead"]), 1, 0, "[0,1008006]"),
        (json!(["dead", "dead"]), 0, 1_008_027, "[1008006,1008006]"),
        (json!(["dead"]), 1, 1_008_027, "[1008006]"),
    ] {
        let (code, answer) = code(&simulator, TPNS, &batch(tokens, ignore)).await;
        assert_eq!((code, &answer["result"]), (code0, &json!(result)), "{answer}");
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["unreached"]), (&json!(4), &json!(6)));
}

#[tokio::test]
async fn tags_and_accounts_are_checked_and_reach_nobody() {
    let simulator = started().await;
    for (access_id, body, expected) in [
        (V3, json!({"operator_type": 1, "platform": "android", "token_list": ["t"], "tag_list": ["a"]}), 0),
        (V3, json!({"operator_type": 9, "platform": "android", "tag_token_list": [["a", "t"]]}), 0),
        (
            V3,
            json!({"operator_type": 9, "platform": "android", "tag_token_list": [{"tag": "a", "token": "t"}]}),
            10_103,
        ),
        (V3, json!({"operator_type": 11, "platform": "android"}), 10_103),
        (V3, json!({"platform": "android"}), 10_102),
        (V3, json!({"operator_type": 1, "platform": "android", "tag_list": ["x".repeat(51)]}), 10_103),
        (V3, json!({"operator_type": 1, "platform": "android", "token_list": vec!["t"; 21]}), 10_103),
        (TPNS, json!({"operator_type": 9, "tag_token_list": [{"tag": "a", "token": "t"}]}), 0),
        (TPNS, json!({"operator_type": 9, "tag_token_list": [["a", "t"]]}), 1_008_007),
    ] {
        let headers = basic(access_id, key(access_id));
        let answer = simulator.post_with("/v3/device/tag", &headers, &body.to_string()).await;
        assert_eq!(answer["ret_code"], json!(expected), "{body}: {answer}");
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["nobody"]), (&json!(0), &json!(3)));
}
