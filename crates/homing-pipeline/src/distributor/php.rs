//! HIGO's own item of a delivery list, for an old sender: a PHP array with `xinge_token`, `via` and `app`, which are
//! known, and the content under names that are guesses (docs/xinge.md).

use homing_codec::{Key, Value, to_php};
use homing_core::notification::{Notification, Platform};

/// The item for the notification's first target.
pub(super) fn php(notification: &Notification) -> Vec<u8> {
    let text = |text: &str| Value::Str(text.as_bytes().to_vec());
    let via = match notification.platform {
        Platform::Ios => "iphone",
        other => other.name(),
    };
    let token = notification.targets.first().map_or("", |t| t.token.as_str());
    let user = notification.targets.first().map_or("", |t| t.user.as_str());
    let fields = [
        ("xinge_token", text(token)),
        ("via", text(via)),
        ("app", text(&notification.app)),
        ("type", Value::Int(notification.kind)),
        ("title", text(&notification.title)),
        ("content", text(&notification.body)),
        ("custom", Value::from_json(serde_json::Value::Object(notification.custom.clone()))),
        ("user_id", text(user)),
        ("id", text(&notification.id)),
        ("expires_at", Value::Int(notification.expires_at / 1_000)),
    ];
    to_php(&Value::Map(fields.into_iter().map(|(name, value)| (Key::Str(name.into()), value)).collect()))
}
