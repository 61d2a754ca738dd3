//! Rooms as emitters name them.

use super::value::Value;
use crate::topic::Room;

/// For whom a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    Everyone,
    /// At least one.
    Rooms(Vec<Room>),
    Nobody,
}

/// `room` of a Python emitter, or a list of rooms of either language. None in a list means everyone, as in Python, where
/// None is the room of all.
pub(super) fn audience(value: &Value, text_rooms: bool) -> Audience {
    let rooms = match value {
        Value::None => return Audience::Everyone,
        Value::List(items) | Value::Tuple(items) => {
            if items.contains(&Value::None) {
                return Audience::Everyone;
            }
            items.iter().filter_map(|item| room(item, text_rooms)).collect()
        }
        one => room(one, text_rooms).into_iter().collect::<Vec<_>>(),
    };
    if rooms.is_empty() { Audience::Nobody } else { Audience::Rooms(rooms) }
}

/// One room; `None` = nobody can be in it. In Python `True` is 1 and `1.0` is 1.
pub(super) fn room(value: &Value, text_rooms: bool) -> Option<Room> {
    let number = match value {
        Value::Str(name) => return Some(Room::Name(name.clone())),
        Value::Big(digits) => return text_rooms.then(|| Room::Name(digits.clone())),
        Value::Int(number) => *number,
        Value::Bool(value) => i64::from(*value),
        // Whole, and small enough that every whole number is one.
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and in the range")]
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => *value as i64,
        _ => return None,
    };
    Some(if text_rooms { Room::Name(number.to_string().into()) } else { Room::Number(number) })
}

/// Rooms in a list, as far as anybody can be in them; empty for anything else.
pub(super) fn list(value: Option<&Value>, text_rooms: bool) -> Vec<Room> {
    let items = value.and_then(Value::items).unwrap_or_default();
    items.iter().filter_map(|item| room(item, text_rooms)).collect()
}

/// `skip_sid`: nothing, one session or a list of them.
pub(super) fn skipped(value: &Value) -> Vec<Room> {
    let one = std::slice::from_ref(value);
    let sids = value.items().unwrap_or(one);
    sids.iter().filter_map(Value::text).map(|sid| Room::Name(sid.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_keep_their_kind() {
        let name = |name: &str| Room::Name(name.into());
        let list = |items: &[Value]| Value::List(items.into());
        for (value, found, as_text) in [
            (Value::None, Audience::Everyone, Audience::Everyone),
            ("42".into(), Audience::Rooms(vec![name("42")]), Audience::Rooms(vec![name("42")])),
            (Value::Int(42), Audience::Rooms(vec![Room::Number(42)]), Audience::Rooms(vec![name("42")])),
            (Value::Float(42.0), Audience::Rooms(vec![Room::Number(42)]), Audience::Rooms(vec![name("42")])),
            (Value::Float(4.5), Audience::Nobody, Audience::Nobody),
            (Value::Big("1".into()), Audience::Nobody, Audience::Rooms(vec![name("1")])),
            (list(&[]), Audience::Nobody, Audience::Nobody),
            (list(&[Value::Dict([].into())]), Audience::Nobody, Audience::Nobody),
            (list(&["a".into(), Value::None]), Audience::Everyone, Audience::Everyone),
            (
                Value::Tuple(["a".into(), Value::Int(1)].into()),
                Audience::Rooms(vec![name("a"), Room::Number(1)]),
                Audience::Rooms(vec![name("a"), name("1")]),
            ),
        ] {
            assert_eq!(audience(&value, false), found, "{value:?}");
            assert_eq!(audience(&value, true), as_text, "{value:?}");
        }
        assert_eq!(skipped(&Value::None), []);
        assert_eq!(skipped(&"s1".into()), [name("s1")]);
        assert_eq!(skipped(&list(&["s1".into(), Value::Int(3), "s2".into()])), [name("s1"), name("s2")]);
    }
}
