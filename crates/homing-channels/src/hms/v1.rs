//! The body of a v1 call. (Huawei, "Push Kit, REST API, sending messages".)
//!
//! ```text
//! {"validate_only":false,"message":{"token":[..],"data":"{..}","notification":{title,body},
//!   "android":{ttl,urgency,category,notification:{tag,notify_id,channel_id,importance,click_action}}}}
//! ```
//!
//! `data` is one text: the JSON of the custom fields, `push_type` and `id`. A message without `notification` is handed to
//! the app. `collapse_key` is not used: it has a hundred values, so unrelated messages would push each other out.

use homing_core::{
    clock::Millis,
    notification::{Action, Notification, Priority},
};
use serde_json::{Map, Value, json};

use crate::xinge::n_id;

/// Longest life of a message in seconds: fifteen days.
const TTL_MAX: Millis = 1_296_000;

/// What an account adds to its messages.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) category: Option<String>,
    pub(crate) channel_id: Option<String>,
    pub(crate) click_action: Option<String>,
    pub(crate) title: Option<String>,
}

impl Look {
    /// The message's title, or what stands for it.
    pub(crate) fn title<'a>(&'a self, notification: &'a Notification) -> &'a str {
        if !notification.title.trim().is_empty() {
            return &notification.title;
        }
        self.title.as_deref().unwrap_or(&notification.app)
    }
}

/// The `message` without its tokens.
pub(crate) fn build(
    notification: &Notification,
    look: &Look,
    category: Option<&str>,
    now: Millis,
) -> Map<String, Value> {
    let ttl = ttl(notification, now);
    let urgency = if notification.priority == Priority::High { "HIGH" } else { "NORMAL" };
    let mut android = json!({ "ttl": format!("{ttl}s"), "urgency": urgency });
    if let Some(category) = category {
        android["category"] = json!(category);
    }
    let mut message = Map::new();
    message.insert("data".to_owned(), json!(Value::Object(custom(notification)).to_string()));
    if !notification.silent {
        let text = json!({ "title": look.title(notification), "body": notification.body });
        message.insert("notification".to_owned(), text);
        let importance = if notification.priority == Priority::Low { "LOW" } else { "NORMAL" };
        let mut shown = json!({
            "tag": notification.key(), "notify_id": n_id(notification.key()), "importance": importance,
            "click_action": click(notification, look),
        });
        if let Some(channel) = &look.channel_id {
            shown["channel_id"] = json!(channel);
        }
        android["notification"] = shown;
    }
    message.insert("android".to_owned(), android);
    message
}

/// The whole seconds that are left of a message's life.
pub(crate) fn ttl(notification: &Notification, now: Millis) -> Millis {
    (notification.expires_at.saturating_sub(now) / 1_000).clamp(1, TTL_MAX)
}

/// The custom fields with `push_type` and `id`, which win over fields of these names.
pub(crate) fn custom(notification: &Notification) -> Map<String, Value> {
    let mut custom = notification.custom.clone();
    custom.insert("push_type".to_owned(), json!(notification.kind));
    custom.insert("id".to_owned(), json!(notification.id));
    custom
}

/// Type 1 opens a page of the app, by an intent or an action of its manifest; 2 an address; 3 the app.
fn click(notification: &Notification, look: &Look) -> Value {
    match &notification.action {
        Some(Action::Activity(action)) if !action.is_empty() => json!({ "type": 1, "action": action }),
        Some(Action::Url(url)) => json!({ "type": 2, "url": url }),
        Some(Action::Intent(intent)) => json!({ "type": 1, "intent": intent }),
        _ => match &look.click_action {
            Some(action) => json!({ "type": 1, "action": action }),
            None => json!({ "type": 3 }),
        },
    }
}
