//! Honor: OAuth2 client credentials, then JSON with a list of devices. (developer.honor.com, "downlink message".)
//!
//! A message with `data` and no notification is silent: the app gets it.

use std::{collections::HashMap, sync::Arc};

use homing_core::{channel::Channel, clock::Millis, notification::Notification};
use serde_json::{Value, json};

use super::{
    channel,
    settings::Account,
    text::{Tap, intent, one, packed, seconds_left, tap, texts},
    vendor::{Body, Call, Job, Profile, Reading, Vendor, Verdict, code_of, text_of},
};
use crate::{Result, common::lent::Fresh, registry::Tools};

/// Longer texts than these are not shown (unverified).
const TITLE: usize = 50;
const TEXT: usize = 256;

/// Of the custom fields; a whole message has 4,096 bytes at most (unverified).
const DATA: usize = 3000;
const MESSAGE: usize = 4096;

/// Fifteen days.
const TTL_MAX: Millis = 1_296_000;

const PROFILE: Profile = Profile {
    name: "honor",
    codes: include_str!("codes/honor.toml"),
    regions: &[("china", "https://push-api.cloud.honor.com")],
    auth: Some("https://iam.developer.honor.com"),
    lends: true,
    keys: &[("app_id", true), ("client_id", true), ("package", false)],
    all_dead: &["80300007"],
};

struct Honor;

pub(crate) fn build(table: &toml::Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    channel::build(Honor, table, tools)
}

/// `NORMAL` is a service's message, `LOW` an operator's.
fn importance<'a>(account: &'a Account, notification: &Notification) -> Option<&'a str> {
    let category = account.category(notification)?;
    match (category.name.as_deref(), category.marketing) {
        (Some(name), _) => Some(name),
        (None, Some(true)) => Some("LOW"),
        (None, Some(false)) => Some("NORMAL"),
        (None, None) => None,
    }
}

impl Vendor for Honor {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn ration(&self, account: &Account, notification: &Notification) -> String {
        importance(account, notification).unwrap_or_default().to_owned()
    }

    fn ask(&self, account: &Account, _: Millis) -> Option<Call> {
        let pairs = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", account.client_id.clone().unwrap_or_default()),
            ("client_secret", account.secret().to_owned()),
        ];
        Some(Call { path: "/auth/token".to_owned(), headers: Vec::new(), body: Body::Form(pairs) })
    }

    fn lent(&self, reply: &Value, now: Millis) -> Option<Fresh> {
        let token = reply["access_token"].as_str().filter(|token| !token.is_empty())?;
        let life = reply["expires_in"].as_i64().unwrap_or(3_600).clamp(0, 86_400) * 1000;
        // Five minutes early, or at half of a short life.
        Some(Fresh { token: token.to_owned(), renew_at: now + (life / 2).max(life - 300_000) })
    }

    fn message(&self, account: &Account, notification: &Notification, now: Millis) -> Result<Value, String> {
        let mut message = json!({
            "data": packed(notification, DATA)?,
            "android": { "ttl": format!("{}s", seconds_left(notification, now, 1, TTL_MAX)), "biTag": notification.id },
        });
        if !notification.silent {
            let (title, text) = texts(account, notification, (TITLE, TEXT), one)?;
            let click = match tap(notification) {
                Tap::App => json!({ "type": 3 }),
                Tap::Url(url) => json!({ "type": 2, "url": url }),
                Tap::Intent(uri) => json!({ "type": 1, "intent": uri }),
                Tap::Activity(class) => {
                    let package =
                        account.package.as_deref().ok_or("an activity is opened by package: it is not set")?;
                    json!({ "type": 1, "intent": intent(package, class) })
                }
            };
            message["notification"] = json!({ "title": title, "body": text });
            let mut shown = json!({
                "title": title, "body": text, "clickAction": click,
                // A later message with the same tag takes the place of the earlier one.
                "tag": notification.key(),
            });
            if let Some(importance) = importance(account, notification) {
                shown["importance"] = importance.into();
            }
            message["android"]["notification"] = shown;
        }
        let length = message.to_string().len();
        if length > MESSAGE {
            return Err(format!("the message has {length} bytes, more than {MESSAGE}"));
        }
        Ok(message)
    }

    fn call(&self, job: &Job<'_>) -> Call {
        let mut body = job.message.clone();
        body["token"] = job.tokens.into();
        let headers = vec![("authorization", format!("Bearer {}", job.access)), ("timestamp", job.now.to_string())];
        let app_id = job.account.app_id.as_deref().unwrap_or_default();
        Call { path: format!("/api/v1/{app_id}/sendMessage"), headers, body: Body::Json(body) }
    }

    /// `{"code": 200, "message": "..", "data": {"sendResult": true, "requestId": "..", "failTokens": [], "expireTokens": []}}`
    fn read(&self, reply: &Value, _: Option<&str>) -> Option<Reading> {
        // The token service answers as OAuth2 does.
        let mut code = code_of(&reply["code"]).or_else(|| code_of(&reply["error"]))?;
        let data = &reply["data"];
        let mut tokens = HashMap::new();
        for list in ["failTokens", "expireTokens"] {
            for token in data[list].as_array().into_iter().flatten().filter_map(Value::as_str) {
                tokens.insert(token.to_owned(), Verdict { code: list.to_owned(), ..Verdict::default() });
            }
        }
        if data["sendResult"].as_bool() == Some(false) && code == "200" {
            "sendResult false".clone_into(&mut code);
        }
        let said = ["message", "msg", "error_description"].map(|name| text_of(&reply[name]));
        let words = said.into_iter().find(|words| !words.is_empty()).unwrap_or_default();
        let id = code_of(&data["requestId"]).or_else(|| code_of(&reply["requestId"]));
        Some(Reading { code, words, id, tokens, complete: false })
    }
}
