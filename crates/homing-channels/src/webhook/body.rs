//! What a hook is posted:
//!
//! ```json
//! {"delivery": "m-1:42", "id": "m-1", "type": 7, "app": "higo", "user": "42", "title": "..", "body": "..", "key": "m-1",
//!  "url": "https://..", "created_at": 1767225600000, "expires_at": 1767312000000, "data": {"order_id": "A1001"}}
//! ```
//!
//! `delivery` names the post, however often it is tried; one message to several users is several deliveries.

use homing_core::{
    clock::Millis,
    notification::{Action, Notification, Target},
};
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;

/// Longer bodies are not posted.
pub(super) const BODY_MAX: usize = 256 * 1024;

#[derive(Serialize)]
struct Body<'a> {
    delivery: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: i64,
    app: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    title: &'a str,
    body: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
    created_at: Millis,
    expires_at: Millis,
    data: &'a Map<String, Value>,
}

/// The name of a delivery: the message's id and the user, in characters that a header may have.
pub(super) fn delivery(notification: &Notification, target: &Target) -> String {
    let plain = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    if target.user.is_empty() {
        return plain(&notification.id);
    }
    format!("{}:{}", plain(&notification.id), plain(&target.user))
}

/// The bytes to post and sign.
///
/// # Errors
/// They are too many; in words.
pub(super) fn build(notification: &Notification, target: &Target, delivery: &str) -> Result<Vec<u8>, String> {
    let body = Body {
        delivery,
        id: &notification.id,
        kind: notification.kind,
        app: &notification.app,
        user: &target.user,
        title: &notification.title,
        body: &notification.body,
        key: notification.key(),
        url: match &notification.action {
            Some(Action::Url(url)) => Some(url),
            _ => None,
        },
        silent: notification.silent,
        created_at: notification.created_at,
        expires_at: notification.expires_at,
        data: &notification.custom,
    };
    let bytes = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    if bytes.len() > BODY_MAX {
        return Err(format!("{} bytes, more than {BODY_MAX}", bytes.len()));
    }
    Ok(bytes)
}
