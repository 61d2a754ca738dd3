#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message: 100_000, deflate: false };

fn frame(last: bool, opcode: u8, data: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![u8::from(last) << 7 | opcode];
    match data.len() {
        length @ ..=125 => out.push(0x80 | length as u8),
        length @ ..=65_535 => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(data.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// All events of some bytes that come in pieces, and how it ended.
fn read(bytes: &[u8], pieces: impl Iterator<Item = usize>) -> (Vec<Event>, Option<u16>, Parser) {
    let (mut parser, mut events, mut rest, mut frames) = (Parser::default(), Vec::new(), bytes, 0);
    for piece in pieces {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        let (mut now, mut at) = (now.to_vec(), 0);
        loop {
            match parser.next(&mut now, &mut at, LIMITS, &mut frames) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(fault) => return (events, Some(fault.code), parser),
            }
        }
        assert_eq!(at, now.len());
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    (events, None, parser)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut(
        messages in proptest::collection::vec((any::<bool>(), 0..70_000usize, 1..4usize, any::<[u8; 4]>()), 1..4),
        pieces in proptest::collection::vec(1..40_000usize, 1..200),
    ) {
        let mut bytes = Vec::new();
        let mut wanted = Vec::new();
        for (text, length, parts, mask) in messages {
            let data: Vec<u8> = "aä水🙂".bytes().cycle().take(length / 10 * 10).collect();
            let part = data.len().div_ceil(parts).max(1);
            let mut cuts: Vec<&[u8]> = data.chunks(part).collect();
            if cuts.is_empty() {
                cuts.push(&[]);
            }
            let count = cuts.len();
            for (number, cut) in cuts.into_iter().enumerate() {
                let opcode = if number > 0 { 0 } else if text { 1 } else { 2 };
                bytes.extend(frame(number + 1 == count, opcode, cut, mask));
                if number + 1 < count {
                    bytes.extend(frame(true, 9, b"in between", mask));
                    wanted.push(Event::Ping(Bytes::from_static(b"in between")));
                }
            }
            wanted.push(Event::Message { text, compressed: false, data: data.into() });
        }
        let (events, fault, parser) = read(&bytes, pieces.into_iter().chain(std::iter::repeat(usize::MAX)));
        prop_assert_eq!(fault, None);
        prop_assert!(events == wanted);
        prop_assert_eq!(parser.kept(), 0, "an idle connection keeps nothing");
    }

    #[test]
    fn hostile_bytes_end_in_events_or_a_fault(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        piece in 1..50usize,
    ) {
        let (whole, first, _) = read(&bytes, std::iter::once(usize::MAX));
        let (parts, second, parser) = read(&bytes, std::iter::repeat(piece));
        prop_assert!(whole == parts);
        prop_assert_eq!(first, second);
        prop_assert!(parser.kept() < 2_000);
    }
}

#[test]
fn nothing_is_set_aside_for_what_was_only_promised() {
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&99_999u64.to_be_bytes());
    header.extend_from_slice(&[0; 5]);
    let (events, fault, parser) = read(&header, std::iter::once(usize::MAX));
    assert!(events.is_empty() && fault.is_none());
    assert!(parser.kept() < 400, "{}", parser.kept());
}
