//! One request of JSON-RPC 2.0 (section 4), and its answer (section 5).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::fault::{Fault, Shown, code};

/// A request. Without an id it is a notification: nobody is told what became of it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Option<&'a RawValue>,
}

/// What is no request, and the id that its answer names.
#[derive(Debug)]
pub(super) struct Broken<'a> {
    pub(super) id: &'a RawValue,
    pub(super) fault: Fault,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// `null` is there, too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Request<'a> {
    /// Reads one that is valid JSON.
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, Broken<'a>> {
        let wrong = |id, message: String| Broken { id, fault: Fault::new(code::REQUEST, message) };
        if !raw.get().starts_with('{') {
            return Err(wrong(RawValue::NULL, "a request is an object".to_owned()));
        }
        let members: Members<'a> = serde_json::from_str(raw.get()).map_err(|e| wrong(RawValue::NULL, e.to_string()))?;
        let legal = |id: &&RawValue| matches!(id.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9' | b'n'));
        let shown = members.id.filter(legal).unwrap_or(RawValue::NULL);
        let text = |raw: &'a RawValue| serde_json::from_str::<Cow<'a, str>>(raw.get()).ok();
        if members.id.is_some_and(|id| !legal(&id)) {
            return Err(wrong(shown, "id: expected text, a number or null".to_owned()));
        }
        if members.jsonrpc.and_then(text).as_deref() != Some("2.0") {
            return Err(wrong(shown, "jsonrpc: expected \"2.0\"".to_owned()));
        }
        let Some(method) = members.method.and_then(text) else {
            return Err(wrong(shown, "method: expected text".to_owned()));
        };
        if members.params.is_some_and(|params| !params.get().starts_with(['[', '{'])) {
            return Err(wrong(shown, "params: expected an object or an array".to_owned()));
        }
        Ok(Self { id: members.id, method, params: members.params })
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Shown<'a>>,
    id: &'a RawValue,
}

/// The answer to the request with that id.
pub(super) fn answer(id: &RawValue, outcome: Result<&RawValue, &Fault>) -> Box<RawValue> {
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(fault) => (None, Some(fault.shown())),
    };
    // Texts, numbers and raw JSON have no way to fail.
    to_raw_value(&Answer { jsonrpc: "2.0", result, error, id }).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
