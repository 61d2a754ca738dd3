//! The pickle eras.

use serde_json::value::RawValue;

use super::{
    super::{
        bad::Bad,
        command::{Arguments, Command},
        json_text::{self, Rules},
        pickle,
        value::Value,
    },
    Options,
    message::{Content, Message, field},
};

struct Pickled<'a>(&'a Value);

pub(super) fn read(bytes: &[u8], options: &Options) -> Result<Command, Bad> {
    let value = pickle::read(bytes, &options.limits).map_err(|rejected| Bad::new(rejected.to_string()))?;
    if !matches!(value, Value::Dict(_)) {
        return Err(Bad(format!("the message is {}, not a dict", value.kind())));
    }
    let take = |name| value.get(name).cloned().unwrap_or(Value::None);
    let message = Message {
        method: take("method"),
        namespace: take("namespace"),
        room: take("room"),
        skip_sid: take("skip_sid"),
        callback: take("callback"),
        host_id: take("host_id"),
        sid: take("sid"),
        id: take("id"),
    };
    message.command(&Pickled(&value), options)
}

impl Content for Pickled<'_> {
    fn event(&self) -> Result<Arguments, Bad> {
        let event = self.0.get("event").unwrap_or(&Value::None);
        let event = event.text().ok_or_else(|| field("event", event, "text"))?;
        let (mut array, mut binary) = (String::from("["), Vec::new());
        json_text::string(event, &mut array);
        let arguments = match self.0.get("data") {
            None | Some(Value::None) => &[],
            Some(Value::Tuple(items)) => &**items,
            Some(one) => std::slice::from_ref(one),
        };
        for argument in arguments {
            array.push(',');
            json_text::write(argument, Rules::Python, &mut array, &mut binary)
                .map_err(|Bad(why)| Bad(format!("data: {why}")))?;
        }
        array.push(']');
        Ok((array.into(), binary))
    }

    fn args(&self) -> Result<Box<RawValue>, Bad> {
        let args = self.0.get("args").unwrap_or(&Value::None);
        if args.items().is_none() {
            return Err(field("args", args, "a list"));
        }
        let text = json_text::plain(args, Rules::Python).map_err(|Bad(why)| Bad(format!("args: {why}")))?;
        RawValue::from_string(text).map_err(|error| Bad(format!("args: {error}")))
    }
}
