//! What is refused before a request leaves: the checks of the official SDK (its local code -1) and the size limit, which
//! v2, v3 and TPNS share.

use homing_core::channel::{Answer, Outcome};
use serde::Serialize;

use super::{
    account::is_ios,
    message::{Field, Message},
    push::AppMessage,
    window::Window,
};

/// Bytes of the message's text. (Xinge v2 REST documentation, 2017 and 2018 editions, "message"; v3 and TPNS say 4K.)
pub const MESSAGE_MAX: usize = 4096;

/// Why a message is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An Android message on an iOS id or the reverse.
    #[error("an {message} message cannot go out under the {id} access id {access_id}")]
    Platform {
        /// Platform of the message.
        message: &'static str,
        /// Platform of the id.
        id: &'static str,
        /// The id.
        access_id: u64,
    },
    /// iOS ids need production (1) or development (2).
    #[error("environment {0} under an iOS access id: 1 is production, 2 is development")]
    Environment(u8),
    /// A window of `accept_time` is not two times of one day in order.
    #[error("accept_time: every window has a start and an end of one day, in order; split one that crosses midnight")]
    AcceptTime,
    /// The text is too long.
    #[error("the message is {0} bytes long and at most {MESSAGE_MAX} pass")]
    TooLong(usize),
    /// The message is no JSON. It cannot happen, but it is not a panic.
    #[error("the message cannot be written: {0}")]
    Unwritable(String),
}

// === impl Refusal ===

impl Refusal {
    /// The answer for every target of such a message.
    pub fn answer(&self) -> Answer {
        let outcome = match self {
            Self::Platform { .. } | Self::Environment(_) => Outcome::Config,
            Self::AcceptTime | Self::TooLong(_) | Self::Unwritable(_) => Outcome::Payload,
        };
        Answer { outcome, detail: format!("not sent: {self}") }
    }
}

// === impl Message ===

impl Message {
    /// Refuses what the SDK refuses.
    pub fn check(&self, access_id: u64, environment: u8) -> Result<(), Refusal> {
        let ios = is_ios(access_id);
        if ios != matches!(self, Self::Ios(_)) {
            let name = |ios| if ios { "iOS" } else { "Android" };
            return Err(Refusal::Platform { message: name(!ios), id: name(ios), access_id });
        }
        if ios && !matches!(environment, 1 | 2) {
            return Err(Refusal::Environment(environment));
        }
        let accept_time = match self {
            Self::Notification(message) => &message.accept_time,
            Self::Transparent(message) => &message.accept_time,
            Self::Ios(message) => &message.accept_time,
        };
        if is_acceptable(accept_time) { Ok(()) } else { Err(Refusal::AcceptTime) }
    }

    /// The checked text for the `message` parameter.
    pub fn text(&self, access_id: u64, environment: u8) -> Result<String, Refusal> {
        self.check(access_id, environment)?;
        within_limit(self)
    }
}

// === impl AppMessage ===

impl AppMessage {
    /// The checked text for the `message` of a body.
    pub fn text(&self) -> Result<String, Refusal> {
        if is_acceptable(&self.accept_time) { within_limit(self) } else { Err(Refusal::AcceptTime) }
    }
}

fn within_limit(message: &impl Serialize) -> Result<String, Refusal> {
    let text = serde_json::to_string(message).map_err(|error| Refusal::Unwritable(error.to_string()))?;
    if text.len() > MESSAGE_MAX { Err(Refusal::TooLong(text.len())) } else { Ok(text) }
}

fn is_acceptable(accept_time: &Field<Vec<Window>>) -> bool {
    match accept_time {
        Field::Absent => true,
        Field::Known(windows) => windows.iter().all(Window::is_valid),
        Field::Other(value) => value.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ANDROID: u64 = 2_100_012_345;
    const IOS: u64 = 2_200_012_345;

    #[track_caller]
    fn check(message: Value, access_id: u64, environment: u8, expected: Option<Outcome>) {
        let message: Message = serde_json::from_value(message).unwrap();
        let outcome = message.text(access_id, environment).err().map(|refusal| refusal.answer().outcome);
        assert_eq!(outcome, expected);
    }

    #[test]
    fn what_the_sdk_refuses_never_leaves() {
        let android = json!({"title": "t", "content": "c", "builder_id": 0});
        let ios = json!({"aps": {"alert": "a"}});
        check(android.clone(), ANDROID, 0, None);
        check(json!({"title": "t", "content": "c"}), ANDROID, 0, None);
        check(ios.clone(), IOS, 1, None);
        check(ios.clone(), IOS, 2, None);
        check(ios.clone(), IOS, 0, Some(Outcome::Config));
        check(ios.clone(), IOS, 3, Some(Outcome::Config));
        check(ios, ANDROID, 0, Some(Outcome::Config));
        check(android, IOS, 2, Some(Outcome::Config));
    }

    #[test]
    fn windows_past_midnight_and_broken_windows_never_leave() {
        let night = json!([{"start": {"hour": "22", "min": "0"}, "end": {"hour": "8", "min": "0"}}]);
        let day = json!([{"start": {"hour": "9", "min": "0"}, "end": {"hour": "17", "min": "0"}}]);
        for (windows, expected) in [
            (json!([]), None),
            (Value::Null, None),
            (day, None),
            (night, Some(Outcome::Payload)),
            (json!("always"), Some(Outcome::Payload)),
            (json!([1]), Some(Outcome::Payload)),
        ] {
            check(json!({"title": "t", "builder_id": 0, "accept_time": windows}), ANDROID, 0, expected.clone());
            check(json!({"title": "t", "accept_time": windows}), ANDROID, 0, expected.clone());
            check(json!({"aps": {}, "accept_time": windows}), IOS, 1, expected);
        }
    }

    #[test]
    fn the_size_limit_counts_bytes() {
        let empty = json!({"content": "", "title": "t"}).to_string().len();
        let fits = "a".repeat(MESSAGE_MAX - empty);
        check(json!({"content": fits, "title": "t"}), ANDROID, 0, None);
        check(json!({"content": format!("{fits}b"), "title": "t"}), ANDROID, 0, Some(Outcome::Payload));
        check(json!({"content": "店".repeat(1400), "title": "t"}), ANDROID, 0, Some(Outcome::Payload));
    }
}
