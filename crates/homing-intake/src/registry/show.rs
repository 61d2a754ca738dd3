//! What the registry shows of itself. No whole token.

use homing_core::{
    clock::Millis,
    registry::{Held, HeldToken, Preferences},
};
use serde_json::{Value, json};

/// Tokens shorter than this show nothing of themselves.
const SHORT: usize = 8;

/// A device.
pub(super) fn device(held: &Held) -> Value {
    let live = held.tokens.iter().any(|token| token.death.is_none());
    let state = match (&held.gone, live) {
        (Some(_), _) => "gone",
        (None, true) => "live",
        (None, false) => "dead",
    };
    let own = &held.device;
    let mut shown = json!({
        "id": own.id,
        "app": own.app,
        "platform": own.platform.name(),
        "env": own.environment.name(),
        "state": state,
        "created_at": time(held.created_at),
        "seen_at": time(held.seen_at),
        "tokens": held.tokens.iter().map(token).collect::<Value>(),
    });
    if let Some(locale) = &own.locale {
        shown["locale"] = json!(locale);
    }
    if let Some(model) = &own.model {
        shown["model"] = json!(model);
    }
    if let Some((at, why)) = &held.gone {
        shown["gone"] = json!({"at": time(*at), "why": why});
    }
    shown
}

fn token(token: &HeldToken) -> Value {
    let end = if token.token.chars().count() >= SHORT { token.end() } else { String::new() };
    let mut shown = json!({
        "channel": token.channel,
        "token": format!("..{end}"),
        "registered_at": time(token.registered_at),
    });
    if let Some(death) = &token.death {
        shown["dead"] = json!({"at": time(death.at), "why": death.why});
        if !death.channel.is_empty() {
            shown["dead"]["channel"] = json!(death.channel);
        }
        if let Some(since) = death.since {
            shown["dead"]["since"] = json!(time(since));
        }
    }
    shown
}

/// Preferences; what is absent is the lane's own.
pub(super) fn preferences(wanted: &Preferences) -> Value {
    json!({
        "locale": wanted.locale,
        "time_zone": wanted.time_zone,
        "quiet_from": wanted.quiet_from,
        "quiet_to": wanted.quiet_to,
        "muted": wanted.muted,
    })
}

/// RFC 3339.
pub(super) fn time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}
