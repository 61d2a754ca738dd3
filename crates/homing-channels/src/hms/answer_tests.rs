#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::json;

use super::*;

fn codes() -> Codes {
    Codes::load(include_str!("codes.toml"), "channel.hms.codes", None).unwrap()
}

fn of(status: u16, body: &str, tokens: &[&str]) -> Vec<Read> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, "7".parse().unwrap());
    let reply = Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec() };
    read(&reply, &codes(), tokens, 0, &["the-secret"])
}

#[track_caller]
fn check(status: u16, body: &str, expected: Reading) {
    let all = of(status, body, &["token-aaaa", "token-bbbb"]);
    assert_eq!(all.len(), 2);
    for (reading, detail) in all {
        assert_eq!(reading, expected, "{status} {body}: {detail}");
    }
}

fn coded(code: &str) -> String {
    json!({"code": code, "msg": "words", "requestId": "r1"}).to_string()
}

#[test]
fn every_code_has_its_outcome() {
    let plain = Reading::Plain;
    let limited = || plain(Outcome::limited(Some(7_000)));
    let retry = || plain(Outcome::Retry { after: Some(7_000) });
    check(200, &coded("80000000"), plain(Outcome::Delivered { provider_id: Some("r1".to_owned()) }));
    check(200, &coded("80300007"), plain(Outcome::DEAD));
    for code in ["80200001", "80300002", "80300011", "80600003"] {
        check(200, &coded(code), plain(Outcome::Config));
    }
    for code in ["80200003", "80200005"] {
        check(200, &coded(code), Reading::Renew);
        check(401, &coded(code), Reading::Renew);
    }
    for code in
        ["80100001", "80100002", "80100003", "80100004", "80100013", "80100016", "80100018", "80300008", "80300010"]
    {
        check(200, &coded(code), plain(Outcome::Payload));
        check(400, &coded(code), plain(Outcome::Payload));
    }
    check(200, &coded("81000001"), retry());
    check(200, &coded("80100017"), limited());
    check(200, r#"{"code":80100017}"#, limited());
    check(401, "<html>", plain(Outcome::Config));
    check(404, "", plain(Outcome::Config));
    check(500, "", retry());
    check(502, &coded("80000000"), retry());
    check(503, "", limited());
    check(503, &coded("80300007"), limited());
    check(200, &coded("80999999"), plain(Outcome::Unknown));
    check(400, &coded("80999999"), plain(Outcome::Unknown));
    check(302, "", plain(Outcome::Config));
    check(400, &coded("80000000"), plain(Outcome::Unknown));
}

#[test]
fn what_cannot_be_read_is_ambiguous() {
    for body in ["", "<html>", "{}", "[1]", "{\"code\":", "{\"code\":null}", "{\"code\":[]}"] {
        check(200, body, Reading::Plain(Outcome::Ambiguous));
    }
    for msg in [
        "",
        "no JSON",
        "{}",
        r#"{"illegalTokens":7}"#,
        r#"{"illegal_tokens":[]}"#,
        r#"{"illegalTokens":{"noRight":7}}"#,
    ] {
        let body = json!({"code": "80100000", "msg": msg}).to_string();
        check(200, &body, Reading::Plain(Outcome::Ambiguous));
    }
    check(200, r#"{"code":"80100000","msg":{"illegal_tokens":["token-aaaa"]}}"#, Reading::Plain(Outcome::Ambiguous));
}

#[test]
fn a_partial_success_is_read_token_by_token() {
    let delivered = Reading::Plain(Outcome::Delivered { provider_id: Some("r1".to_owned()) });
    let body = |code: &str, msg: Value| json!({"code": code, "msg": msg.to_string(), "requestId": "r1"}).to_string();
    for name in ["illegal_tokens", "illegalTokens"] {
        let partial = body("80100000", json!({"success": 1, "failure": 1, name: ["b", 7, null]}));
        let readings: Vec<_> = of(200, &partial, &["a", "b"]).into_iter().map(|(reading, _)| reading).collect();
        assert_eq!(readings, [delivered.clone(), Reading::Plain(Outcome::DEAD)]);
    }
    let groups = json!({"illegalTokens": {"noRight": ["a"], "tokenFormatError": ["b"], "noPushTypeRight": ["c"],
        "countryNotSupport": ["d"], "somethingNew": ["e"], "appinfoError": ["f"], "tokenPlatformNotSupport": 9}});
    let tokens = ["a", "b", "c", "d", "e", "f", "g"];
    let plain = Reading::Plain;
    for (code, rest) in [("80100000", delivered), ("80300007", plain(Outcome::DEAD))] {
        let read = of(200, &body(code, groups.clone()), &tokens);
        let readings: Vec<_> = read.iter().map(|(reading, _)| reading.clone()).collect();
        let (dead, config) = (plain(Outcome::DEAD), plain(Outcome::Config));
        let payload = plain(Outcome::Payload);
        let expected = [Reading::Stranger, dead, config, payload, plain(Outcome::Unknown), Reading::Stranger, rest];
        assert_eq!(readings, expected);
        assert_eq!(read[0].1, format!("{code} noRight: the token belongs to an app of another project"));
    }
}

#[test]
fn words_hold_no_secret_and_no_token() {
    let told = json!({"code": "80200001", "msg": "token-aaaa and the-secret are\nno good"}).to_string();
    let read = of(401, &told, &["token-aaaa"]);
    assert_eq!(read[0].1, "80200001 (HTTP 401): .. and .. are no good");
    let endless = json!({"code": "9".repeat(9_000), "msg": "x".repeat(9_000)}).to_string();
    assert!(of(200, &endless, &["a"])[0].1.len() < 1_000);
}
