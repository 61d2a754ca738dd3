#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

#[test]
fn offers_that_limit_the_servers_window_are_declined() {
    for (offer, yes) in [
        ("permessage-deflate", true),
        ("permessage-deflate; client_max_window_bits", true),
        ("permessage-deflate; client_max_window_bits=10; server_no_context_takeover", true),
        ("permessage-deflate; server_max_window_bits=10", false),
        ("permessage-deflate; server_max_window_bits=15", true),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
        ("x-webkit-deflate-frame", false),
        ("permessage-deflate; what", false),
        ("permessage-deflate; client_max_window_bits=99", false),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", false),
        ("permessage-deflate; client_no_context_takeover=1", false),
        ("", false),
    ] {
        assert_eq!(acceptable(offer.as_bytes()), yes, "{offer}");
    }
}

#[test]
fn the_example_of_the_rfc_is_read() {
    // RFC 7692, sections 7.2.3.1, 7.2.3.3, 7.2.3.4 and 7.2.3.5.
    let mut state = Decompress::new(false);
    for bytes in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        assert_eq!(inflate(&mut state, bytes, 100).unwrap(), b"Hello");
    }
    assert_eq!(inflate(&mut state, &[0xff, 0xff, 0xff], 100), Err(Inflate::Broken));
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let mut deflate = compressor();
    let bomb = compress(&mut deflate, &vec![0; 50_000_000]).unwrap();
    assert!(bomb.len() < 500_000);
    let mut state = Decompress::new(false);
    assert_eq!(inflate(&mut state, &bomb, 1_000_000), Err(Inflate::TooBig));
    let fits = compress(&mut deflate, &vec![7; 1_000_000]).unwrap();
    assert_eq!(inflate(&mut state, &fits, 1_000_000).unwrap().len(), 1_000_000);
    assert_eq!(inflate(&mut state, &fits, 999_999), Err(Inflate::TooBig));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_compressed_is_read_again(part in proptest::collection::vec(any::<u8>(), 1..300), times in 1..200usize) {
        let message = part.repeat(times);
        let mut deflate = compressor();
        let mut state = Decompress::new(false);
        if let Some(short) = compress(&mut deflate, &message) {
            prop_assert!(short.len() < message.len());
            prop_assert_eq!(inflate(&mut state, &short, message.len()).unwrap(), message);
        }
    }

    #[test]
    fn hostile_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut state = Decompress::new(false);
        if let Ok(out) = inflate(&mut state, &bytes, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }
}
