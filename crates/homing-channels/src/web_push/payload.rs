//! What the page's service worker reads from `event.data.json()`:
//!
//! ```json
//! {"id": "m-1", "type": 7, "app": "higo", "title": "..", "body": "..", "tag": "chat:9", "url": "https://..",
//!  "silent": true, "created_at": 1767225600000, "data": {"order_id": "A1001"}}
//! ```
//!
//! `tag` is for `showNotification`: a later message with the same one takes this one's place. `url` and `silent` stand
//! only where they say something.

use homing_core::{
    channel::{Answer, Outcome},
    clock::Millis,
    notification::{Action, Notification},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// Longer plaintexts are not sent: push services take 4,096 bytes of ciphertext at least, some not much more, and 3 KiB
/// leaves room for what all of them add.
pub(super) const PLAIN_MAX: usize = 3 * 1024;

#[derive(Serialize)]
struct Payload<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: i64,
    app: &'a str,
    title: &'a str,
    body: &'a str,
    tag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
    created_at: Millis,
    data: &'a Map<String, Value>,
}

/// The plaintext for every target of a notification.
///
/// # Errors
/// It is too long.
pub(super) fn build(notification: &Notification) -> Result<Vec<u8>, Answer> {
    let payload = Payload {
        id: &notification.id,
        kind: notification.kind,
        app: &notification.app,
        title: &notification.title,
        body: &notification.body,
        tag: notification.key(),
        // Activities and intents are Android's.
        url: match &notification.action {
            Some(Action::Url(url)) => Some(url),
            _ => None,
        },
        silent: notification.silent,
        created_at: notification.created_at,
        data: &notification.custom,
    };
    let text =
        serde_json::to_vec(&payload).map_err(|error| Answer::new(Outcome::Payload, format!("not sent: {error}")))?;
    if text.len() > PLAIN_MAX {
        let length = text.len();
        return Err(Answer::new(Outcome::Payload, format!("not sent: {length} bytes, more than {PLAIN_MAX}")));
    }
    Ok(text)
}
