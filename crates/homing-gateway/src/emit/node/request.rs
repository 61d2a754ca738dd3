//! The requests channel: servers and emitters that move sessions.

use std::sync::Arc;

use super::{
    super::{
        bad::Bad,
        command::{Command, Ignored},
        raw, rooms,
        value::Value,
    },
    Options, msgpack, packed, text, whom,
};

/// Reads a message of the channel `socket.io-request#<nsp>#`. It names no namespace but in a packet; the channel does.
///
/// # Errors
/// It is neither JSON nor msgpack, or no request.
pub fn request(bytes: &[u8], namespace: &Arc<str>, options: &Options) -> Result<Command, Bad> {
    options.fits(bytes.len())?;
    let value: Value = if bytes.first() == Some(&b'{') { raw::parse(bytes, "request")? } else { msgpack::read(bytes)? };
    let namespace = Arc::clone(namespace);
    let Some(Value::Int(kind)) = value.get("type") else { return Err(Bad::new("type is no number")) };
    let why = match kind {
        2..=4 => return sessions(*kind, &value, namespace, options),
        0 | 1 | 5 => Ignored::Question,
        6 => Ignored::ServerSide,
        7 => {
            let packet = value.get("packet").ok_or_else(|| Bad::new("packet is missing"))?;
            let namespace = text(packet.get("nsp"), "nsp")?.unwrap_or(namespace);
            return packed(packet, value.get("opts"), namespace, options);
        }
        _ => Ignored::Unknown,
    };
    Ok(Command::Ignored { namespace, why })
}

/// 2 and the rooms to enter, 3 and those to leave, 4 and whether the connections end, too.
pub(super) fn sessions(kind: i64, value: &Value, namespace: Arc<str>, options: &Options) -> Result<Command, Bad> {
    if !options.wants(&namespace) {
        return Ok(Command::Ignored { namespace, why: Ignored::Namespace });
    }
    let close = value.get("close") == Some(&Value::Bool(true));
    let Some(opts) = value.get("opts").filter(|opts| matches!(opts, Value::Dict(_))) else {
        return one(kind, value, namespace, close, options);
    };
    let named = rooms::list(value.get("rooms"), options.text_rooms);
    let Some(whom) = whom(Some(opts), options).filter(|_| kind == 4 || !named.is_empty()) else {
        return Ok(Command::Ignored { namespace, why: Ignored::Nobody });
    };
    Ok(match kind {
        2 => Command::EnterAll { namespace, whom, rooms: named },
        3 => Command::LeaveAll { namespace, whom, rooms: named },
        _ => Command::DisconnectAll { namespace, whom, close },
    })
}

/// The form of old adapters: one session by its id.
fn one(kind: i64, value: &Value, namespace: Arc<str>, close: bool, options: &Options) -> Result<Command, Bad> {
    let sid = text(value.get("sid"), "sid")?.ok_or_else(|| Bad::new("neither opts nor sid"))?;
    if kind == 4 {
        return Ok(Command::Disconnect { namespace, sid, close });
    }
    let room = value.get("room").and_then(|room| rooms::room(room, options.text_rooms));
    let room = room.ok_or_else(|| Bad::new("room is no room"))?;
    Ok(match kind {
        2 => Command::Enter { namespace, sid, room },
        _ => Command::Leave { namespace, sid, room },
    })
}
