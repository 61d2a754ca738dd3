//! One event, checked as the distributor will check it, with its id and the time at which it came in.

use std::sync::Arc;

use bytes::Bytes;
use homing_codec::{Key, Value, to_msgpack};
use homing_core::{
    catalogue::Catalogue,
    clock::Millis,
    event::{ACCEPTED_AT, Event, Invalid, Map},
    queue::{MAX_ITEM, NewItem, QueueName},
};

use crate::lane::Lane;

/// The lane of an event whose type and request name none.
pub(crate) const SYSTEM: &str = "system";

/// Nothing waits for longer than this: what was taken back is remembered for a day more.
const LATEST: Millis = 365 * 86_400_000;

/// An event that may be appended.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) id: String,
    pub(crate) lane: Arc<Lane>,
    pub(crate) queue: QueueName,
    pub(crate) item: NewItem,
}

/// Why an event may not be appended.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A field is.
    Invalid(Invalid),
    /// It is too long.
    TooLarge(Invalid),
}

impl From<Invalid> for Wrong {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Checks `event`, which comes in at `wanted` unless its type has a lane of its own. It gets the id that `id` makes if it
/// has none.
pub(crate) fn check(
    catalogue: &Catalogue,
    lanes: &[Arc<Lane>],
    wanted: Option<&str>,
    mut event: Value,
    id: impl FnOnce() -> String,
    now: Millis,
) -> Result<Checked, Wrong> {
    if let Value::Map(fields) = &mut event {
        let is = |key: &Key, name: &str| matches!(key, Key::Str(own) if own == name.as_bytes());
        // Nobody but the intake says when it came in.
        fields.retain(|(key, _)| !is(key, ACCEPTED_AT));
        let named = |value: &Value| !matches!(value, Value::Null) && value.text().is_none_or(|text| !text.is_empty());
        if !fields.iter().any(|(key, value)| is(key, "id") && named(value)) {
            fields.retain(|(key, _)| !is(key, "id"));
            fields.push((Key::from("id"), Value::Str(id().into_bytes())));
        }
        fields.push((Key::from(ACCEPTED_AT), Value::Int(now)));
    }
    // The distributor reads it so too: it has the field of the intake, so the lane's own map does not count.
    let read = Event::read(&event, &Map::default())?;
    if read.send_at.is_some_and(|at| at > now.saturating_add(LATEST)) {
        return Err(Invalid::new("send_at", "lies more than 365 days ahead").into());
    }
    let kind = catalogue.find(&read.kind)?;
    // An installation with one lane need not call it `system`.
    let usual = match lanes {
        [only] => only.name.as_str(),
        _ => SYSTEM,
    };
    let name = kind.lane.as_deref().or(wanted).unwrap_or(usual);
    let lane = lanes.iter().find(|lane| lane.name == name);
    let lane = lane.ok_or_else(|| {
        let known: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        Invalid::new("lane", format!("there is no lane {name}; there are {}", known.join(", ")))
    })?;
    let kind = catalogue.admit(name, &read)?;
    lane.can_find(&read.to)?;
    catalogue.compose(kind, &read, &lane.locale)?;
    let queue = lane.of(read.to.shard_key()).cloned();
    let queue = queue.ok_or_else(|| Invalid::new("lane", format!("lane {name} has no entry list")))?;
    let body = to_msgpack(&event);
    if body.len() > MAX_ITEM {
        let what = format!("has {} bytes as it is stored, the limit is {MAX_ITEM}", body.len());
        return Err(Wrong::TooLarge(Invalid::new("event", what)));
    }
    let id = read.id.ok_or_else(|| Invalid::new("id", "is missing"))?;
    let item = NewItem { id: Some(id.clone()), body: Bytes::from(body) };
    Ok(Checked { id, lane: Arc::clone(lane), queue, item })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use homing_codec::{Codec, decode};

    const TYPES: &str = "[SENT]\ncode = 7\ntitle = 't'\nbody = '{{ data.goods }}'\n[CHAT]\ncode = 1\nlane = 'private'\n\
                         [ORDER]\ncode = 5\naudience = 'user'\nlocale.en = { body = '{{ data.name }}' }";

    fn lanes() -> Vec<Arc<Lane>> {
        let lane = |name: &str| {
            Arc::new(Lane { name: name.into(), entry: vec![QueueName::new(format!("{name}_1"))], ..Lane::default() })
        };
        vec![lane("private"), lane("system")]
    }

    fn run(json: &str, wanted: Option<&str>) -> Result<Checked, Wrong> {
        let catalogue = Catalogue::parse("types.toml", TYPES).unwrap();
        let event = decode(json.as_bytes(), Codec::Json).unwrap();
        check(&catalogue, &lanes(), wanted, event, || "minted".to_owned(), 1_795_222_800_000)
    }

    #[track_caller]
    fn refused(json: &str, wanted: Option<&str>, expected: &str) {
        match run(json, wanted).unwrap_err() {
            Wrong::Invalid(invalid) => assert_eq!(invalid.to_string(), expected, "{json}"),
            Wrong::TooLarge(_) => panic!("too large"),
        }
    }

    #[test]
    fn what_is_stored_is_the_event_with_id_and_time() {
        let json = r#"{"type":7,"to":{"user":42},"data":{"goods":"大衣"},"extra":1,"accepted_at":5,"id":null}"#;
        let checked = run(json, None).unwrap();
        assert_eq!((checked.id.as_str(), checked.queue.as_str()), ("minted", "system_1"));
        assert_eq!(checked.item.id.as_deref(), Some("minted"));
        let stored = decode(&checked.item.body, Codec::Auto).unwrap();
        let expected = serde_json::json!({"type": 7, "to": {"user": 42}, "data": {"goods": "大衣"}, "extra": 1,
            "id": "minted", "accepted_at": 1_795_222_800_000_i64});
        assert_eq!(stored.to_json(), expected);
        let event = Event::read(&stored, &Map { kind: "push_type".into(), ..Map::default() }).unwrap();
        assert_eq!(event.accepted_at, Some(1_795_222_800_000), "a lane's own map does not touch it");
        let own = run(r#"{"id":17,"type":7,"to":{"user":42},"data":{"goods":"x"}}"#, None).unwrap();
        assert_eq!(own.id, "17");
        assert_eq!(run(r#"{"id":"","type":7,"to":{"user":1},"data":{"goods":1}}"#, None).unwrap().id, "minted");
    }

    #[test]
    fn the_type_names_the_lane_else_the_request() {
        let lane = |json: &str, wanted| run(json, wanted).unwrap().lane.name.clone();
        assert_eq!(lane(r#"{"type":1,"to":{"user":1}}"#, Some("system")), "private");
        assert_eq!(lane(r#"{"type":7,"to":{"user":1},"data":{"goods":1}}"#, Some("private")), "private");
        assert_eq!(lane(r#"{"type":7,"to":{"user":1},"data":{"goods":1}}"#, None), "system");
        refused(
            r#"{"type":7,"to":{"user":1}}"#,
            Some("nowhere"),
            "lane: there is no lane nowhere; there are private, system",
        );
    }

    #[test]
    fn what_the_distributor_would_refuse_is_refused() {
        let far = r#"{"type":7,"to":{"user":"1"},"data":{"goods":"g"},"send_at":"2099-01-01T00:00:00Z"}"#;
        refused(far, None, "send_at: lies more than 365 days ahead");
        refused("[1]", None, "item: expected an object with fields, found a list");
        refused("{}", None, "type: is missing");
        refused(r#"{"type":99,"to":{"user":1}}"#, None, "type: 99 is not in the catalogue of push types");
        refused(r#"{"type":7,"to":{"users":[]},"id":[]}"#, None, "id: expected text, found a list");
        refused(r#"{"type":5,"to":{"users":[1,2]}}"#, None, "to: ORDER is for one user, this event names 2 users");
        refused(
            r#"{"type":7,"to":{"group":"9"},"data":{"goods":1}}"#,
            None,
            "to.group: lane system cannot find the owner of group 9: it has no `owners`",
        );
        let Wrong::Invalid(error) = run(r#"{"type":7,"to":{"user":1}}"#, None).unwrap_err() else {
            panic!("too large")
        };
        assert!(error.to_string().starts_with("data: template SENT.body cannot be filled"), "{error}");
        assert!(run(r#"{"type":5,"to":{"user":1}}"#, None).is_ok());
        assert!(run(r#"{"type":5,"to":{"user":1},"locale":"en"}"#, None).is_err(), "the language that it names counts");
    }

    #[test]
    fn an_item_that_grows_over_the_bound_is_too_large() {
        // A float takes four bytes in JSON and nine in MessagePack.
        let floats = vec!["1.5"; 200_000].join(",");
        let json = format!(r#"{{"type":7,"to":{{"user":1}},"data":{{"goods":1,"x":[{floats}]}}}}"#);
        assert!(matches!(run(&json, None).unwrap_err(), Wrong::TooLarge(_)));
    }
}
