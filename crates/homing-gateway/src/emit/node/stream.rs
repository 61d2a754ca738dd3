//! Entries of the streams adapter.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        bad::Bad,
        command::{Command, Ignored},
        raw,
        value::Value,
    },
    Options, msgpack, packed, request, whom,
};
use crate::parcel::Emit;

/// The fields of an entry that are read.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// `nsp`.
    pub namespace: String,
    /// `type`, in digits.
    pub kind: String,
    /// `data`, where there is some.
    pub data: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    packet: Packet<'a>,
    #[serde(default)]
    opts: Option<Value>,
}

#[derive(Deserialize)]
struct Packet<'a> {
    #[serde(rename = "type")]
    kind: i64,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Reads an entry.
///
/// # Errors
/// Its type or its data cannot be read.
pub fn entry(entry: &Entry, options: &Options) -> Result<Command, Bad> {
    let data = entry.data.as_deref().unwrap_or_default();
    options.fits(data.len())?;
    let namespace: Arc<str> = entry.namespace.as_str().into();
    let ignored = |namespace, why| Ok(Command::Ignored { namespace, why });
    if !options.wants(&namespace) {
        return ignored(namespace, Ignored::Namespace);
    }
    let kind: i64 = entry.kind.parse().map_err(|_| Bad::new("type is no number"))?;
    let written = data.first() == Some(&b'{');
    let unpacked = || -> Result<Value, Bad> {
        if written {
            return raw::parse(data, "data");
        }
        msgpack::read(&STANDARD.decode(data).map_err(|error| Bad(format!("data is neither JSON nor base64: {error}")))?)
    };
    match kind {
        3 if written => emit(raw::parse(data, "data")?, namespace, options),
        3 => {
            let value = unpacked()?;
            let packet = value.get("packet").ok_or_else(|| Bad::new("packet is missing"))?;
            packed(packet, value.get("opts"), namespace, options)
        }
        // Their numbers are those of requests, plus two.
        4..=6 => request::sessions(kind - 2, &unpacked()?, namespace, options),
        7 => ignored(namespace, Ignored::Question),
        9 => ignored(namespace, Ignored::ServerSide),
        1 | 2 | 8 | 10..=13 => ignored(namespace, Ignored::Cluster),
        _ => ignored(namespace, Ignored::Unknown),
    }
}

/// An emit that was written as JSON, whose arguments are passed on as they are.
fn emit(written: Written<'_>, namespace: Arc<str>, options: &Options) -> Result<Command, Bad> {
    if !matches!(written.packet.kind, 2 | 5) {
        return Ok(Command::Ignored { namespace, why: Ignored::Unknown });
    }
    let opts = written.opts.as_ref();
    let Some(rooms) = whom(opts, options) else { return Ok(Command::Ignored { namespace, why: Ignored::Nobody }) };
    if !raw::is_array(written.packet.data) {
        return Err(Bad::new("packet.data is no array"));
    }
    let first = raw::elements(written.packet.data)?.first().is_some_and(|event| event.get().starts_with('"'));
    if !first {
        return Err(Bad::new("packet.data[0] is no event's name"));
    }
    raw::check(written.packet.data, 0)?;
    let array = raw::compact(written.packet.data.get()).into_owned().into();
    let volatile = opts.and_then(|opts| opts.get("flags")?.get("volatile")) == Some(&Value::Bool(true));
    let emit = Emit { namespace, array, binary: Vec::new() };
    Ok(Command::Emit { emit, rooms, callback: None, host: None, volatile })
}
