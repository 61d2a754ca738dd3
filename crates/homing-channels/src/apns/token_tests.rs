#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::*;

const MIN: Millis = 60_000;

/// A multiple of 35 minutes.
const BASE: Millis = 2_100_000 * 846_000;

fn pem() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()
}

fn tokens() -> Tokens {
    Tokens::new(&pem(), "KEY1234567", "TEAM123456").unwrap()
}

fn iat(tokens: &Tokens, now: Millis) -> Millis {
    (tokens.get(now).unwrap().iat * 1000 - BASE) / MIN
}

#[test]
fn two_processes_sign_the_same_bytes_that_the_public_key_verifies() {
    let pem = pem();
    let key = rcgen::KeyPair::from_pem(&pem).unwrap();
    let of = |now| Tokens::new(&pem, "KEY1234567", "TEAM123456").unwrap().get(now).unwrap();
    let (one, other) = (of(BASE + 1), of(BASE + 34 * MIN));
    assert_eq!(one.header, other.header);
    let text = one.header.to_str().unwrap().strip_prefix("bearer ").unwrap().to_owned();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let point = rcgen::PublicKeyData::der_bytes(&key);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let parts: Vec<Value> =
        signed.split('.').map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect();
    assert_eq!(parts, [json!({"alg": "ES256", "kid": "KEY1234567"}), json!({"iss": "TEAM123456", "iat": BASE / 1000})]);
    assert_eq!(format!("{:?}", one.header), "Sensitive");
}

#[test]
fn a_token_is_renewed_between_twenty_and_sixty_minutes_whenever_a_process_begins() {
    for begin in 0..70 {
        let tokens = tokens();
        let (mut seen, mut last) = (Vec::new(), None);
        for minute in 0..240 {
            let now = BASE + (begin + minute) * MIN;
            let issued = tokens.get(now).unwrap();
            assert!((0..=55 * 60).contains(&(now / 1000 - issued.iat)));
            if last != Some(issued.iat) {
                seen.push(minute);
                last = Some(issued.iat);
            }
        }
        assert!(seen.windows(2).all(|pair| (20..60).contains(&(pair[1] - pair[0]))), "{begin}: {seen:?}");
        assert!((6..=8).contains(&seen.len()), "{seen:?}");
    }
}

#[test]
fn a_clock_that_goes_back_a_little_keeps_the_token() {
    let tokens = tokens();
    let now = BASE + 350 * MIN;
    assert_eq!((iat(&tokens, now), iat(&tokens, now - MIN)), (350, 350), "by a minute");
    assert_eq!(iat(&tokens, now - 60 * MIN), 280, "by an hour");
}

#[test]
fn a_wrong_clock_is_corrected_by_the_date_once() {
    // Ours is behind theirs by this; theirs is at every minute of the grid.
    for (behind, at) in (0..70).flat_map(|at| [(90, at), (75, at), (600, at)]) {
        let tokens = tokens();
        let theirs = BASE + at * MIN;
        let now = theirs - behind * MIN;
        let used = tokens.get(now).unwrap();
        assert_eq!(tokens.expired(&used, now, Some(theirs)).unwrap(), Renewal::Renewed);
        let newer = tokens.get(now).unwrap();
        assert_eq!((newer.iat * 1000 - BASE) / MIN, at - at % 35);
        assert_eq!(tokens.expired(&used, now, Some(theirs)).unwrap(), Renewal::Known, "a request that was under way");
        assert_eq!(tokens.expired(&newer, now, Some(theirs)).unwrap(), Renewal::Useless);
        // The grid is theirs from now on, and the token holds for 20 minutes at least.
        let mut changed = 0;
        for minute in 0..200 {
            let iat = iat(&tokens, now + minute * MIN);
            assert!((0..=55).contains(&(at + minute - iat)), "{minute}");
            assert!(minute >= 20 || iat == at - at % 35);
            changed += i64::from(iat > at);
        }
        assert!(changed > 0);
    }
}

#[test]
fn a_right_clock_gets_a_younger_token_only_after_twenty_minutes() {
    let tokens = tokens();
    let used = tokens.get(BASE + 10 * MIN).unwrap();
    let again = |minute: Millis| tokens.expired(&used, BASE + minute * MIN, Some(BASE + minute * MIN)).unwrap();
    assert_eq!((again(19), again(29)), (Renewal::Useless, Renewal::Useless));
    assert_eq!(again(31), Renewal::Renewed);
    assert_eq!(iat(&tokens, BASE + 31 * MIN), 20);
    assert_eq!(iat(&tokens, BASE + 50 * MIN), 20, "held");
    assert_eq!(iat(&tokens, BASE + 51 * MIN), 35);
}

#[test]
fn other_keys_are_refused_in_words() {
    for (pem, expected) in [
        ("hello", "is no signing key"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "has a password"),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "openssl pkcs8"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no signing key"),
    ] {
        let Err(problem) = Tokens::new(pem, "K", "T") else { panic!("{pem} was taken") };
        assert!(problem.contains(expected) && !problem.contains("AAAA"), "{problem}");
    }
}
