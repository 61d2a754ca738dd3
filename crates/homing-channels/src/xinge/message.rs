//! The v2 `message` parameter, and the parts that v3 and TPNS share with it. The types hold whatever the official SDKs write: a field of an unexpected type (PHP writes
//! `null` for unused branches) and unknown fields are kept as they came, so a message that is read and written again is
//! the same by value.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::window::Window;

/// A field of a message: absent, of the documented type, or something else that some SDK wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Field<T> {
    /// Not there.
    #[default]
    Absent,
    /// As documented.
    Known(T),
    /// There, but of another type; `null` too.
    Other(Value),
}

/// The `message` parameter of a push call.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Android, `message_type` 1.
    Notification(Box<Android>),
    /// Android, `message_type` 2: handed to the app, nothing is shown.
    Transparent(Transparent),
    /// iOS, `message_type` 0 or 11; 12 without alert, sound and badge.
    Ios(Ios),
}

/// An Android notification. (Xinge v2 REST documentation, 2018 edition, "Android message".)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Android {
    /// Headline; required.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub title: Field<String>,
    /// Text; required.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub content: Field<String>,
    /// Local style of the app; required.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub builder_id: Field<i64>,
    /// Above 0: replaces the notification of that id; 0: stands alone; -1: clears all earlier ones.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub n_id: Field<i64>,
    /// 1: sound.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub ring: Field<i64>,
    /// A sound in the app's `raw/`, without extension.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub ring_raw: Field<String>,
    /// 1: vibrate.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub vibrate: Field<i64>,
    /// 1: light.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub lights: Field<i64>,
    /// 1: may be swiped away.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub clearable: Field<i64>,
    /// 0: icon of the app, 1: `icon_res` is a URL.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub icon_type: Field<i64>,
    /// Name or URL of the icon.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub icon_res: Field<String>,
    /// 1: these settings override the style `builder_id`.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub style_id: Field<i64>,
    /// Icon of the status bar.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub small_icon: Field<String>,
    /// Fields for the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub custom_content: Field<Custom>,
    /// When it may be shown.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub accept_time: Field<Vec<Window>>,
    /// What a tap does.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub action: Field<Action>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Fields for the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Custom {
    /// An object of texts: v2 and v3.
    Fields(BTreeMap<String, String>),
    /// The JSON text of such an object: TPNS.
    Text(String),
}

/// What a tap does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Action {
    /// 1: open an activity or the app, 2: browser, 3: intent; the Java SDK also lists 4, 5 and 6.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub action_type: Field<i64>,
    /// Class to open; empty opens the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub activity: Field<String>,
    /// Flags for the activity.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub aty_attr: Field<AtyAttr>,
    /// Address to open.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub browser: Field<Browser>,
    /// `intent:...` or `xgscheme://...`.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub intent: Field<String>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Flags of the activity that a tap opens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AtyAttr {
    /// Intent flags.
    #[serde(rename = "if", skip_serializing_if = "Field::is_absent")]
    pub intent_flags: Field<i64>,
    /// PendingIntent flags.
    #[serde(rename = "pf", skip_serializing_if = "Field::is_absent")]
    pub pending_flags: Field<i64>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The address that a tap opens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Browser {
    /// `http(s)://...`
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub url: Field<String>,
    /// 1: ask first.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub confirm: Field<i64>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An Android message without a notification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transparent {
    /// Headline for the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub title: Field<String>,
    /// Text for the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub content: Field<String>,
    /// Fields for the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub custom_content: Field<BTreeMap<String, String>>,
    /// When it may be handed over.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub accept_time: Field<Vec<Window>>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An iOS message: the APNs payload itself, with `accept_time` and `xg` reserved at its top level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ios {
    /// Apple's part.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub aps: Field<Aps>,
    /// When it may be shown; stripped before APNs.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub accept_time: Field<Vec<Window>>,
    /// The custom keys.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

/// Apple's part of an iOS message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Aps {
    /// What is shown.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub alert: Field<Alert>,
    /// Number on the icon.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub badge: Field<i64>,
    /// The same under v3 and TPNS: -1 keeps it, -2 adds one, the rest sets it.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub badge_type: Field<i64>,
    /// `default` or a file of the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub sound: Field<String>,
    /// Category of actions.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub category: Field<String>,
    /// 1: silent.
    #[serde(rename = "content-available", skip_serializing_if = "Field::is_absent")]
    pub content_available: Field<i64>,
    /// 1: an extension of the app may change it.
    #[serde(rename = "mutable-content", skip_serializing_if = "Field::is_absent")]
    pub mutable_content: Field<i64>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What an iOS message shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Alert {
    /// One text.
    Text(String),
    /// Headline and text, and whatever else APNs takes.
    Parts(Map<String, Value>),
}

// === impl Field ===

impl<T> Field<T> {
    /// Not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, when it is of the documented type.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Other(_) => None,
        }
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_unit(),
            Self::Known(value) => value.serialize(serializer),
            Self::Other(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(T::deserialize(&value).map_or_else(|_| Self::Other(value), Self::Known))
    }
}

// === impl Message ===

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Notification(message) => message.serialize(serializer),
            Self::Transparent(message) => message.serialize(serializer),
            Self::Ios(message) => message.serialize(serializer),
        }
    }
}

/// The kind does not stand in the text (it is the parameter `message_type`), so it is told by its keys: `aps` is iOS,
/// any key that only a notification has is a notification, the rest is transparent.
impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NOTIFICATION: [&str; 12] = [
            "builder_id",
            "n_id",
            "ring",
            "ring_raw",
            "vibrate",
            "lights",
            "clearable",
            "icon_type",
            "icon_res",
            "style_id",
            "small_icon",
            "action",
        ];
        let map = Map::<String, Value>::deserialize(deserializer)?;
        let notification = NOTIFICATION.iter().any(|key| map.contains_key(*key));
        let ios = map.contains_key("aps");
        let value = Value::Object(map);
        let message = if ios {
            serde_json::from_value(value).map(Self::Ios)
        } else if notification {
            serde_json::from_value(value).map(Self::Notification)
        } else {
            serde_json::from_value(value).map(Self::Transparent)
        };
        message.map_err(serde::de::Error::custom)
    }
}
