//! Tokens against the examples of the RFCs and against OpenSSL's signatures (`fixtures/tokens.json`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::auth::{key::read_set, settings::KeySettings};

/// 2026-11-21.
const NOW: Millis = 1_795_219_200_000;
const SECRET: &str = "a secret of more than thirty-two bytes";

const HS256: &str = concat!(
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.",
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
);
const RS256: &str = concat!(
    "eyJhbGciOiJSUzI1NiJ9.",
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t",
    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j",
    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ",
    "Ge77Rw"
);
const ES256: &str = concat!(
    "eyJhbGciOiJFUzI1NiJ9.",
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
);

/// The keys of RFC 7515, appendix A.2 and A.3.
fn rfc_keys() -> Value {
    let n = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC",
        "gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6",
        "65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW",
        "yuXpoQ"
    );
    json!({"keys": [
        {"kty": "RSA", "n": n, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
         "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    ]})
}

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap()
}

fn key(settings: Value) -> Result<Key, String> {
    Key::configured(&serde_json::from_value::<KeySettings>(settings).unwrap())
}

fn secret() -> Key {
    key(json!({"algorithm": "HS256", "secret": SECRET})).unwrap()
}

fn sign(head: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The verdict of one key on a token.
fn judge(token: &str, keys: &[Key], settings: &Settings) -> Result<Identity, Reason> {
    let token = Token::read(token)?;
    if !token.is_signed_by(keys.iter()) {
        return Err("signature".into());
    }
    token.identity(settings, NOW)
}

#[track_caller]
fn claims(settings: &Settings, claims: Value, expected: Result<&str, &str>) {
    let token = sign(r#"{"alg":"HS256"}"#, &claims.to_string());
    let identity = judge(&token, &[secret()], settings);
    let user = identity.as_ref().map(|identity| identity.user.as_deref().unwrap()).map_err(|reason| &**reason);
    assert_eq!(user, expected, "{claims}");
}

#[test]
fn the_examples_of_rfc_7515_are_verified() {
    let shared = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let shared = key(json!({"algorithm": "HS256", "secret": shared, "base64": true})).unwrap();
    let (public, left) = read_set(rfc_keys().to_string().as_bytes()).unwrap();
    assert_eq!((public.len(), left.len()), (2, 0));
    for (token, keys) in [(HS256, std::slice::from_ref(&shared)), (RS256, &public), (ES256, &public)] {
        let read = Token::read(token).unwrap();
        assert!(read.is_signed_by(keys.iter()), "{token}");
        assert_eq!(judge(token, keys, &Settings::default()), Err("the token has ended".into()));
        let old = Settings { user_claim: "iss".into(), ..Settings::default() };
        assert_eq!(read.identity(&old, 1_300_819_379_999).unwrap().user.as_deref(), Some("joe"));
        assert_eq!(read.identity(&old, 1_300_819_380_000), Err("the token has ended".into()));
        let mut other = token.to_owned();
        let last = if other.pop() == Some('k') { 'g' } else { 'A' };
        other.push(last);
        assert!(Token::read(&other).map_or(true, |read| !read.is_signed_by(keys.iter())), "{other}");
    }
    assert!(!Token::read(HS256).unwrap().is_signed_by(public.iter()));
    assert!(!Token::read(RS256).unwrap().is_signed_by(std::iter::once(&shared)));
}

#[test]
fn signatures_of_openssl_are_verified() {
    let fixtures = fixtures();
    let mut seen = 0;
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        let (pem, token) = (&fixtures[algorithm]["public_key"], fixtures[algorithm]["token"].as_str().unwrap());
        let own = key(json!({"algorithm": algorithm, "public_key": pem})).unwrap();
        let identity = judge(token, &[own], &Settings::default()).unwrap();
        assert_eq!(identity.user.as_deref(), Some("42"), "{algorithm}");
        assert_eq!(identity.expires_at, Some(4_102_444_800_000));
        // The same key, configured for another algorithm of the same family, is another key.
        let other = match algorithm {
            "RS256" => "PS256",
            "PS256" => "RS256",
            _ => continue,
        };
        let other = key(json!({"algorithm": other, "public_key": pem})).unwrap();
        assert_eq!(judge(token, &[other], &Settings::default()), Err("signature".into()));
        seen += 1;
    }
    assert_eq!(seen, 2);
    let pkcs1 = key(json!({"algorithm": "RS256", "public_key": fixtures["pkcs1"]["public_key"]})).unwrap();
    assert!(judge(fixtures["RS256"]["token"].as_str().unwrap(), &[pkcs1], &Settings::default()).is_ok());
    // A key set may write zeros in front; without `alg` the key is for all algorithms of RSA.
    let (set, _) = read_set(json!({"keys": [fixtures["jwk"]]}).to_string().as_bytes()).unwrap();
    for algorithm in ["RS256", "PS512"] {
        assert!(judge(fixtures[algorithm]["token"].as_str().unwrap(), &set, &Settings::default()).is_ok());
    }
}

#[test]
fn no_algorithm_and_confused_ones_are_refused() {
    let message =
        |head: &str| format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode("{\"user_id\":1}"));
    for head in [r#"{"alg":"none"}"#, r#"{"alg":"None"}"#, r#"{"alg":"hs256"}"#, r#"{"alg":""}"#, r#"{"alg":"ES512"}"#]
    {
        let error = Token::read(&format!("{}.", message(head))).err().unwrap();
        assert_eq!(error, "the token's algorithm is not taken", "{head}");
    }
    // The public key as a secret: the classic attack.
    let pem = fixtures()["RS256"]["public_key"].as_str().unwrap().to_owned();
    let forged = message(r#"{"alg":"HS256"}"#);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes()), forged.as_bytes());
    let forged = format!("{forged}.{}", URL_SAFE_NO_PAD.encode(tag));
    let public = key(json!({"algorithm": "RS256", "public_key": pem})).unwrap();
    assert_eq!(judge(&forged, &[public], &Settings::default()), Err("signature".into()));
    // Any secret signs for its own hash alone.
    let other = key(json!({"algorithm": "HS512", "secret": SECRET})).unwrap();
    let token = sign(r#"{"alg":"HS256"}"#, r#"{"user_id":1,"exp":4102444800}"#);
    assert_eq!(judge(&token, &[other], &Settings::default()), Err("signature".into()));
    assert!(judge(&token, &[secret()], &Settings::default()).is_ok());
    for crit in ["[\"exp\"]", "[]", "\"b64\"", "[\"b64\"]"] {
        let token = sign(&format!("{{\"alg\":\"HS256\",\"b64\":false,\"crit\":{crit}}}"), "{}");
        assert_eq!(Token::read(&token).err().unwrap(), "the token asks for an extension that is not known");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let long = "x".repeat(LONGEST + 1);
    let padded = sign(r#"{"alg":"HS256"}"#, "{}") + "=";
    for text in ["", ".", "..", "a.b", "a.b.c.d", "\u{5c0f}.a.b", &padded, &sign("[]", "{}"), &sign("{", "{}")] {
        assert_eq!(Token::read(text).err().unwrap(), "this is no token", "{text}");
    }
    assert_eq!(Token::read(&long).err().unwrap(), "the token is too long");
    for body in ["", "[]", "1", "{", "\u{0}"] {
        let token = sign(r#"{"alg":"HS256"}"#, body);
        assert_eq!(judge(&token, &[secret()], &Settings::default()), Err("the token holds no claims".into()));
    }
}

#[test]
fn the_kid_chooses_the_key() {
    let named = |id: &str| key(json!({"id": id, "algorithm": "HS256", "secret": format!("{SECRET}{id}")})).unwrap();
    let right = || key(json!({"id": "b", "algorithm": "HS256", "secret": SECRET})).unwrap();
    let token = sign(r#"{"alg":"HS256","kid":"b"}"#, r#"{"user_id":"u","exp":4102444800}"#);
    assert!(judge(&token, &[named("a"), right()], &Settings::default()).is_ok());
    assert_eq!(judge(&token, &[named("a"), named("b")], &Settings::default()), Err("signature".into()));
    let wrongly = key(json!({"id": "c", "algorithm": "HS256", "secret": SECRET})).unwrap();
    assert_eq!(judge(&token, &[wrongly], &Settings::default()), Err("signature".into()));
    // A key without an id, and a token without a kid, fit all.
    assert!(judge(&token, &[named("a"), secret()], &Settings::default()).is_ok());
    let token = sign(r#"{"alg":"HS256"}"#, r#"{"user_id":"u","exp":4102444800}"#);
    assert!(judge(&token, &[named("a"), right()], &Settings::default()).is_ok());
}

#[test]
fn times_are_kept() {
    let settings = Settings::default();
    let now = NOW / 1_000;
    claims(&settings, json!({"user_id": "u"}), Err("the token does not say when it ends (exp)"));
    claims(&settings, json!({"user_id": "u", "exp": null}), Err("the token does not say when it ends (exp)"));
    claims(&settings, json!({"user_id": "u", "exp": now}), Err("the token has ended"));
    claims(&settings, json!({"user_id": "u", "exp": now + 1}), Ok("u"));
    claims(&settings, json!({"user_id": "u", "exp": now as f64 + 0.5}), Ok("u"));
    claims(&settings, json!({"user_id": "u", "exp": 1e300}), Ok("u"));
    claims(&settings, json!({"user_id": "u", "exp": -5}), Err("the token has ended"));
    for wrong in [json!("4102444800"), json!(true), json!([4_102_444_800_u64]), json!({})] {
        claims(&settings, json!({"user_id": "u", "exp": wrong}), Err("the token's end (exp) is no time"));
    }
    claims(&settings, json!({"user_id": "u", "exp": now + 9, "nbf": now + 1}), Err("the token does not hold yet"));
    claims(&settings, json!({"user_id": "u", "exp": now + 9, "nbf": now}), Ok("u"));
    let lax = Settings { require_exp: false, leeway: std::time::Duration::from_secs(10), ..settings };
    claims(&lax, json!({"user_id": "u"}), Ok("u"));
    claims(&lax, json!({"user_id": "u", "exp": now - 9, "nbf": now + 10}), Ok("u"));
    claims(&lax, json!({"user_id": "u", "exp": now - 10}), Err("the token has ended"));
}

#[test]
fn audience_and_issuer_are_kept() {
    let open = Settings { require_exp: false, ..Settings::default() };
    let elsewhere = Err("the token is for somebody else (aud)");
    claims(&open, json!({"user_id": "u", "aud": "shop"}), elsewhere);
    let ours = Settings { audience: vec!["push".into(), "chat".into()], issuer: vec!["login".into()], ..open };
    let mut token = json!({"user_id": "u", "aud": ["shop", "chat"], "iss": "login"});
    claims(&ours, token.clone(), Ok("u"));
    token["aud"] = json!("push");
    claims(&ours, token.clone(), Ok("u"));
    token["aud"] = json!(["shop"]);
    claims(&ours, token.clone(), elsewhere);
    token["aud"] = json!({"push": 1});
    claims(&ours, token.clone(), Err("the token's audience (aud) is no text"));
    token["aud"] = json!("push");
    for wrong in [json!("other"), json!(["login", "other"]), Value::Null] {
        token["iss"] = wrong;
        claims(&ours, token.clone(), Err("the token was made by somebody else (iss)"));
    }
    claims(&ours, json!({"user_id": "u", "iss": "login"}), Err("the token does not say whom it is for (aud)"));
}

#[test]
fn a_user_is_text_or_a_whole_number() {
    let settings = Settings { require_exp: false, ..Settings::default() };
    claims(&settings, json!({"user_id": 42}), Ok("42"));
    claims(&settings, json!({"user_id": "小明"}), Ok("小明"));
    claims(&settings, json!({"user_id": "x".repeat(256)}), Ok(&"x".repeat(256)));
    let wrong = "the token's user: expected text or a whole number";
    for value in [json!(4.5), json!(true), json!([1]), json!({"id": 1})] {
        claims(&settings, json!({"user_id": value}), Err(wrong));
    }
    claims(&settings, json!({"user_id": ""}), Err("the token's user: must not be empty"));
    claims(&settings, json!({"user_id": "x".repeat(257)}), Err("the token's user: must have at most 256 bytes"));
    claims(&settings, json!({"user_id": "a\nb"}), Err("the token's user: must hold no control characters"));
    for none in [json!({}), json!({"user_id": null}), json!({"sub": "u"})] {
        claims(&settings, none, Err("the token names no user"));
    }
    // Beyond 64 bits they stay exact.
    let token = sign(r#"{"alg":"HS256"}"#, r#"{"user_id":123456789012345678901234567890}"#);
    let identity = judge(&token, &[secret()], &settings).unwrap();
    assert_eq!(identity.user.as_deref(), Some("123456789012345678901234567890"));
    let deep = Settings { user_claim: "data.user.id".into(), ..settings.clone() };
    claims(&deep, json!({"data": {"user": {"id": 7}}}), Ok("7"));
    claims(&deep, json!({"data.user": {"id": 8}}), Ok("8"));
    claims(&deep, json!({"data": {"user": 7}}), Err("the token names no user"));
    let url = Settings { user_claim: "https://a.example/user".into(), ..settings };
    claims(&url, json!({"https://a.example/user": "u"}), Ok("u"));
}

#[test]
fn groups_are_listed() {
    let settings = Settings { require_exp: false, groups_claim: Some("groups".into()), ..Settings::default() };
    let groups = |value: Value| {
        let token = sign(r#"{"alg":"HS256"}"#, &json!({"user_id": 1, "groups": value}).to_string());
        judge(&token, &[secret()], &settings).map(|identity| identity.groups.join(","))
    };
    assert_eq!(groups(json!(["a", 7, "a"])).unwrap(), "a,7");
    assert_eq!(groups(json!("a")).unwrap(), "a");
    assert_eq!(groups(Value::Null).unwrap(), "");
    assert_eq!(groups(json!([true])).unwrap_err(), "the token's groups: expected texts or whole numbers");
    assert_eq!(groups(json!([""])).unwrap_err(), "the token's groups: must not be empty");
    let many: Vec<usize> = (0..101).collect();
    assert_eq!(groups(json!(many)).unwrap_err(), "the token's groups: there are more than 100");
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let fixtures = fixtures();
    #[track_caller]
    fn refused(settings: Value, expected: &str) {
        let error = key(settings).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
    refused(json!({"algorithm": "RS256", "public_key": fixtures["small"]["public_key"]}), "RSA keys need 2048 bits");
    refused(json!({"algorithm": "ES256", "public_key": fixtures["RS256"]["public_key"]}), "no public key for ES256");
    refused(
        json!({"algorithm": "ES256", "public_key": fixtures["ES384"]["public_key"]}),
        "has 65 bytes, this one has 97",
    );
    refused(json!({"algorithm": "EdDSA", "public_key": "no PEM"}), "public_key: holds no public key for EdDSA in PEM");
    refused(json!({"algorithm": "RS256", "public_key": "-----BEGIN PRIVATE KEY-----"}), "holds a private key");
    refused(json!({"algorithm": "RS256", "public_key_file": "/nowhere/key.pem"}), "public_key_file: /nowhere/key.pem");
    refused(json!({"algorithm": "HS256", "secret": "%", "base64": true}), "secret: is no base64");
    let set = json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "RSA", "alg": "HS256", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        7,
    ]});
    let (keys, left) = read_set(set.to_string().as_bytes()).unwrap();
    assert_eq!((keys.len(), left.len()), (0, 6), "{left:?}");
    assert_eq!(left[0], "keys[0]: a secret in a key set is not taken");
    assert_eq!(left[4], "keys[4]: RSA keys need 2048 bits");
    assert!(read_set(b"[]").is_err());
}
