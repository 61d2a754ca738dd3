//! RFC 6455 case by case, as the Autobahn fuzzing client has them in its sections 1 to 7 and 10, over a real socket against
//! an echo session. The numbers are Autobahn's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

mod support;

use homing_gateway::{hub::Settings, session::Admission};
use support::{Client, Echo, Stage};

/// What the client does.
#[derive(Clone)]
enum Do {
    /// A frame: last, rsv, opcode, data.
    F(bool, u8, u8, Vec<u8>),
    /// A header that promises more than it brings, or other bytes.
    Raw(Vec<u8>),
    /// Nothing more is sent before the server has failed the connection.
    Wait,
}

/// What comes back, before the close.
#[derive(Clone)]
enum Back {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    /// The client closes with 1000 and gets it back.
    Clean,
    /// The server closes with this code, by itself or in answer to the case's own close frame.
    Code(u16),
}

struct Case {
    id: String,
    steps: Vec<Do>,
    /// The bytes go out in pieces of this length; 0 = at once.
    chop: usize,
    back: Vec<Back>,
    end: End,
}

use Back::{Binary, Pong, Text};
use Do::{F, Raw, Wait};
use End::{Clean, Code};

struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, id: impl Into<String>, steps: Vec<Do>, chop: usize, back: Vec<Back>, end: End) {
        self.0.push(Case { id: id.into(), steps, chop, back, end });
    }
}

fn f(last: bool, opcode: u8, data: impl AsRef<[u8]>) -> Do {
    F(last, 0, opcode, data.as_ref().to_vec())
}

fn t(data: impl AsRef<[u8]>) -> Back {
    Text(data.as_ref().to_vec())
}

fn close(code: u16, reason: &[u8]) -> Do {
    F(true, 0, 8, [&code.to_be_bytes(), reason].concat())
}

fn framing(cases: &mut Cases) {
    for (number, size) in [0, 125, 126, 127, 128, 65_535, 65_536].into_iter().enumerate() {
        let (text, binary) = (vec![b'*'; size], vec![0xfe; size]);
        cases.add(format!("1.1.{}", number + 1), vec![f(true, 1, &text)], 0, vec![Text(text)], Clean);
        cases.add(format!("1.2.{}", number + 1), vec![f(true, 2, &binary)], 0, vec![Binary(binary)], Clean);
    }
    cases.add("1.1.8", vec![f(true, 1, vec![b'*'; 65_536])], 997, vec![Text(vec![b'*'; 65_536])], Clean);
    cases.add("1.2.8", vec![f(true, 2, vec![0xfe; 65_536])], 997, vec![Binary(vec![0xfe; 65_536])], Clean);
}

fn pings(cases: &mut Cases) {
    let odd = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff".to_vec();
    let payloads = [vec![], b"Hello, world!".to_vec(), odd, vec![0xfe; 125]];
    for (number, payload) in payloads.into_iter().enumerate() {
        cases.add(format!("2.{}", number + 1), vec![f(true, 9, &payload)], 0, vec![Pong(payload)], Clean);
    }
    cases.add("2.5", vec![f(true, 9, [0xfe; 126])], 0, vec![], Code(1002));
    cases.add("2.6", vec![f(true, 9, [0xfe; 125])], 1, vec![Pong(vec![0xfe; 125])], Clean);
    cases.add("2.7", vec![f(true, 10, "")], 0, vec![], Clean);
    cases.add("2.8", vec![f(true, 10, "unsolicited")], 0, vec![], Clean);
    let steps = vec![f(true, 10, "unsolicited"), f(true, 9, "ping")];
    cases.add("2.9", steps, 0, vec![Pong(b"ping".to_vec())], Clean);
    let ten: Vec<_> = (0..10).map(|number| format!("payload-{number}")).collect();
    for (id, chop) in [("2.10", 0), ("2.11", 1)] {
        let back = ten.iter().map(|payload| Pong(payload.clone().into_bytes())).collect();
        cases.add(id, ten.iter().map(|payload| f(true, 9, payload)).collect(), chop, back, Clean);
    }
}

fn reserved(cases: &mut Cases) {
    let hello = "Hello, world!";
    let rsv = |rsv, opcode, data: &[u8]| F(true, rsv, opcode, data.to_vec());
    cases.add("3.1", vec![rsv(1, 1, hello.as_bytes())], 0, vec![], Code(1002));
    for (id, bits, chop) in [("3.2", 2, 0), ("3.3", 3, 0), ("3.4", 4, 1)] {
        let steps = vec![f(true, 1, hello), rsv(bits, 1, hello.as_bytes()), f(true, 9, "")];
        cases.add(id, steps, chop, vec![t(hello)], Code(1002));
    }
    cases.add("3.5", vec![rsv(5, 2, &[0; 8])], 0, vec![], Code(1002));
    cases.add("3.6", vec![rsv(6, 9, hello.as_bytes())], 0, vec![], Code(1002));
    cases.add("3.7", vec![rsv(7, 8, &1000u16.to_be_bytes())], 0, vec![], Code(1002));
    for (section, first) in [(1, 3), (2, 11)] {
        for number in 0..5u8 {
            let data: &[u8] = if number == 1 || number == 3 { b"reserved opcode payload" } else { b"" };
            let wrong = f(true, first + number, data);
            let id = format!("4.{section}.{}", number + 1);
            if number < 2 {
                cases.add(id, vec![wrong], 0, vec![], Code(1002));
            } else {
                let chop = usize::from(number == 4);
                cases.add(id, vec![f(true, 1, hello), wrong, f(true, 9, "")], chop, vec![t(hello)], Code(1002));
            }
        }
    }
}

fn fragments(cases: &mut Cases) {
    let parts = || vec![f(false, 1, "fragment1"), f(true, 0, "fragment2")];
    let whole = || t("fragment1fragment2");
    let with_ping = || vec![f(false, 1, "fragment1"), f(true, 9, "ping"), f(true, 0, "fragment2")];
    cases.add("5.1", vec![f(false, 9, "fragment1"), f(true, 0, "fragment2")], 0, vec![], Code(1002));
    cases.add("5.2", vec![f(false, 10, "fragment1"), f(true, 0, "fragment2")], 0, vec![], Code(1002));
    for (id, chop) in [("5.3", 0), ("5.4", 15), ("5.5", 1)] {
        cases.add(id, parts(), chop, vec![whole()], Clean);
    }
    for (id, chop) in [("5.6", 0), ("5.7", 15), ("5.8", 1)] {
        cases.add(id, with_ping(), chop, vec![Pong(b"ping".to_vec()), whole()], Clean);
    }
    for (number, (last, chop)) in
        [(true, 0), (true, 37), (true, 1), (false, 0), (false, 37), (false, 1)].into_iter().enumerate()
    {
        let steps = vec![f(last, 0, "non-continuation payload"), f(true, 1, "Hello, world!")];
        cases.add(format!("5.{}", number + 9), steps, chop, vec![], Code(1002));
    }
    let mut steps = parts();
    steps.extend([f(false, 0, "fragment3"), f(true, 1, "fragment4")]);
    cases.add("5.15", steps, 0, vec![whole()], Code(1002));
    for (id, last) in [("5.16", false), ("5.17", true)] {
        let steps = vec![f(last, 0, "fragment1"), f(false, 1, "fragment2"), f(true, 0, "fragment3")];
        cases.add(id, steps, 0, vec![], Code(1002));
    }
    cases.add("5.18", vec![f(false, 1, "fragment1"), f(false, 1, "fragment2")], 0, vec![], Code(1002));
    for (id, chop) in [("5.19", 0), ("5.20", 15)] {
        let mut steps = vec![f(false, 1, "f1"), f(false, 0, "f2"), f(true, 9, "pongme 1!")];
        steps.extend([f(false, 0, "f3"), f(false, 0, "f4"), f(true, 9, "pongme 2!"), f(true, 0, "f5")]);
        let back = vec![Pong(b"pongme 1!".to_vec()), Pong(b"pongme 2!".to_vec()), t("f1f2f3f4f5")];
        cases.add(id, steps, chop, back, Clean);
    }
}

/// Text in fragments of one byte.
fn bytewise(data: &[u8]) -> Vec<Do> {
    let mut steps: Vec<_> = data.iter().enumerate().map(|(at, byte)| f(false, u8::from(at == 0), [*byte])).collect();
    steps.push(f(true, u8::from(data.is_empty()), ""));
    steps
}

fn text(cases: &mut Cases) {
    cases.add("6.1.1", vec![f(true, 1, "")], 0, vec![t("")], Clean);
    cases.add("6.1.2", vec![f(false, 1, ""), f(false, 0, ""), f(true, 0, "")], 0, vec![t("")], Clean);
    cases.add("6.1.3", vec![f(false, 1, ""), f(false, 0, "middle"), f(true, 0, "")], 0, vec![t("middle")], Clean);
    let valid = "Hello-µ@ßöäüàá-UTF-8!!";
    cases.add("6.2.1", vec![f(true, 1, valid)], 0, vec![t(valid)], Clean);
    let (left, right) = valid.split_at(valid.find('ä').unwrap());
    let halves = vec![f(false, 1, left), f(true, 0, right)];
    cases.add("6.2.2", halves, 0, vec![t(valid)], Clean);
    cases.add("6.2.3", bytewise(valid.as_bytes()), 0, vec![t(valid)], Clean);
    cases.add("6.2.4", vec![f(true, 1, valid)], 1, vec![t(valid)], Clean);
    let kosme = "κόσμε".as_bytes();
    let invalid = [kosme, b"\xed\xa0\x80edited"].concat();
    cases.add("6.3.1", vec![f(true, 1, &invalid)], 0, vec![], Code(1007));
    cases.add("6.3.2", bytewise(&invalid), 0, vec![], Code(1007));
    // Fail fast: the message does not end, and the rest is not even sent.
    let (bad, late) = (b"\xf4\x90\x80\x80", b"edited");
    let head = |length: usize| Client::<std::net::TcpStream>::frame(true, 0, 1, &vec![0; length])[..6].to_vec();
    cases.add("6.4.1", vec![f(false, 1, kosme), f(false, 0, bad), Wait, f(true, 0, late)], 0, vec![], Code(1007));
    cases.add("6.4.2", vec![f(false, 1, kosme), f(false, 0, &bad[..2]), Wait, f(true, 0, late)], 0, vec![], Code(1007));
    for (id, part) in [("6.4.3", &bad[..]), ("6.4.4", &bad[..2])] {
        let sent = [kosme, part].concat();
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked: Vec<u8> = sent.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let bytes = [head(sent.len() + late.len()), masked].concat();
        cases.add(id, vec![Raw(bytes), Wait], 0, vec![], Code(1007));
    }
    let whole = kosme.to_vec();
    for (number, split) in [0, 2, 5, 7, 9].into_iter().enumerate() {
        let steps = vec![f(false, 1, &whole[..split]), f(true, 0, &whole[split..])];
        cases.add(format!("6.5.{}", number + 1), steps, 0, vec![t(&whole)], Clean);
    }
    for length in 1..=whole.len() {
        let part = &whole[..length];
        match std::str::from_utf8(part) {
            Ok(_) => cases.add(format!("6.6.{length}"), vec![f(true, 1, part)], 0, vec![t(part)], Clean),
            Err(_) => cases.add(format!("6.6.{length}"), vec![f(true, 1, part)], 0, vec![], Code(1007)),
        }
    }
}

/// Sections 6.7 to 6.23: Markus Kuhn's stress test. Whether it is valid stands there.
fn stress(cases: &mut Cases) {
    let good: &[(&str, &[&str])] = &[
        ("7", &["00", "c280", "e0a080", "f0908080"]),
        ("9", &["7f", "dfbf", "efbfbf", "f48fbfbf"]),
        ("11", &["ed9fbf", "ee8080", "efbfbd", "f48fbfbf"]),
        ("23", &["efbfb9", "efbfba", "efbfbb", "efbfbc", "efbfbd", "efbfbe", "efbfbf"]),
    ];
    let bad: &[(&str, &[&str])] = &[
        ("8", &["f888808080", "fc8480808080"]),
        ("10", &["f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"]),
        ("11b", &["f4908080"]),
        ("12", &["80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf", "all"]),
        ("13", &["c020c120", "e020e120", "f020f120", "f820f920", "fc20fd20"]),
        ("14", &["c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"]),
        ("15", &["c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf"]),
        ("16", &["fe", "ff", "fefeffff"]),
        ("17", &["c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"]),
        ("18", &["c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"]),
        ("19", &["c080", "e08080", "f0808080", "f880808080", "fc8080808080"]),
        ("20", &["eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"]),
        (
            "21",
            &[
                "eda080edb080",
                "eda080edbfbf",
                "edadbfedb080",
                "edadbfedbfbf",
                "edae80edb080",
                "edae80edbfbf",
                "edafbfedb080",
                "edafbfedbfbf",
            ],
        ),
    ];
    for (section, list, end) in good.iter().map(|(s, l)| (s, l, true)).chain(bad.iter().map(|(s, l)| (s, l, false))) {
        for (number, text) in list.iter().enumerate() {
            let bytes = if *text == "all" { (0x80..=0xbf).collect() } else { hex(text) };
            assert_eq!(std::str::from_utf8(&bytes).is_ok(), end, "6.{section}: {text}");
            let (back, end) = if end { (vec![t(&bytes)], Clean) } else { (vec![], Code(1007)) };
            cases.add(format!("6.{section}.{}", number + 1), vec![f(true, 1, &bytes)], 0, back, end);
        }
    }
    // Non-characters are characters to UTF-8.
    let mut number = 0;
    for plane in 0..=16u32 {
        for last in [0xfffe, 0xffff] {
            number += 1;
            let text = char::from_u32(plane << 16 | last).unwrap().to_string();
            cases.add(format!("6.22.{number}"), vec![f(true, 1, &text)], 0, vec![t(&text)], Clean);
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn closing(cases: &mut Cases) {
    let hello = "Hello World!";
    cases.add("7.1.1", vec![f(true, 1, hello)], 0, vec![t(hello)], Clean);
    cases.add("7.1.2", vec![close(1000, b""), close(1000, b"")], 0, vec![], Code(1000));
    cases.add("7.1.3", vec![close(1000, b""), f(true, 9, "")], 0, vec![], Code(1000));
    cases.add("7.1.4", vec![close(1000, b""), f(true, 1, hello)], 0, vec![], Code(1000));
    let steps = vec![f(false, 1, "fragment1"), close(1000, b""), f(true, 0, "fragment2")];
    cases.add("7.1.5", steps, 0, vec![], Code(1000));
    let big = "BAsd7&jh23".repeat(26_214);
    let steps = vec![f(true, 1, &big), f(true, 1, hello), close(1000, b""), f(true, 9, "")];
    cases.add("7.1.6", steps, 0, vec![t(&big), t(hello)], Code(1000));
    cases.add("7.3.1", vec![f(true, 8, "")], 0, vec![], Code(1005));
    cases.add("7.3.2", vec![f(true, 8, "a")], 0, vec![], Code(1002));
    cases.add("7.3.3", vec![close(1000, b"")], 0, vec![], Code(1000));
    cases.add("7.3.4", vec![close(1000, b"Hello World!")], 0, vec![], Code(1000));
    cases.add("7.3.5", vec![close(1000, &[b'*'; 123])], 0, vec![], Code(1000));
    cases.add("7.3.6", vec![close(1000, &[b'*'; 124])], 0, vec![], Code(1002));
    cases.add("7.5.1", vec![close(1000, b"\xce\xba\xed\xa0\x80edited")], 0, vec![], Code(1007));
    let good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (number, code) in good.into_iter().enumerate() {
        cases.add(format!("7.7.{}", number + 1), vec![close(code, b"")], 0, vec![], Code(code));
    }
    for (number, code) in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].into_iter().enumerate() {
        cases.add(format!("7.9.{}", number + 1), vec![close(code, b"")], 0, vec![], Code(1002));
    }
    for (number, code) in [5000, 65_535].into_iter().enumerate() {
        cases.add(format!("7.13.{}", number + 1), vec![close(code, b"")], 0, vec![], Code(1002));
    }
}

/// Not among Autobahn's: masks, lengths, limits.
fn more(cases: &mut Cases) {
    let long = vec![b'*'; 65_536];
    let mut steps: Vec<_> =
        long.chunks(1_300).enumerate().map(|(at, part)| f(false, u8::from(at == 0), part)).collect();
    steps.push(f(true, 0, ""));
    cases.add("10.1.1", steps, 0, vec![Text(long)], Clean);
    cases.add("mask", vec![Raw(b"\x81\x05Hello".to_vec())], 0, vec![], Code(1002));
    let mut huge = vec![0x82, 0x80 | 127];
    huge.extend_from_slice(&u64::MAX.to_be_bytes());
    cases.add("63 bits", vec![Raw([&huge[..], &[0; 4]].concat())], 0, vec![], Code(1002));
    let mut much = vec![0x82, 0x80 | 127];
    much.extend_from_slice(&(1u64 << 40).to_be_bytes());
    cases.add("too big", vec![Raw([&much[..], &[0; 4]].concat()), Wait], 0, vec![], Code(1009));
    let steps = vec![f(false, 2, vec![0; 999_999]), f(true, 0, [0; 2]), Wait];
    cases.add("too big in parts", steps, 0, vec![], Code(1009));
    cases.add("just fits", vec![f(true, 2, vec![7; 1_000_000])], 0, vec![Binary(vec![7; 1_000_000])], Clean);
    cases.add("long form", vec![Raw([&[0x81, 0xfe, 0, 1, 0, 0, 0, 0], &b"a"[..]].concat())], 0, vec![t("a")], Clean);
}

fn run(stage: &Stage, case: &Case) -> Result<(), String> {
    let mut client = stage.connect("/echo");
    let mut bytes = Vec::new();
    let mut waits = false;
    for step in &case.steps {
        match step {
            F(last, rsv, opcode, data) => {
                bytes.extend(Client::<std::net::TcpStream>::frame(*last, *rsv, *opcode, data));
            }
            Raw(raw) => bytes.extend_from_slice(raw),
            Wait => {
                waits = true;
                break;
            }
        }
    }
    let own_close = case.end != Clean;
    if case.chop == 0 {
        client.raw(&bytes);
    } else {
        bytes.chunks(case.chop).for_each(|part| client.raw(part));
    }
    for (number, back) in case.back.iter().enumerate() {
        let (opcode, wanted) = match back {
            Text(data) => (1, data),
            Binary(data) => (2, data),
            Pong(data) => (10, data),
        };
        let frame = client.next().ok_or("the end came too early")?;
        if (frame.last, frame.rsv, frame.opcode) != (true, 0, opcode) || &frame.data != wanted {
            return Err(format!("answer {number} is {} bytes of opcode {}", frame.data.len(), frame.opcode));
        }
    }
    if !own_close {
        client.send(8, &1000u16.to_be_bytes());
    }
    let frame = client.next().ok_or("the end came without a close frame")?;
    if frame.opcode != 8 {
        return Err(format!("opcode {} with {} bytes in place of a close", frame.opcode, frame.data.len()));
    }
    let code = frame.data.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
    let wanted = if let Code(code) = case.end { code } else { 1000 };
    if code != wanted {
        return Err(format!("closed with {code}, not {wanted}"));
    }
    if client.next().is_some() {
        return Err("something came after the close frame".to_owned());
    }
    assert!(!waits || own_close);
    Ok(())
}

#[test]
fn every_case_of_the_protocol() {
    let settings = Settings { threads: 1, rate: 0, ..Settings::default() };
    let stage = Stage::new(settings, |_| Some(Admission::Session(Box::new(Echo))));
    let mut cases = Cases(Vec::new());
    for section in [framing, pings, reserved, fragments, text, stress, closing, more] {
        section(&mut cases);
    }
    let failed: Vec<_> =
        cases.0.iter().filter_map(|case| run(&stage, case).err().map(|why| format!("{}: {why}", case.id))).collect();
    println!("rfc6455: {} cases, {} failed", cases.0.len(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(cases.0.len() >= 247, "{}", cases.0.len());
    stage.until(|counts| counts.sessions == 0 && counts.connections == 0);
}
