#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use super::*;
use crate::{
    simulator::web_push::{Browser, open},
    web_push::subscription::{Subscription, decode},
};

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    decode(text).unwrap().try_into().unwrap()
}

fn keys(p256dh: &str, auth: &str) -> Keys {
    let token =
        format!(r#"{{"endpoint":"https://push.example.net/x","keys":{{"p256dh":"{p256dh}","auth":"{auth}"}}}}"#);
    Subscription::parse(&token).unwrap().keys
}

/// RFC 8291, section 5 and appendix A, value for value.
#[test]
fn the_example_of_the_rfc_comes_out_value_for_value() {
    let browser = keys(
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
    );
    let fresh = Fresh {
        key: SecretKey::from_slice(&bytes::<32>("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap(),
        salt: bytes("DGv6ra1nlYgDCS1FRnbzlw"),
    };
    let own = fresh.key.public_key().to_encoded_point(false);
    let point = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
    assert_eq!(own.as_bytes(), bytes::<65>(point));
    let shared = diffie_hellman(fresh.key.to_nonzero_scalar(), browser.public.as_affine());
    let secret: [u8; 32] = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
    assert_eq!(shared.raw_secret_bytes()[..], secret);
    let ikm = keying(&browser, &fresh.key, own.as_bytes()).unwrap();
    assert_eq!(ikm, bytes::<32>("S4lYMb_L0FxCeq0WhDx813KgSYqU26kOyzWUdsXYyrg"));
    let content = content(&ikm, &fresh.salt).unwrap();
    assert_eq!(content.key, bytes::<16>("oIhVW04MRdy2XN9CiKLxTg"));
    assert_eq!(content.nonce, bytes::<12>("4h_95klXJ5E_qnoN"));

    let body = seal(b"When I grow up, I want to be a watermelon", &browser, &fresh).unwrap();
    let header = format!("DGv6ra1nlYgDCS1FRnbzlwAAEABB{point}");
    assert_eq!(body[..86], decode(&header).unwrap());
    let sealed = "8pfeW0KbunFT06SuDKoJH9Ql87S1QUrdirN6GcG7sFz1y1sqLgVi1VhjVkHsUoEsbI_0LpXMuGvnzQ";
    assert_eq!(body[86..], decode(sealed).unwrap());

    // And the simulator, which shares no line with the code above, is a browser of that example.
    let private: [u8; 32] = bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
    let browser = Browser::with(&private, bytes("BTBZMqHH6r4Tts7J_aSIgg")).unwrap();
    assert_eq!(open(&browser, &body).unwrap(), b"When I grow up, I want to be a watermelon");
}

#[test]
fn a_thousand_random_payloads_are_decrypted_and_no_changed_one() {
    let rng = SystemRandom::new();
    // A plain xorshift: the sequence is the same in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let browser = Browser::draw();
    let to = keys(&browser.p256dh(), &browser.auth());
    let mut lengths = (3_000, 0);
    for n in 0..1_000_usize {
        let length = if n < 2 { n * 3_000 } else { draw() as usize % 3_001 };
        let plain: Vec<u8> = (0..length).map(|_| draw() as u8).collect();
        let fresh = Fresh::draw(&rng).unwrap();
        let mut body = seal(&plain, &to, &fresh).unwrap();
        assert_eq!(body.len(), 86 + length + 17);
        assert_eq!(open(&browser, &body).unwrap(), plain, "payload {n}, {length} bytes");
        lengths = (lengths.0.min(length), lengths.1.max(length));
        let at = draw() as usize % (body.len() - 86) + 86;
        body[at] ^= 1;
        assert!(open(&browser, &body).is_err());
    }
    assert_eq!(lengths, (0, 3_000));
}

#[test]
fn nothing_is_drawn_twice() {
    let rng = SystemRandom::new();
    let browser = Browser::draw();
    let to = keys(&browser.p256dh(), &browser.auth());
    let seals: std::collections::HashSet<Vec<u8>> =
        (0..100).map(|_| seal(b"same", &to, &Fresh::draw(&rng).unwrap()).unwrap()).collect();
    assert_eq!(seals.len(), 100);
}
