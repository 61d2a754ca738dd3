//! A delivery as an operator wants to see it, whatever flavour it came in.

use std::sync::Arc;

use homing_core::{clock::Millis, notification::Platform};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{config::Flavour, order::Content, shelf::Delivery};

/// A delivery.
#[derive(Serialize)]
pub(super) struct View {
    seq: u64,
    received_at_ms: Millis,
    flavour: Flavour,
    access_id: String,
    token: String,
    platform: Platform,
    environment: &'static str,
    message_type: Value,
    id: Option<String>,
    page: usize,
    push_id: Option<String>,
    title: String,
    content: String,
    custom: Value,
    message: String,
}

/// What a phone shows of a message.
#[derive(Clone)]
struct Shown {
    title: String,
    content: String,
    custom: Value,
}

/// Each delivery; those of a page share their message, which is read once.
pub(super) fn views(deliveries: Vec<Delivery>) -> Vec<View> {
    let mut latest: Option<(Arc<Content>, Shown)> = None;
    let each = deliveries.into_iter().map(|delivery| {
        let known = latest.as_ref().filter(|(content, _)| Arc::ptr_eq(content, &delivery.content));
        let shown = known.map_or_else(|| Shown::of(&delivery.content), |(_, shown)| shown.clone());
        if known.is_none() {
            latest = Some((Arc::clone(&delivery.content), shown.clone()));
        }
        view(&delivery, shown)
    });
    each.collect()
}

fn view(delivery: &Delivery, shown: Shown) -> View {
    let content = &delivery.content;
    View {
        seq: delivery.seq,
        received_at_ms: delivery.received_at_ms,
        flavour: content.app.flavour,
        access_id: content.app.access_id.clone(),
        token: delivery.token.to_string(),
        platform: content.app.platform,
        environment: content.environment,
        message_type: content.message_type.clone(),
        id: content.id.clone(),
        page: delivery.page,
        push_id: delivery.push_id.map(|id| id.to_string()),
        title: shown.title,
        content: shown.content,
        custom: shown.custom,
        message: content.message.clone(),
    }
}

// === impl Shown ===

impl Shown {
    fn of(content: &Content) -> Self {
        let message: Map<String, Value> = serde_json::from_str(&content.message).unwrap_or_default();
        match (content.app.flavour, content.app.platform) {
            (Flavour::V2, Platform::Ios) => Self::of_ios(message),
            (Flavour::V2, Platform::Android) => {
                let custom = message.get("custom_content").cloned().unwrap_or_default();
                Self { title: text(message.get("title")), content: text(message.get("content")), custom }
            }
            (_, platform) => {
                let (title, content) = (text(message.get("title")), text(message.get("content")));
                let custom = Content::custom_of(&Value::Object(message), platform).unwrap_or_default();
                Self { title, content, custom }
            }
        }
    }

    /// The message is the APNs payload, custom fields at its top.
    fn of_ios(mut message: Map<String, Value>) -> Self {
        let aps = message.remove("aps").unwrap_or_default();
        message.remove("accept_time");
        message.remove("xg");
        let (title, content) = match aps.get("alert") {
            Some(Value::Object(parts)) => (text(parts.get("title")), text(parts.get("body"))),
            other => (String::new(), text(other)),
        };
        Self { title, content, custom: Value::Object(message) }
    }
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
