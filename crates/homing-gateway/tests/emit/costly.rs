//! Messages that are as large as they may be and made to be slow: each is answered. The time is printed, and only a hang
//! fails.

use std::time::{Duration, Instant};

use homing_gateway::emit::{node, plain, python};

const BYTES: usize = 4 << 20;

/// `head`, then `unit` as often as there is room, then `tail`.
fn fill(head: &[u8], unit: &[u8], tail: &[u8]) -> Vec<u8> {
    let times = (BYTES - head.len() - tail.len()) / unit.len();
    [head, &unit.repeat(times), tail].concat()
}

#[test]
fn the_worst_messages_are_answered() {
    let long = [&b"\x8b\xf6\x06\0\0"[..], &[0x5a; 1_782]].concat();
    let digits = [&b"L"[..], &[b'9'; 4_300], b"L\n"].concat();
    let python = [
        ("long integers", fill(b"(", &long, b"l.")),
        ("long digits", fill(b"(", &digits, b"l.")),
        ("memo", fill(b"N", b"\x94", b".")),
        ("memo by number", fill(b"N", b"p7\n", b".")),
        ("marks", fill(b"", b"(", b"")),
        ("nothing", fill(b"", b"N", b".")),
        ("nested", fill(b"", b"]", b".")),
        ("appended to itself", fill(b"]q\0", b"h\0a", b".")),
        ("escapes", fill(b"V", b"\\u00e9", b"\n.")),
        ("halves of pairs", fill(b"X\xf8\xff\x3f\0", b"\xed\xa0\x80", b".")),
        ("JSON nested", fill(b"{\"a\":", b"[", b"")),
        ("JSON numbers", fill(b"{\"method\":\"emit\",\"event\":\"x\",\"binary\":true,\"data\":[[0", b",0", b"]]}")),
        ("JSON rooms", fill(b"{\"method\":\"emit\",\"event\":\"x\",\"room\":[0", b",0", b"]}")),
        ("JSON spaces", fill(b"{\"method\":\"emit\",\"event\":\"x\",\"data\":[0", b" ", b"]}")),
    ];
    let mut slowest = (Duration::ZERO, "");
    let mut note = |name, began: Instant| {
        let took = began.elapsed();
        assert!(took < Duration::from_secs(60), "{name} took {took:?}");
        if took > Duration::from_secs(1) {
            println!("{name}: {took:?}");
        }
        slowest = slowest.max((took, name));
    };
    let options = python::Options::default();
    for (name, bytes) in &python {
        let began = Instant::now();
        python::read(bytes, &options).ok();
        note(name, began);
    }
    let options = node::Options { namespaces: Vec::new(), text_rooms: false, bytes: BYTES };
    for (name, bytes) in [
        ("msgpack nested", fill(b"", b"\x91", b"")),
        ("msgpack nothing", fill(b"\xdd\0\x3f\xff\0", b"\xc0", b"")),
        ("msgpack maps", fill(b"\xdd\0\x3f\xff\0", b"\x80", b"")),
    ] {
        let began = Instant::now();
        node::broadcast(&bytes, &options).ok();
        node::request(&bytes, &"/".into(), &options).ok();
        note(name, began);
    }
    let began = Instant::now();
    // Longer than any store takes, but that shows only when the spaces are out.
    plain::read(&fill(b"{\"msg_type\":\"n\",\"data\":[0", b", 0", b"]}")).unwrap_err();
    note("publication", began);
    println!("the slowest of 18 messages of 4 MiB: {} took {:?} in this build", slowest.1, slowest.0);
}
