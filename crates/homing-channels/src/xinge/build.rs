//! A message from a notification.
//!
//! `push_type` (the event's kind) and `id` (the message's id) travel with every message: clients route by the first, and
//! both ends find a message again by the second. They win over custom fields of the same names.

use std::collections::BTreeMap;

use homing_core::notification::{self, Notification, Platform};
use serde_json::{Map, Value, json};

use super::{
    account::Flavour,
    message::{Action, Alert, Android, Aps, AtyAttr, Browser, Custom, Field, Ios, Message, Transparent},
    push::{AppIos, AppMessage},
};

/// Top-level keys of an iOS message that are not custom ones. `xg` is overwritten by the service.
const RESERVED: [&str; 3] = ["aps", "xg", "accept_time"];

/// The v2 message for a notification's platform.
pub fn build(notification: &Notification) -> Message {
    match notification.platform {
        Platform::Ios => Message::Ios(ios(notification)),
        // The app is handed whatever there is, and decides.
        _ if notification.silent => Message::Transparent(Transparent {
            title: Field::Known(notification.title.clone()),
            content: Field::Known(notification.body.clone()),
            custom_content: Field::Known(texts(notification)),
            ..Transparent::default()
        }),
        _ => Message::Notification(Box::new(Android {
            title: Field::Known(notification.title.clone()),
            content: Field::Known(notification.body.clone()),
            ring_raw: Field::Known(String::new()),
            icon_res: Field::Known(String::new()),
            small_icon: Field::Known(String::new()),
            custom_content: Field::Known(Custom::Fields(texts(notification))),
            ..style(notification)
        })),
    }
}

/// The message of v3 or TPNS for a notification's platform.
pub fn build_app(notification: &Notification, flavour: Flavour) -> AppMessage {
    let mut message = AppMessage {
        title: Field::Known(notification.title.clone()),
        content: Field::Known(notification.body.clone()),
        ..AppMessage::default()
    };
    let text = flavour == Flavour::Tpns;
    match notification.platform {
        Platform::Ios => {
            // Under its own key nothing is reserved, but one list of names serves all flavours.
            let custom = ios_custom(notification);
            let aps = if notification.silent {
                // With a title or a text there would be something to show.
                (message.title, message.content) = (Field::Absent, Field::Absent);
                background()
            } else {
                Aps { badge_type: Field::Known(-2), sound: Field::Known("default".to_owned()), ..Aps::default() }
            };
            let mut ios = AppIos { aps: Field::Known(aps), ..AppIos::default() };
            if text {
                ios.custom_content = Field::Known(Value::Object(custom).to_string());
            } else {
                ios.custom = Field::Known(custom);
            }
            message.ios = Field::Known(ios);
        }
        _ => {
            let fields = texts(notification);
            let custom = if text { Custom::Text(json!(fields).to_string()) } else { Custom::Fields(fields) };
            let style = if notification.silent { Android::default() } else { style(notification) };
            let android = Android { custom_content: Field::Known(custom), ..style };
            message.android = Field::Known(Box::new(android));
        }
    }
    message
}

/// The SDK's style: default builder, sound, vibration and light on, may be swiped away. A tap does what the notification
/// says, or opens the app.
fn style(notification: &Notification) -> Android {
    Android {
        builder_id: Field::Known(0),
        n_id: Field::Known(n_id(notification.key())),
        ring: Field::Known(1),
        vibrate: Field::Known(1),
        lights: Field::Known(1),
        clearable: Field::Known(1),
        icon_type: Field::Known(0),
        style_id: Field::Known(1),
        action: Field::Known(action(notification.action.as_ref())),
        ..Android::default()
    }
}

/// The id under which a notification replaces its predecessor on the device: FNV-1a (32 bits) of the key's bytes without
/// its highest bit, and 1 in place of 0. The same key has the same id in every process and version.
pub fn n_id(key: &str) -> i64 {
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i64::from((hash & 0x7fff_ffff).max(1))
}

fn action(action: Option<&notification::Action>) -> Action {
    match action {
        None => activity(""),
        Some(notification::Action::Activity(class)) => activity(class),
        Some(notification::Action::Url(url)) => Action {
            action_type: Field::Known(2),
            browser: Field::Known(Browser {
                url: Field::Known(url.clone()),
                confirm: Field::Known(0),
                rest: Map::new(),
            }),
            ..Action::default()
        },
        Some(notification::Action::Intent(intent)) => {
            Action { action_type: Field::Known(3), intent: Field::Known(intent.clone()), ..Action::default() }
        }
    }
}

fn activity(class: &str) -> Action {
    let flags = AtyAttr { intent_flags: Field::Known(0), pending_flags: Field::Known(0), rest: Map::new() };
    Action {
        action_type: Field::Known(1),
        activity: Field::Known(class.to_owned()),
        aty_attr: Field::Known(flags),
        ..Action::default()
    }
}

/// `custom_content` holds texts only: other values go as their JSON text, `null` does not go.
fn texts(notification: &Notification) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (key, value) in &notification.custom {
        match value {
            Value::Null => {}
            Value::String(text) => drop(texts.insert(key.clone(), text.clone())),
            other => drop(texts.insert(key.clone(), other.to_string())),
        }
    }
    texts.insert("push_type".to_owned(), notification.kind.to_string());
    texts.insert("id".to_owned(), notification.id.clone());
    texts
}

fn ios(notification: &Notification) -> Ios {
    let alert = if notification.title.is_empty() {
        Alert::Text(notification.body.clone())
    } else {
        let title = ("title".to_owned(), json!(notification.title));
        let body = ("body".to_owned(), json!(notification.body));
        Alert::Parts([title, body].into_iter().collect())
    };
    let aps = if notification.silent {
        background()
    } else {
        Aps {
            alert: Field::Known(alert),
            badge: Field::Known(1),
            sound: Field::Known("default".to_owned()),
            ..Aps::default()
        }
    };
    Ios { aps: Field::Known(aps), accept_time: Field::Absent, custom: ios_custom(notification) }
}

/// Apple's part of a silent message: the app is woken, nothing is shown.
fn background() -> Aps {
    Aps { content_available: Field::Known(1), ..Aps::default() }
}

/// APNs has no field for what a tap does, so it travels as `action`, unless the event has a field of this name.
fn ios_custom(notification: &Notification) -> Map<String, Value> {
    let custom = notification.custom.iter().filter(|(key, _)| !RESERVED.contains(&key.as_str()));
    let mut custom: Map<_, _> = custom.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(action) = &notification.action {
        let action = match action {
            notification::Action::Activity(class) => json!({"activity": class}),
            notification::Action::Url(url) => json!({"url": url}),
            notification::Action::Intent(intent) => json!({"intent": intent}),
        };
        custom.entry("action").or_insert(action);
    }
    custom.insert("push_type".to_owned(), json!(notification.kind));
    custom.insert("id".to_owned(), json!(notification.id));
    custom
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
