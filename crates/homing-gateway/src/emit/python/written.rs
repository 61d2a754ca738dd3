//! The JSON eras. `data` is passed on as it was written: numbers of any length stay exact.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        bad::Bad,
        command::{Arguments, Command},
        raw,
        value::Value,
    },
    Options,
    message::{Content, Message},
};

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(default = "none")]
    method: Value,
    #[serde(default = "none")]
    namespace: Value,
    #[serde(default = "none")]
    room: Value,
    #[serde(default = "none")]
    skip_sid: Value,
    #[serde(default = "none")]
    callback: Value,
    #[serde(default = "none")]
    host_id: Value,
    #[serde(default = "none")]
    sid: Value,
    #[serde(default = "none")]
    id: Value,
    #[serde(default, deserialize_with = "raw::present")]
    binary: Option<Value>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

fn none() -> Value {
    Value::None
}

struct Written<'a> {
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    args: Option<&'a RawValue>,
    binary: Option<Value>,
    raw: bool,
}

pub(super) fn read(bytes: &[u8], options: &Options) -> Result<Command, Bad> {
    let fields: Fields<'_> = raw::parse(bytes, "message")?;
    let Fields { method, namespace, room, skip_sid, callback, host_id, sid, id, binary, event, data, args } = fields;
    let message = Message { method, namespace, room, skip_sid, callback, host_id, sid, id };
    message.command(&Written { event, data, args, binary, raw: options.raw }, options)
}

impl Content for Written<'_> {
    fn event(&self) -> Result<Arguments, Bad> {
        let event = self.event.ok_or_else(|| Bad::new("event is missing: text is needed"))?.get();
        if !event.starts_with('"') {
            return Err(Bad::new("event is not text"));
        }
        let (data, attachments) = match (self.data, &self.binary) {
            (Some(data), Some(Value::Bool(true))) => attachments(data)?,
            (data, _) => (data, Vec::new()),
        };
        let mut array = format!("[{}", raw::compact(event));
        let arguments = match data {
            None => Vec::new(),
            Some(data) => {
                raw::check(data, attachments.len())?;
                if self.binary.is_some() && !self.raw && raw::is_array(data) {
                    raw::elements(data)?
                } else {
                    vec![data]
                }
            }
        };
        // A lone null is what the reference makes of no argument at all.
        if !matches!(arguments.as_slice(), [lone] if lone.get() == "null") {
            for argument in arguments {
                array.push(',');
                array.push_str(&raw::compact(argument.get()));
            }
        }
        array.push(']');
        Ok((array.into(), attachments))
    }

    fn args(&self) -> Result<Box<RawValue>, Bad> {
        match self.args {
            Some(args) if raw::is_array(args) => Ok(args.to_owned()),
            _ => Err(Bad::new("args is no array")),
        }
    }
}

/// `[structure, base64, base64, ...]`.
fn attachments(data: &RawValue) -> Result<(Option<&RawValue>, Vec<Bytes>), Bad> {
    if !raw::is_array(data) {
        return Err(Bad::new("data is no array, although binary is true"));
    }
    let mut parts = raw::elements(data)?.into_iter();
    let structure = parts.next();
    let decode = |(number, part): (usize, &RawValue)| {
        let text: String = serde_json::from_str(part.get()).map_err(|_| Bad(format!("data[{number}] is not text")))?;
        STANDARD.decode(text).map(Bytes::from).map_err(|error| Bad(format!("data[{number}] is no base64: {error}")))
    };
    let attachments = parts.enumerate().map(|(i, part)| decode((i + 1, part))).collect::<Result<_, _>>()?;
    Ok((structure, attachments))
}
