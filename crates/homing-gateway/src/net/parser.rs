//! Frames of a client, from whatever pieces the socket brings (RFC 6455, sections 5 to 8). Strict: the first byte that
//! breaks a rule ends it. An idle connection keeps nothing; a message in pieces keeps what has come of it.

use bytes::Bytes;

use super::frame::{MAX_CONTROL, opcode};
use crate::session::code;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message. Text is valid UTF-8 unless it is compressed: then that is to be checked when it is not any more.
    Message { text: bool, compressed: bool, data: Bytes },
    /// A ping, to be answered with the same bytes.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame, with its code if it had one.
    Close(Option<u16>),
}

/// A rule was broken: the connection is to be failed with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: u16,
    pub(crate) why: &'static str,
}

/// What a connection allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest message, in bytes.
    pub(crate) message: usize,
    /// Compression was agreed on.
    pub(crate) deflate: bool,
}

/// Where a connection stands.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Default)]
struct Partial {
    head: [u8; 14],
    have: usize,
    frame: Option<Frame>,
    control: Vec<u8>,
    message: Option<Message>,
}

#[derive(Debug)]
struct Frame {
    opcode: u8,
    last: bool,
    left: u64,
    mask: [u8; 4],
}

#[derive(Debug)]
struct Message {
    text: bool,
    compressed: bool,
    data: Vec<u8>,
    /// Up to here it is whole characters.
    valid: usize,
}

fn broken<T>(why: &'static str) -> Result<T, Fault> {
    Err(Fault { code: code::PROTOCOL, why })
}

impl Parser {
    /// The next event in `input` from `at` on, which moves behind what was used; `None` when all was. `frames` counts the
    /// frames that began. The input is unmasked in place. After a fault the parser is not to be asked again.
    pub(crate) fn next(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
        limits: Limits,
        frames: &mut u32,
    ) -> Result<Option<Event>, Fault> {
        if let Some(partial) = &mut self.partial {
            let event = partial.step(input, at, limits, frames);
            if !matches!(event, Ok(None)) && partial.is_idle() {
                self.partial = None;
            }
            return event;
        }
        let mut partial = Partial::default();
        let event = partial.step(input, at, limits, frames);
        if event.is_ok() && !partial.is_idle() {
            self.partial = Some(Box::new(partial));
        }
        event
    }

    /// Bytes kept between reads, about.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            size_of::<Partial>() + partial.message.as_ref().map_or(0, |message| message.data.capacity())
        })
    }
}

impl Partial {
    fn is_idle(&self) -> bool {
        self.have == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn step(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
        limits: Limits,
        frames: &mut u32,
    ) -> Result<Option<Event>, Fault> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => {
                    if !self.header(input, at, limits)? {
                        return Ok(None);
                    }
                    *frames += 1;
                    self.begin(limits)?
                }
            };
            let rest = input.get_mut(*at..).unwrap_or_default();
            let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(rest.len());
            let part = rest.get_mut(..length).unwrap_or_default();
            unmask(part, &mut frame.mask);
            *at += length;
            frame.left -= length as u64;
            let control = frame.opcode >= opcode::CLOSE;
            if control {
                self.control.extend_from_slice(part);
            } else if let Some(message) = &mut self.message {
                message.take(part)?;
            }
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if control {
                return event(frame.opcode, std::mem::take(&mut self.control)).map(Some);
            }
            if frame.last
                && let Some(message) = self.message.take()
            {
                return message.end().map(Some);
            }
        }
    }

    /// Collects a header; false = more is needed. The first two bytes are judged as soon as they are there.
    fn header(&mut self, input: &[u8], at: &mut usize, limits: Limits) -> Result<bool, Fault> {
        loop {
            let [_, second, ..] = self.head;
            let needed = match (self.have, second & 0x7f) {
                (..2, _) => 2,
                (_, 126) => 8,
                (_, 127) => 14,
                _ => 6,
            };
            if self.have >= needed {
                return Ok(true);
            }
            let rest = input.get(*at..).unwrap_or_default();
            let length = rest.len().min(needed - self.have);
            if length == 0 {
                return Ok(false);
            }
            if let (Some(to), Some(from)) = (self.head.get_mut(self.have..self.have + length), rest.get(..length)) {
                to.copy_from_slice(from);
            }
            self.have += length;
            *at += length;
            if needed == 2 && self.have == 2 {
                let [first, second, ..] = self.head;
                self.judge(first, second, limits)?;
            }
        }
    }

    fn judge(&self, first: u8, second: u8, limits: Limits) -> Result<(), Fault> {
        let (last, opcode, length) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let starts = matches!(opcode, opcode::TEXT | opcode::BINARY);
        if first & 0x30 != 0 || (first & 0x40 != 0 && !(limits.deflate && starts)) {
            return broken("a reserved bit is set");
        }
        if matches!(opcode, 0x3..=0x7 | 0xb..=0xf) {
            return broken("an opcode that there is not");
        }
        if second & 0x80 == 0 {
            return broken("a client's frame must be masked");
        }
        if opcode >= opcode::CLOSE {
            if !last {
                return broken("a control frame in fragments");
            }
            if usize::from(length) > MAX_CONTROL {
                return broken("a control frame of more than 125 bytes");
            }
        } else if starts && self.message.is_some() {
            return broken("a message within another");
        } else if opcode == opcode::CONTINUATION && self.message.is_none() {
            return broken("a continuation of nothing");
        }
        Ok(())
    }

    /// Reads the header that is complete.
    fn begin(&mut self, limits: Limits) -> Result<Frame, Fault> {
        self.have = 0;
        let [first, second, a, b, c, d, e, f, g, h, i, j, k, l] = self.head;
        let (left, mask) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), [c, d, e, f]),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), [i, j, k, l]),
            short => (u64::from(short), [a, b, c, d]),
        };
        if left >> 63 != 0 {
            return broken("a length with its highest bit set");
        }
        let opcode = first & 0x0f;
        if opcode < opcode::CLOSE {
            let had = self.message.as_ref().map_or(0, |message| message.data.len());
            if left > limits.message.saturating_sub(had) as u64 {
                return Err(Fault { code: code::TOO_BIG, why: "a message too big" });
            }
            if opcode != opcode::CONTINUATION {
                let text = opcode == opcode::TEXT;
                self.message = Some(Message { text, compressed: first & 0x40 != 0, data: Vec::new(), valid: 0 });
            }
        }
        Ok(Frame { opcode, last: first & 0x80 != 0, left, mask })
    }
}

impl Message {
    fn take(&mut self, part: &[u8]) -> Result<(), Fault> {
        if self.data.is_empty() {
            self.data.reserve_exact(part.len());
        }
        self.data.extend_from_slice(part);
        if self.text && !self.compressed {
            match std::str::from_utf8(self.data.get(self.valid..).unwrap_or_default()) {
                Ok(_) => self.valid = self.data.len(),
                Err(error) => {
                    self.valid += error.valid_up_to();
                    if error.error_len().is_some() {
                        return not_text();
                    }
                }
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Event, Fault> {
        if self.text && !self.compressed && self.valid < self.data.len() {
            return not_text();
        }
        Ok(Event::Message { text: self.text, compressed: self.compressed, data: self.data.into() })
    }
}

/// The fault of text that is none.
pub(crate) fn not_text<T>() -> Result<T, Fault> {
    Err(Fault { code: code::NOT_TEXT, why: "text that is no UTF-8" })
}

fn event(opcode: u8, data: Vec<u8>) -> Result<Event, Fault> {
    match opcode {
        opcode::PING => Ok(Event::Ping(data.into())),
        opcode::PONG => Ok(Event::Pong(data.into())),
        _ => match data.split_first_chunk() {
            None if data.is_empty() => Ok(Event::Close(None)),
            None => broken("a close frame with half a code"),
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !may_be_sent(code) {
                    return broken("a close code that may not be sent");
                }
                if std::str::from_utf8(reason).is_err() {
                    return not_text();
                }
                Ok(Event::Close(Some(code)))
            }
        },
    }
}

/// Section 7.4, and what was registered since (1012 to 1014).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Unmasks, and turns the mask to where the next part begins.
fn unmask(data: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = data.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*word) {
            word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    mask.rotate_left(data.len() % 4);
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
