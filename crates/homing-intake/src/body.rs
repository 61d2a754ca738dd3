//! A request's body: which events it holds, and where each begins. Splitting reads no event; [`Posted::events`] decodes
//! one at a time, so that the memory of a batch is that of its largest event.

use std::ops::Range;

use axum::http::{HeaderMap, header};
use homing_codec::{Codec, MAX_INPUT, Value, decode};
use homing_core::event::Invalid;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    msgpack::{Head, Walk},
    refusal::{Fault, Refusal},
    settings::MAX_EVENTS,
};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Msgpack,
}

/// The events of a body.
#[derive(Debug)]
pub(crate) struct Posted<'a> {
    body: &'a [u8],
    format: Format,
    /// Did it hold a list?
    pub(crate) batch: bool,
    places: Vec<Range<usize>>,
}

/// JSON unless the content type says MessagePack: what `curl -d` announces is JSON too.
pub(crate) fn format_of(headers: &HeaderMap) -> Format {
    const MSGPACK: [&str; 3] = ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"];
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if MSGPACK.iter().any(|m| m.eq_ignore_ascii_case(kind)) { Format::Msgpack } else { Format::Json }
}

/// Finds the events: the body itself, the elements of a list, or those of the only field `list`.
pub(crate) fn split<'a>(body: &'a [u8], format: Format, list: &'static str) -> Result<Posted<'a>, Refusal> {
    let places = match format {
        Format::Json => split_json(body, list),
        Format::Msgpack => split_msgpack(body, list),
    };
    let places = places.map_err(|what| Refusal::bad("body", what))?;
    let (batch, places) = match places {
        Some(places) => (true, places),
        None => (false, std::iter::once(0..body.len()).collect()),
    };
    if places.is_empty() {
        return Err(Refusal::bad(list, "expected at least one"));
    }
    if places.len() > MAX_EVENTS {
        return Err(Refusal::bad(list, format!("expected at most {MAX_EVENTS}")));
    }
    Ok(Posted { body, format, batch, places })
}

impl<'a> Posted<'a> {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Each event decoded, or what is wrong with its bytes; positions are those of the body.
    pub(crate) fn events(&self) -> impl Iterator<Item = Result<Value, Fault>> + Send + use<'_, 'a> {
        let codec = if self.format == Format::Json { Codec::Json } else { Codec::Msgpack };
        self.places.iter().enumerate().map(move |(i, place)| {
            let bytes = self.body.get(place.clone()).unwrap_or_default();
            let index = self.batch.then_some(i);
            if bytes.len() > MAX_INPUT {
                let what = format!("has {} bytes, the limit is {MAX_INPUT}", bytes.len());
                return Err(Fault { too_large: true, ..Fault::new(index, Invalid::new("event", what)) });
            }
            decode(bytes, codec).map_err(|error| {
                let what = format!("{}: {} at byte {}", error.codec, error.what, place.start + error.position);
                Fault::new(index, Invalid::new("event", what))
            })
        })
    }
}

/// `None` = the body is one event.
type Places = Option<Vec<Range<usize>>>;

fn split_json(body: &[u8], list: &'static str) -> Result<Places, String> {
    let raw: Vec<&RawValue> = match body.trim_ascii_start().first() {
        None => return Err("is empty: expected an event or a list of events".to_owned()),
        Some(b'[') => serde_json::from_slice::<Elements<'_>>(body).map_err(|e| format!("json: {e}"))?.0,
        Some(b'{') => {
            // What is no event is found by decoding it, with a better word for it.
            let Ok(wrapper) = serde_json::Deserializer::from_slice(body).deserialize_map(Wrapper { list }) else {
                return if body.len() > MAX_INPUT { Err(json_error(body)) } else { Ok(None) };
            };
            match wrapper {
                (None, _) => return Ok(None),
                (Some(_), Some(other)) => {
                    return Err(format!("`{other}` beside `{list}`: expected nothing else there"));
                }
                (Some(raw), None) => {
                    serde_json::from_slice::<IgnoredAny>(body).map_err(|e| format!("json: {e}"))?;
                    serde_json::from_str::<Elements<'_>>(raw.get()).map_err(|e| format!("{list}: json: {e}"))?.0
                }
            }
        }
        Some(other) => return Err(format!("json: expected `{{` or `[`, found `{}`", other.escape_ascii())),
    };
    let place = |raw: &RawValue| {
        // Both point into the body.
        let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
        start..start + raw.get().len()
    };
    Ok(Some(raw.into_iter().map(place).collect()))
}

fn json_error(body: &[u8]) -> String {
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => "json: a list is expected there".to_owned(),
        Err(error) => format!("json: {error}"),
    }
}

/// The elements of a list, unread; behind the bound they are passed and not kept.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while kept.len() <= MAX_EVENTS {
                    match elements.next_element()? {
                        Some(element) => kept.push(element),
                        None => return Ok(Elements(kept)),
                    }
                }
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Elements(kept))
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

/// An object with the field `list`, and the name of another field if there is one.
struct Wrapper {
    list: &'static str,
}

impl<'de> Visitor<'de> for Wrapper {
    type Value = (Option<&'de RawValue>, Option<String>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut list, mut other) = (None, None);
        while let Some(field) = fields.next_key::<String>()? {
            if field == self.list {
                list = Some(fields.next_value()?);
            } else {
                other.get_or_insert(field);
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok((list, other))
    }
}

fn split_msgpack(body: &[u8], list: &str) -> Result<Places, String> {
    let at = |(at, what)| format!("msgpack: {what} at byte {at}");
    let mut walk = Walk::new(body);
    let places = match walk.head().map_err(at)? {
        Head::List(count) => Some(walk.places(count).map_err(at)?),
        Head::Map(count) => {
            let mut places = None;
            for _ in 0..count {
                let key = match walk.head().map_err(at)? {
                    Head::Text(range) => body.get(range).unwrap_or_default(),
                    // An event may have a number for a key; no container is one, and decoding says so.
                    Head::Other => &[],
                    Head::List(_) | Head::Map(_) => return Ok(None),
                };
                if key != list.as_bytes() {
                    walk.skip().map_err(at)?;
                    continue;
                }
                if count > 1 {
                    return Err(format!("expected nothing beside `{list}`"));
                }
                match walk.head().map_err(at)? {
                    Head::List(count) => places = Some(walk.places(count).map_err(at)?),
                    _ => return Err(format!("{list}: expected a list")),
                }
            }
            places
        }
        Head::Text(_) | Head::Other => return Err("msgpack: expected a map or an array".to_owned()),
    };
    walk.end().map_err(at)?;
    Ok(places)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
