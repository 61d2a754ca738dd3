//! The body of a v3 call. (Huawei, "push scenariozed API, request".)
//!
//! ```text
//! push-type: 0   {"payload":{"notification":{category,title,body,clickAction,notifyId}},"target":{"token":[..]},"pushOptions":{"ttl"}}
//! push-type: 6   {"payload":{"extraData":"{..}"},"target":{"token":[..]},"pushOptions":{"ttl"}}
//! ```
//!
//! The custom fields, `push_type` and `id` are the click action's `data`; of a silent message they are the JSON text
//! `extraData`.

use homing_core::{
    clock::Millis,
    notification::{Action, Notification},
};
use serde_json::{Map, Value, json};

use super::v1::{Look, custom, ttl};
use crate::xinge::n_id;

/// Every app may send it; two to five a day reach a device.
const CATEGORY: &str = "MARKETING";

/// Header `push-type`: 0 is shown, 6 wakes the app in the background.
pub(crate) fn push_type(notification: &Notification) -> &'static str {
    if notification.silent { "6" } else { "0" }
}

/// The body without its tokens.
pub(crate) fn build(
    notification: &Notification,
    look: &Look,
    category: Option<&str>,
    now: Millis,
) -> Map<String, Value> {
    let custom = Value::Object(custom(notification));
    let payload = if notification.silent {
        json!({ "extraData": custom.to_string() })
    } else {
        let mut click = click(notification, look);
        click["data"] = custom;
        json!({ "notification": {
            "category": category.unwrap_or(CATEGORY), "title": look.title(notification), "body": notification.body,
            "clickAction": click, "notifyId": n_id(notification.key()),
        } })
    };
    let mut body = Map::new();
    body.insert("payload".to_owned(), payload);
    body.insert("pushOptions".to_owned(), json!({ "ttl": ttl(notification, now) }));
    body
}

/// Type 0 opens the app, 1 a page of it, by an action of its manifest or an address that it answers to.
fn click(notification: &Notification, look: &Look) -> Value {
    match &notification.action {
        Some(Action::Activity(action)) if !action.is_empty() => json!({ "actionType": 1, "action": action }),
        Some(Action::Url(uri) | Action::Intent(uri)) => json!({ "actionType": 1, "uri": uri }),
        _ => match &look.click_action {
            Some(action) => json!({ "actionType": 1, "action": action }),
            None => json!({ "actionType": 0 }),
        },
    }
}
