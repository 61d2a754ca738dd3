//! `[channel.websocket]`. Where the streams are stands in `[live]`.

use serde::Deserialize;

use crate::{Error, Result};

/// No store takes a longer message, in bytes.
const MOST: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// What clients get as `data`.
    pub(super) payload: Form,
    /// What clients get as the message's type.
    pub(super) msg_type: Name,
    /// The largest message in bytes, with its id and type.
    pub(super) payload_max: usize,
}

/// What stands in `data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// Title, body, and the custom fields among others.
    #[default]
    Notification,
    /// The custom fields alone.
    Data,
}

/// What a message is called: `msg_type` of plain frames, the event's name in Socket.IO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Name {
    /// The push type's name: `GOODS_SENT`.
    #[default]
    Name,
    /// Its number as text: `7`.
    Code,
}

impl Default for Settings {
    fn default() -> Self {
        Self { payload: Form::default(), msg_type: Name::default(), payload_max: 65_536 }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<()> {
        if self.payload_max == 0 || self.payload_max > MOST {
            return Err(Error::setting("channel.websocket.payload_max", format!("must be 1 to {MOST}")));
        }
        Ok(())
    }
}
