//! A message's fields, whatever they were written in, and what they ask for.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    super::{
        bad::Bad,
        command::{Arguments, Command, Ignored, Route},
        json_text::{self, Rules},
        rooms::{self, Audience},
        value::Value,
    },
    Options,
};
use crate::parcel::{Emit, Rooms};

/// The fields, but for those that are passed on.
pub(super) struct Message {
    pub(super) method: Value,
    pub(super) namespace: Value,
    pub(super) room: Value,
    pub(super) skip_sid: Value,
    pub(super) callback: Value,
    pub(super) host_id: Value,
    pub(super) sid: Value,
    pub(super) id: Value,
}

/// The fields that are passed on.
pub(super) trait Content {
    /// The event's array and its attachments, from `event`, `data` and `binary`.
    fn event(&self) -> Result<Arguments, Bad>;

    /// `args` of a callback.
    fn args(&self) -> Result<Box<RawValue>, Bad>;
}

impl Message {
    /// What it asks for.
    pub(super) fn command(&self, content: &dyn Content, options: &Options) -> Result<Command, Bad> {
        let method = self.method.text().ok_or_else(|| field("method", &self.method, "text"))?;
        let namespace = match &self.namespace {
            Value::None => "/".into(),
            Value::Str(name) => Arc::clone(name),
            other => return Err(field("namespace", other, "text")),
        };
        let host = self.host_id.text();
        let own = host.is_some() && host == options.own_host.as_ref();
        let ignored = |namespace, why| Ok(Command::Ignored { namespace, why });
        match (&**method, own) {
            ("callback", true) => {
                let (sid, id) = (json(&self.sid, "sid")?, json(&self.id, "id")?);
                Ok(Command::Answer { namespace, sid, id, args: content.args()? })
            }
            ("callback", false) => ignored(namespace, Ignored::OtherHost),
            (_, true) => ignored(namespace, Ignored::Own),
            ("emit", _) => self.emit(content, namespace, options),
            ("enter_room", _) => {
                let sid = self.sid()?;
                self.with_room(namespace, options, |namespace, room| Command::Enter { namespace, sid, room })
            }
            ("leave_room", _) => {
                let sid = self.sid()?;
                self.with_room(namespace, options, |namespace, room| Command::Leave { namespace, sid, room })
            }
            ("close_room", _) => {
                self.with_room(namespace, options, |namespace, room| Command::CloseRoom { namespace, room })
            }
            ("disconnect", _) => Ok(Command::Disconnect { namespace, sid: self.sid()?, close: false }),
            _ => ignored(namespace, Ignored::Unknown),
        }
    }

    fn emit(&self, content: &dyn Content, namespace: Arc<str>, options: &Options) -> Result<Command, Bad> {
        let to = match rooms::audience(&self.room, options.text_rooms) {
            Audience::Everyone => Vec::new(),
            Audience::Rooms(rooms) => rooms,
            Audience::Nobody => return Ok(Command::Ignored { namespace, why: Ignored::Nobody }),
        };
        let (array, binary) = content.event()?;
        Ok(Command::Emit {
            emit: Emit { namespace, array, binary },
            rooms: Rooms { to, except: rooms::skipped(&self.skip_sid) },
            callback: self.route()?,
            host: self.host_id.text().cloned(),
            volatile: false,
        })
    }

    fn route(&self) -> Result<Option<Route>, Bad> {
        let [room, namespace, id] = match (&self.callback, self.callback.items()) {
            (Value::None, _) => return Ok(None),
            (_, Some([room, namespace, id])) => [room, namespace, id],
            (other, _) => return Err(field("callback", other, "room, namespace and id")),
        };
        let namespace = namespace.text().ok_or_else(|| field("callback[1]", namespace, "text"))?;
        Ok(Some(Route {
            room: json(room, "callback[0]")?,
            namespace: Arc::clone(namespace),
            id: json(id, "callback[2]")?,
        }))
    }

    fn sid(&self) -> Result<Arc<str>, Bad> {
        self.sid.text().cloned().ok_or_else(|| field("sid", &self.sid, "text"))
    }

    fn with_room(
        &self,
        namespace: Arc<str>,
        options: &Options,
        command: impl FnOnce(Arc<str>, crate::topic::Room) -> Command,
    ) -> Result<Command, Bad> {
        let room = rooms::room(&self.room, options.text_rooms).ok_or_else(|| field("room", &self.room, "a room"))?;
        Ok(command(namespace, room))
    }
}

fn json(value: &Value, name: &str) -> Result<String, Bad> {
    json_text::plain(value, Rules::Python).map_err(|Bad(why)| Bad(format!("{name}: {why}")))
}

/// A field is not what it must be.
pub(super) fn field(name: &str, value: &Value, wanted: &str) -> Bad {
    match value {
        Value::None => Bad(format!("{name} is missing: {wanted} is needed")),
        other => Bad(format!("{name} is {}, not {wanted}", other.kind())),
    }
}
