//! `[agent]`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use homing_codec::{MAX_INPUT, Value};
use serde::Deserialize;

use super::focus;
use crate::error::{Error, Result};

/// What an installation may decide about its agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Other machines may reach it. The protocol knows neither names nor passwords: whoever can connect can push.
    pub public: bool,
    /// The lane of its events.
    pub lane: String,
    /// A client that is silent for so long is sent away.
    #[serde(with = "homing_core::duration")]
    pub idle: Duration,
    /// Longest silence within a frame.
    #[serde(with = "homing_core::duration")]
    pub partial: Duration,
    /// So long an event is offered to a queue that does not take it; then the connection is closed without an answer, and
    /// the client sends it again. Original clients wait 20 s.
    #[serde(with = "homing_core::duration")]
    pub give_up: Duration,
    /// Largest frame in bytes.
    pub max_frame: usize,
    /// Connections at once.
    pub connections: usize,
    /// Frames of one connection that are worked together.
    pub window: usize,
    /// The dialects that are understood.
    pub dialects: Vec<Dialect>,
    /// Type of an event by `data.push_type` and `data.type`: the first rule that fits.
    pub types: Vec<TypeRule>,
    /// Type of an event that no rule fits.
    pub default_type: String,
    /// Who wrote what a group is told, and so is not told himself.
    pub author: Author,
    /// Who looks at the app.
    pub focus: Option<focus::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7702)),
            public: false,
            lane: "agent".to_owned(),
            idle: Duration::from_secs(900),
            partial: Duration::from_secs(5),
            give_up: Duration::from_secs(15),
            max_frame: MAX_INPUT,
            connections: 256,
            window: 1_000,
            dialects: vec![Dialect::Framed, Dialect::Bare],
            types: Vec::new(),
            default_type: "AGENT_SILENT".to_owned(),
            author: Author::default(),
            focus: None,
        }
    }
}

/// How jobs follow one another on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// With their length in front, each answered with a byte 00.
    Framed,
    /// One behind the other, not answered.
    Bare,
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Framed => "framed",
            Self::Bare => "bare",
        }
    }
}

/// A value that services write as a number, as text, or as true and false.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// `true`
    Flag(bool),
    /// `1`
    Number(i64),
    /// `"1"`
    Text(String),
}

impl Text {
    /// Does `value` say the same? As in Python, whose clients these are, true is 1 and false is 0.
    pub(super) fn is(&self, value: Option<&Value>) -> bool {
        let text = match value {
            Some(Value::Bool(flag)) => Cow::Borrowed(if *flag { "1" } else { "0" }),
            Some(value) => match value.text() {
                Some(text) => text,
                None => return false,
            },
            None => return false,
        };
        match self {
            Self::Flag(flag) => text == if *flag { "1" } else { "0" },
            Self::Number(number) => text == number.to_string(),
            Self::Text(own) => text == own.as_str(),
        }
    }
}

/// Have these fields of `data` these values?
pub(super) fn fits(when: &BTreeMap<String, Text>, data: &Value) -> bool {
    when.iter().all(|(field, value)| value.is(data.get(field)))
}

/// A line of the table of types; what it does not name fits always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeRule {
    /// `data.push_type`
    pub push_type: Option<Text>,
    /// `data.type`
    pub r#type: Option<Text>,
    /// Other fields of `data`.
    #[serde(default)]
    pub when: BTreeMap<String, Text>,
    /// The event's type, by its name in the catalogue.
    pub event: String,
}

impl TypeRule {
    /// Is it for a message with this `data`?
    pub(super) fn is_for(&self, data: &Value) -> bool {
        let has = |own: &Option<Text>, field: &str| own.as_ref().is_none_or(|own| own.is(data.get(field)));
        has(&self.push_type, "push_type") && has(&self.r#type, "type") && fits(&self.when, data)
    }
}

/// Where an author stands, and when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Author {
    /// The field of `data` with the author's id.
    pub field: String,
    /// It counts only where these fields of `data` have these values.
    pub when: BTreeMap<String, Text>,
}

impl Default for Author {
    fn default() -> Self {
        let when = [("push_type", Text::Text("talk".to_owned())), ("sender_type", Text::Number(1))];
        Self { field: "sender".to_owned(), when: when.map(|(name, value)| (name.to_owned(), value)).into() }
    }
}

impl Options {
    /// Do the settings fit together?
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |field: &'static str, what: String| Err(Error::Agent { field, what });
        if !self.public && !self.listen.ip().to_canonical().is_loopback() {
            let what =
                format!("{} can be reached from other machines, which may then push: say public = true", self.listen);
            return refuse("listen", what);
        }
        if !(64..=MAX_INPUT).contains(&self.max_frame) {
            return refuse("max_frame", format!("{} is not within 64 to {MAX_INPUT}", self.max_frame));
        }
        if self.connections == 0 {
            return refuse("connections", "must be at least 1".to_owned());
        }
        if !(1..=10_000).contains(&self.window) {
            return refuse("window", format!("{} is not within 1 to 10000", self.window));
        }
        if self.dialects.is_empty() {
            return refuse("dialects", "names none: expected framed, bare or both".to_owned());
        }
        for (field, span) in [("idle", self.idle), ("partial", self.partial), ("give_up", self.give_up)] {
            if span.is_zero() {
                return refuse(field, "must be longer than nothing".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn read(text: &str) -> Options {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_defaults_are_the_agents_own() {
        let options = read("{}");
        assert_eq!(options, Options::default());
        assert_eq!((options.idle.as_secs(), options.max_frame), (900, 1 << 20));
        assert!(options.give_up < Duration::from_secs(20), "under the client's own");
        options.check().unwrap();
    }

    #[test]
    fn numbers_and_texts_are_the_same_value() {
        let options = read(r#"{"types":[{"push_type":"talk","type":1,"event":"A"},{"event":"B"}],"idle":"2s"}"#);
        let rule = &options.types[0];
        assert!(rule.r#type.as_ref().unwrap().is(Some(&Value::Int(1))));
        assert!(rule.r#type.as_ref().unwrap().is(Some(&Value::from("1"))));
        assert!(!rule.r#type.as_ref().unwrap().is(Some(&Value::from("01"))));
        assert!(!rule.r#type.as_ref().unwrap().is(None));
        assert_eq!(options.idle, Duration::from_secs(2));
    }

    #[test]
    fn a_line_of_the_table_may_ask_for_any_field() {
        let options =
            read(r#"{"types":[{"push_type":"talk","type":17,"when":{"lock_status":1,"kind":"door"},"event":"A"}]}"#);
        let data = |text: &str| homing_codec::decode(text.as_bytes(), homing_codec::Codec::Json).unwrap();
        for (text, expected) in [
            (r#"{"push_type":"talk","type":17,"lock_status":1,"kind":"door"}"#, true),
            (r#"{"push_type":"talk","type":"17","lock_status":"1","kind":"door"}"#, true),
            (r#"{"push_type":"talk","type":17,"lock_status":true,"kind":"door"}"#, true),
            (r#"{"push_type":"talk","type":17,"lock_status":0,"kind":"door"}"#, false),
            (r#"{"push_type":"talk","type":17,"lock_status":false,"kind":"door"}"#, false),
            (r#"{"push_type":"talk","type":17,"lock_status":1}"#, false),
            (r#"{"push_type":"talk","type":17,"lock_status":[1],"kind":"door"}"#, false),
            (r#"{"push_type":"talk","type":6,"lock_status":1,"kind":"door"}"#, false),
            ("[]", false),
        ] {
            assert_eq!(options.types[0].is_for(&data(text)), expected, "{text}");
        }
        let flag = read(r#"{"types":[{"when":{"locked":true},"event":"A"}]}"#);
        assert!(flag.types[0].is_for(&data(r#"{"locked":1}"#)) && !flag.types[0].is_for(&data(r#"{"locked":"yes"}"#)));
        assert!(serde_json::from_str::<Options>(r#"{"types":[{"wen":{},"event":"A"}]}"#).is_err());
    }

    #[test]
    fn what_cannot_work_is_named() {
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert_eq!(
            refused(|o| o.listen = "0.0.0.0:1".parse().unwrap()),
            "agent.listen: 0.0.0.0:1 can be reached from other machines, which may then push: say public = true"
        );
        assert_eq!(refused(|o| o.max_frame = 2 << 20), "agent.max_frame: 2097152 is not within 64 to 1048576");
        assert_eq!(refused(|o| o.idle = Duration::ZERO), "agent.idle: must be longer than nothing");
        let error = serde_json::from_str::<Options>(r#"{"idle":"15"}"#).unwrap_err().to_string();
        assert!(error.starts_with("\"15\" is not a duration"), "{error}");
        assert!(serde_json::from_str::<Options>(r#"{"idel":"15s"}"#).is_err());
    }
}
