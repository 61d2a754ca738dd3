//! What python-socketio publishes: one message per call of a manager, in any of its wire eras.
//!
//! | era | versions | `data` |
//! |---|---|---|
//! | pickle | up to 5.13 | as it is; a tuple means several arguments |
//! | JSON | 5.14.0, 5.14.1 | as it is; there is no key `binary` |
//! | JSON | 5.14.2 to 5.15.0 | as it is; with `binary` bytes travel as base64 |
//! | JSON | from 5.15.1 on | a list of arguments, always |
//!
//! The first byte tells JSON (`{`) from pickle; the key `binary` and whether `data` is an array tell the rest. A bare list
//! of 5.14.2 to 5.15.0 cannot be told from a list of arguments and is taken for that, unless the source is set to `raw`.

mod message;
mod pickled;
mod written;

use std::sync::Arc;

use super::{bad::Bad, command::Command, pickle::Limits};

/// How messages of one source are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The gateway's own id among hosts.
    pub own_host: Option<Arc<str>>,
    /// A room that is a number is the room of that text.
    pub text_rooms: bool,
    /// A list in `data` is one argument.
    pub raw: bool,
    /// What a pickle may cost; `bytes` holds for JSON, too.
    pub limits: Limits,
}

/// Reads one message.
///
/// # Errors
/// It is neither JSON nor a pickle that may be read, it has no method, or a field is not what it must be. The words name
/// the field and the position.
pub fn read(bytes: &[u8], options: &Options) -> Result<Command, Bad> {
    if bytes.len() > options.limits.bytes {
        return Err(Bad::new(format!("{} bytes are more than {}", bytes.len(), options.limits.bytes)));
    }
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') { written::read(bytes, options) } else { pickled::read(bytes, options) }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
