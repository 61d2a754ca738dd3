//! vivo: an access token for a day, JSON, one device by itself and lists by a task. (dev.vivo.com.cn, document 362.)
//!
//! A list is two calls: the message is saved as a task, which shows nobody anything, and then devices are named to the
//! task. Each page makes a task of its own. vivo has notifications only; a silent message cannot be sent.

use std::{collections::HashMap, sync::Arc};

use homing_core::{channel::Channel, clock::Millis, notification::Notification};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::{
    channel, quota,
    settings::{Account, Category},
    text::{Tap, fields, intent, seconds_left, tap, texts, two},
    vendor::{Body, Call, Job, Profile, Reading, Vendor, Verdict, code_of, quiet, text_of},
};
use crate::{Result, common::lent::Fresh, registry::Tools, xinge::n_id};

/// In characters of which those beyond ASCII count two.
const TITLE: usize = 40;
const TEXT: usize = 100;

/// Of the custom fields: pairs, and characters of keys and values together.
const PAIRS: usize = 10;
const CHARACTERS: usize = 1024;

/// Of `requestId`, in characters.
const REQUEST: usize = 64;

/// A minute and seven days.
const TTL: (Millis, Millis) = (60, 604_800);

/// A token lives 24 hours; vivo asks to renew it every one or two.
const RENEW: Millis = 3_600_000;

/// Operators' messages are taken from 7:00 on.
const MORNING: Millis = 7;

/// Categories of operators' messages; all others are services'.
const MARKETING: &[&str] = &["NEWS", "CONTENT", "MARKETING", "SOCIAL"];

const PROFILE: Profile = Profile {
    name: "vivo",
    codes: include_str!("codes/vivo.toml"),
    regions: &[("china", "https://api-push.vivo.com.cn")],
    auth: None,
    lends: true,
    keys: &[("app_id", true), ("app_key", true), ("package", false)],
    all_dead: &[],
};

struct Vivo;

pub(crate) fn build(table: &toml::Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    channel::build(Vivo, table, tools)
}

/// `MD5(app_id + app_key + timestamp + secret)` in lower-case hexadecimal digits.
fn sign(app_id: &str, app_key: &str, timestamp: Millis, secret: &str) -> String {
    let digest = Md5::new()
        .chain_update(app_id.trim())
        .chain_update(app_key.trim())
        .chain_update(timestamp.to_string())
        .chain_update(secret.trim())
        .finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 1 = a service's message, 0 = an operator's, which is what vivo takes it for when nothing is said.
fn classification(category: Option<&Category>) -> u8 {
    let Some(category) = category else { return 0 };
    let by_name = || category.name.as_deref().is_none_or(|name| MARKETING.contains(&name));
    u8::from(!category.marketing.unwrap_or_else(by_name))
}

/// The custom fields as texts.
fn map_of(notification: &Notification) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    let mut length = 0;
    for (key, value) in fields(notification) {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        length += key.chars().count() + text.chars().count();
        map.insert(key, text.into());
    }
    if map.len() > PAIRS || length > CHARACTERS {
        let count = map.len();
        return Err(format!(
            "vivo takes {PAIRS} custom fields with {CHARACTERS} characters (push_type and id among them), not {count} with {length}"
        ));
    }
    Ok(map)
}

fn json_call(path: &str, access: &str, body: Value) -> Call {
    Call { path: path.to_owned(), headers: vec![("authtoken", access.to_owned())], body: Body::Json(body) }
}

impl Vendor for Vivo {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn ration(&self, account: &Account, notification: &Notification) -> String {
        let kind = classification(account.category(notification));
        if kind == 1 { "services' messages" } else { "operators' messages" }.to_owned()
    }

    fn ask(&self, account: &Account, now: Millis) -> Option<Call> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (app_id, app_key) = (text(&account.app_id), text(&account.app_key));
        let sign = sign(&app_id, &app_key, now, account.secret());
        let body = json!({ "appId": app_id, "appKey": app_key, "timestamp": now, "sign": sign });
        Some(Call { path: "/message/auth".to_owned(), headers: Vec::new(), body: Body::Json(body) })
    }

    fn lent(&self, reply: &Value, now: Millis) -> Option<Fresh> {
        let token = reply["authToken"].as_str().filter(|token| !token.is_empty())?;
        Some(Fresh { token: token.to_owned(), renew_at: now + RENEW })
    }

    fn message(&self, account: &Account, notification: &Notification, now: Millis) -> Result<Value, String> {
        if notification.silent {
            return Err("vivo shows notifications only: a silent message cannot be sent".to_owned());
        }
        let (title, text) = texts(account, notification, (TITLE, TEXT), two)?;
        let category = account.category(notification);
        let mut message = json!({
            "appId": account.app_id,
            // 4 rings and vibrates, 1 does neither.
            "notifyType": if quiet(notification) { 1 } else { 4 },
            "title": title,
            "content": text,
            "timeToLive": seconds_left(notification, now, TTL.0, TTL.1),
            "skipType": 1,
            "networkType": -1,
            "classification": classification(category),
            "clientCustomMap": map_of(notification)?,
            "requestId": notification.id.chars().take(REQUEST).collect::<String>(),
            "pushMode": 0,
            "notifyId": n_id(notification.key()),
        });
        if let Some(name) = category.and_then(|category| category.name.as_deref()) {
            message["category"] = name.into();
        }
        match tap(notification) {
            Tap::App => {}
            Tap::Url(url) => {
                message["skipType"] = 2.into();
                message["skipContent"] = url.into();
            }
            Tap::Activity(class) => {
                let package = account.package.as_deref().ok_or("an activity is opened by package: it is not set")?;
                message["skipType"] = 4.into();
                message["skipContent"] = intent(package, class).into();
            }
            Tap::Intent(uri) => {
                message["skipType"] = 4.into();
                message["skipContent"] = uri.into();
            }
        }
        Ok(message)
    }

    fn before(&self, job: &Job<'_>) -> Option<Call> {
        (job.tokens.len() > 1).then(|| json_call("/message/saveListPayload", job.access, job.message.clone()))
    }

    fn call(&self, job: &Job<'_>) -> Call {
        if let [token] = job.tokens {
            let mut body = job.message.clone();
            body["regId"] = (*token).into();
            return json_call("/message/send", job.access, body);
        }
        let body = json!({
            "appId": job.account.app_id,
            "regIds": job.tokens,
            "taskId": job.task,
            "requestId": job.message["requestId"],
            "pushMode": 0,
        });
        json_call("/message/pushToList", job.access, body)
    }

    /// `{"result": 0, "desc": "..", "taskId": "..", "invalidUser": {"userid": "..", "status": 1}}`, of a list
    /// `"invalidUsers": [..]`.
    fn read(&self, reply: &Value, asked: Option<&str>) -> Option<Reading> {
        let code = code_of(&reply["result"])?;
        let mut tokens = HashMap::new();
        let listed = reply["invalidUsers"].as_array().into_iter().flatten();
        for user in listed.chain(reply.get("invalidUser").filter(|user| user.is_object())) {
            let Some(status) = code_of(&user["status"]) else { continue };
            let Some(token) = code_of(&user["userid"]).or_else(|| asked.map(str::to_owned)) else { continue };
            tokens.insert(token, Verdict { code: format!("status {status}"), ..Verdict::default() });
        }
        let id = code_of(&reply["taskId"]);
        Some(Reading { code, words: text_of(&reply["desc"]), id, tokens, complete: false })
    }

    fn wait(&self, code: &str, now: Millis) -> Option<Millis> {
        (code == "10071").then(|| quota::until(MORNING, now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        // printf '10004appkey1700000000000secret' | md5sum
        let expected = "a5000121b62843a0f2e075e47026b144";
        assert_eq!(sign("10004", " appkey", 1_700_000_000_000, "secret "), expected);
    }

    #[test]
    fn a_message_is_an_operators_unless_its_category_says_otherwise() {
        let category = |name: Option<&str>, marketing| Category {
            name: name.map(str::to_owned),
            marketing,
            ..Category::default()
        };
        assert_eq!(classification(None), 0);
        assert_eq!(classification(Some(&category(Some("ORDER"), None))), 1);
        assert_eq!(classification(Some(&category(Some("MARKETING"), None))), 0);
        assert_eq!(classification(Some(&category(Some("ORDER"), Some(true)))), 0);
        assert_eq!(classification(Some(&category(None, Some(false)))), 1);
        assert_eq!(classification(Some(&category(None, None))), 0);
    }
}
