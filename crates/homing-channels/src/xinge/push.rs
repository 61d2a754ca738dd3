//! The body of `POST /v3/push/app`, under v3 and under TPNS. As in [`message`](super::message), whatever some SDK writes
//! is kept: a body that is read and written again is the same by value.
//!
//! ```text
//! {"audience_type","platform" (v3),"message_type","message":{..},"token_list":[..],"push_id" (v3 pages),
//!  "expire_time","multi_pkg","environment" (iOS),"ignore_invalid_token" (TPNS pages)}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{
    message::{Android, Aps, Field},
    window::Window,
};

/// A whole body. (Xinge v3 REST documentation, 2018 edition, "push API"; TPNS documentation, 548/39064.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppPush {
    /// `all`, `tag`, `token`, `token_list`, `account`, `account_list`.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub audience_type: Field<String>,
    /// v3: `android`, `ios`, `all`.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub platform: Field<String>,
    /// `notify`, or `message`, which is handed to the app.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub message_type: Field<String>,
    /// What is shown.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub message: Field<AppMessage>,
    /// The devices: the first for `token`, all for `token_list`.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub token_list: Field<Vec<String>>,
    /// v3: `"0"` on the first page of a list, then what the answer to it said.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub push_id: Field<String>,
    /// Seconds that it is kept for a device that is off.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub expire_time: Field<i64>,
    /// Whether the package's name is ignored.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub multi_pkg: Field<bool>,
    /// `product`, `dev`.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub environment: Field<String>,
    /// TPNS: a task whose place this one takes; only for `all`, `tag` and packages.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub collapse_id: Field<i64>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppMessage {
    /// Headline.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub title: Field<String>,
    /// Text.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub content: Field<String>,
    /// When it may be shown.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub accept_time: Field<Vec<Window>>,
    /// For Android: the fields of v2 but title, content and accept_time.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub android: Field<Box<Android>>,
    /// For iOS.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub ios: Field<AppIos>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The part for iOS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppIos {
    /// Apple's part.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub aps: Field<Aps>,
    /// v3: the custom fields. (The Java SDK writes their JSON text.)
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub custom: Field<Map<String, Value>>,
    /// TPNS: the JSON text of the custom fields.
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub custom_content: Field<String>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A body as the channel writes it, around a message that is text already.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    pub(crate) audience_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<&'static str>,
    pub(crate) message_type: &'static str,
    pub(crate) message: &'a RawValue,
    pub(crate) token_list: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) push_id: Option<&'static str>,
    pub(crate) expire_time: i64,
    pub(crate) multi_pkg: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ignore_invalid_token: Option<u8>,
}
