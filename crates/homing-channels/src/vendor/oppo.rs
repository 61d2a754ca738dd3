//! OPPO: an access token for a day, and a form with the messages as JSON, one per device. (open.oppomobile.com, "server
//! API", 11234 to 11238.)
//!
//! `app_message_id` is the message's id: OPPO sends a device the same id once, so that a repeat after a lost answer is
//! not shown twice. There are notifications only; a silent message cannot be sent.

use std::{collections::HashMap, sync::Arc};

use homing_core::{channel::Channel, clock::Millis, notification::Notification};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    channel,
    settings::Account,
    text::{Tap, one, packed, seconds_left, tap, texts},
    vendor::{Body, Call, Job, Profile, Reading, Vendor, Verdict, code_of, text_of},
};
use crate::{Result, common::lent::Fresh, registry::Tools, xinge::n_id};

/// A title has at most 50 characters. A text has 50 in the standard style and 128 in that of long texts.
const TITLE: usize = 50;
const TEXT: usize = 50;
const LONG_TEXT: usize = 128;

/// Of the custom fields.
const PARAMETERS: usize = 4000;

/// Ten days.
const TTL_MAX: Millis = 864_000;

/// A token lives 24 hours; OPPO asks to renew it hourly.
const RENEW: Millis = 3_600_000;

const PROFILE: Profile = Profile {
    name: "oppo",
    codes: include_str!("codes/oppo.toml"),
    regions: &[("china", "https://api.push.oppomobile.com"), ("global", "https://api-intl.push.oppomobile.com")],
    auth: None,
    lends: true,
    keys: &[("app_key", true), ("channel_id", false)],
    all_dead: &[],
};

struct Oppo;

pub(crate) fn build(table: &toml::Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    channel::build(Oppo, table, tools)
}

/// `SHA-256(app_key + timestamp + master secret)` in hexadecimal digits.
fn sign(app_key: &str, timestamp: Millis, secret: &str) -> String {
    let digest =
        Sha256::new().chain_update(app_key).chain_update(timestamp.to_string()).chain_update(secret).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn for_device(message: &Value, token: &str) -> Value {
    json!({ "target_type": 2, "target_value": token, "notification": message })
}

impl Vendor for Oppo {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn ration(&self, account: &Account, notification: &Notification) -> String {
        let category = account.category(notification).and_then(|category| category.name.clone());
        category.or_else(|| account.channel_id(notification).map(str::to_owned)).unwrap_or_default()
    }

    fn ask(&self, account: &Account, now: Millis) -> Option<Call> {
        let app_key = account.app_key.clone().unwrap_or_default();
        let sign = sign(&app_key, now, account.secret());
        let pairs = vec![("app_key", app_key), ("timestamp", now.to_string()), ("sign", sign)];
        Some(Call { path: "/server/v1/auth".to_owned(), headers: Vec::new(), body: Body::Form(pairs) })
    }

    fn lent(&self, reply: &Value, now: Millis) -> Option<Fresh> {
        let token = reply["data"]["auth_token"].as_str().filter(|token| !token.is_empty())?;
        Some(Fresh { token: token.to_owned(), renew_at: now + RENEW })
    }

    fn message(&self, account: &Account, notification: &Notification, now: Millis) -> Result<Value, String> {
        if notification.silent {
            return Err("OPPO shows notifications only: a silent message cannot be sent".to_owned());
        }
        let (title, text) = texts(account, notification, (TITLE, LONG_TEXT), one)?;
        let mut message = json!({
            "app_message_id": notification.id,
            "style": if text.chars().count() > TEXT { 2 } else { 1 },
            "title": title,
            "content": text,
            "click_action_type": 0,
            "action_parameters": packed(notification, PARAMETERS)?,
            "off_line": true,
            "off_line_ttl": seconds_left(notification, now, 1, TTL_MAX),
            "notify_id": n_id(notification.key()),
        });
        let tapped = match tap(notification) {
            Tap::App => None,
            Tap::Activity(class) => Some((4, "click_action_activity", class)),
            Tap::Url(url) => Some((2, "click_action_url", url)),
            Tap::Intent(uri) => Some((5, "click_action_url", uri)),
        };
        if let Some((kind, name, value)) = tapped {
            message["click_action_type"] = kind.into();
            message[name] = value.into();
        }
        if let Some(channel) = account.channel_id(notification) {
            message["channel_id"] = channel.into();
        }
        if let Some(category) = account.category(notification) {
            if let Some(name) = &category.name {
                message["category"] = name.as_str().into();
            }
            if let Some(level) = category.level {
                message["notify_level"] = level.into();
            }
        }
        Ok(message)
    }

    fn call(&self, job: &Job<'_>) -> Call {
        let (path, name, content) = match job.tokens {
            [token] => ("unicast", "message", for_device(job.message, token)),
            tokens => {
                let all = tokens.iter().map(|token| for_device(job.message, token)).collect();
                ("unicast_batch", "messages", Value::Array(all))
            }
        };
        let pairs = vec![("auth_token", job.access.to_owned()), (name, content.to_string())];
        let path = format!("/server/v1/message/notification/{path}");
        Call { path, headers: Vec::new(), body: Body::Form(pairs) }
    }

    /// `{"code": 0, "message": "", "data": {"messageId": ".."}}`; of a batch `data` is a list with `messageId`,
    /// `registrationId`, and for what failed `errorCode` and `errorMessage`.
    fn read(&self, reply: &Value, asked: Option<&str>) -> Option<Reading> {
        let code = code_of(&reply["code"])?;
        let mut tokens = HashMap::new();
        if let Some(entries) = reply["data"].as_array() {
            for entry in entries {
                let Some(token) = entry["registrationId"].as_str() else { continue };
                let verdict = Verdict {
                    code: code_of(&entry["errorCode"]).unwrap_or_else(|| code.clone()),
                    words: text_of(&entry["errorMessage"]),
                    id: entry["messageId"].as_str().map(str::to_owned),
                };
                tokens.insert(token.to_owned(), verdict);
            }
        }
        Some(Reading {
            code,
            words: text_of(&reply["message"]),
            id: reply["data"]["messageId"].as_str().map(str::to_owned),
            tokens,
            complete: asked.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        // printf 'key1700000000000secret' | sha256sum
        let expected = "ee412f504f93d283888979ab4f37e98beb471243575d468a4048c57285abad84";
        assert_eq!(sign("key", 1_700_000_000_000, "secret"), expected);
    }
}
