//! Foreign bytes into one [`Value`]; hostile input is answered with a position.
//!
//! Business services write the queues in what their language has at hand: PHP `serialize`, JSON, MessagePack. The codec
//! of an item shows in its first byte ([`sniff`]):
//!
//! ```text
//! a: O: s: i: d: b: N; C: E:              PHP serialize
//! { [  (after space, tab, CR or LF)       JSON
//! 80..9f  dc..df                          MessagePack, a map or an array
//! ```
//!
//! Whatever the bytes are, [`decode`] neither panics nor overflows the stack, and its memory is bounded by the size of the
//! input: lengths and counts are claims that are checked against what is left. Strings stay bytes, because those of PHP
//! and of Python 2 are not text until somebody says in which encoding.

#![warn(missing_docs)]

mod input;
mod json;
mod msgpack;
mod php;
#[cfg(test)]
mod properties;
mod repeats;
mod value;

use std::{borrow::Cow, fmt, str::FromStr};

pub use msgpack::to_msgpack;
pub use php::to_php;
pub use value::{Key, Value};

/// Containers inside containers that [`decode`] accepts; the 65th level is an error.
pub const MAX_DEPTH: usize = 64;

/// Bytes that [`decode`] accepts (1 MiB), the bound of one queue item.
pub const MAX_INPUT: usize = 1 << 20;

/// How the bytes of an item are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Whatever the first byte says.
    #[default]
    Auto,
    /// PHP `serialize`.
    Php,
    /// JSON (RFC 8259).
    Json,
    /// MessagePack.
    Msgpack,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Php => "php",
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        })
    }
}

/// A codec name that is none of `auto`, `php`, `json` and `msgpack`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec {0:?}: expected auto, php, json or msgpack")]
pub struct UnknownCodec(pub String);

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        match name {
            "auto" => Ok(Self::Auto),
            "php" => Ok(Self::Php),
            "json" => Ok(Self::Json),
            "msgpack" => Ok(Self::Msgpack),
            _ => Err(UnknownCodec(name.to_owned())),
        }
    }
}

/// Why bytes are no value, and where: reads as `php: expected ';' after an integer at byte 17`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{codec}: {what} at byte {position}")]
pub struct Error {
    /// Which codec refused them; [`Codec::Auto`] if no codec begins so.
    pub codec: Codec,
    /// Offset of the offending byte, at most the length of the input (where it ends too early).
    pub position: usize,
    /// What is wrong there, without the position.
    pub what: Cow<'static, str>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The codec that an item beginning with this byte is written in, or `None` if no codec's container (and no PHP value)
/// begins so. White space counts as JSON, which may begin with it.
pub fn sniff(first: u8) -> Option<Codec> {
    match first {
        b'a' | b'O' | b's' | b'i' | b'd' | b'b' | b'N' | b'C' | b'E' => Some(Codec::Php),
        b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n' => Some(Codec::Json),
        0x80..=0x9f | 0xdc..=0xdf => Some(Codec::Msgpack),
        _ => None,
    }
}

/// Reads the one value that `bytes` hold, whole: trailing bytes are an error (JSON may end with white space).
///
/// Errors: input above [`MAX_INPUT`], containers deeper than [`MAX_DEPTH`], bytes that are not of this codec, and for
/// [`Codec::Auto`] bytes that begin like none. A key that occurs twice in one map is no error: the last value wins and
/// stands where the key stood first, as in PHP.
pub fn decode(bytes: &[u8], codec: Codec) -> Result<Value> {
    let codec = match (codec, bytes.first()) {
        (Codec::Auto, Some(&first)) => sniff(first).ok_or_else(|| Error {
            codec,
            position: 0,
            what: format!(
                "neither PHP serialize nor a JSON or msgpack container begins with '{}'",
                first.escape_ascii()
            )
            .into(),
        })?,
        _ => codec,
    };
    if bytes.len() > MAX_INPUT {
        let what = format!("input of {} bytes is longer than {MAX_INPUT}", bytes.len());
        return Err(Error { codec, position: MAX_INPUT, what: what.into() });
    }
    if bytes.is_empty() {
        return Err(Error { codec, position: 0, what: "empty input".into() });
    }
    match codec {
        Codec::Php => php::read(bytes),
        Codec::Msgpack => msgpack::read(bytes),
        // Auto was resolved above, except for empty input.
        Codec::Json | Codec::Auto => json::read(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_names_the_codec() {
        for (input, codec) in [
            (&b"a:0:{}"[..], Codec::Php),
            (b"i:5;", Codec::Php),
            (b"N;", Codec::Php),
            (b"{}", Codec::Json),
            (b"\r\n\t []", Codec::Json),
            (b"\x80", Codec::Msgpack),
            (b"\x90", Codec::Msgpack),
            (b"\xdc\0\0", Codec::Msgpack),
            (b"\xdf\0\0\0\0", Codec::Msgpack),
        ] {
            assert_eq!(sniff(input[0]), Some(codec), "{}", input.escape_ascii());
            assert_eq!(decode(input, Codec::Auto), decode(input, codec));
            decode(input, codec).unwrap();
        }
    }

    #[test]
    fn errors_say_codec_position_and_reason() {
        for (input, codec, message) in [
            (&b""[..], Codec::Auto, "auto: empty input at byte 0"),
            (b"", Codec::Php, "php: empty input at byte 0"),
            (
                b"hello",
                Codec::Auto,
                "auto: neither PHP serialize nor a JSON or msgpack container begins with 'h' at byte 0",
            ),
            (
                b"\xc1",
                Codec::Auto,
                "auto: neither PHP serialize nor a JSON or msgpack container begins with '\\xc1' at byte 0",
            ),
            (b"i:5", Codec::Auto, "php: expected ';' after an integer at byte 3"),
            (b"[1,]", Codec::Auto, "json: trailing comma at byte 3"),
            (b"\x91", Codec::Auto, "msgpack: an array of 1 elements, but 0 bytes are left at byte 0"),
        ] {
            assert_eq!(decode(input, codec).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn input_above_the_limit_is_refused_unread() {
        let head = b"s:1048563:\"";
        let mut input = [&head[..], &vec![b'x'; 1_048_563], b"\";"].concat();
        assert_eq!(input.len(), MAX_INPUT);
        decode(&input, Codec::Php).unwrap();
        input.push(b' ');
        for codec in [Codec::Auto, Codec::Php, Codec::Json, Codec::Msgpack] {
            let error = decode(&input, codec).unwrap_err();
            assert_eq!(error.position, MAX_INPUT);
            assert_eq!(error.what, "input of 1048577 bytes is longer than 1048576");
        }
    }

    #[test]
    fn codecs_have_names() {
        for codec in [Codec::Auto, Codec::Php, Codec::Json, Codec::Msgpack] {
            assert_eq!(codec.to_string().parse(), Ok(codec));
            let name = serde_json::Value::String(codec.to_string());
            assert_eq!(serde_json::from_value::<Codec>(name).unwrap(), codec);
        }
        assert_eq!(
            "PHP".parse::<Codec>().unwrap_err().to_string(),
            "unknown codec \"PHP\": expected auto, php, json or msgpack"
        );
    }
}
