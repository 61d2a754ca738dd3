//! Xiaomi (MiPush): one form per page, proved by a key that does not end. (dev.mi.com, "server API", pId 1163 and 1560.)
//!
//! A quota is a notification channel's (`channel_id`): its name is what a category is to Xiaomi.

use std::sync::Arc;

use homing_core::{channel::Channel, clock::Millis, notification::Notification};
use serde_json::{Value, json};

use super::{
    channel,
    settings::Account,
    text::{Tap, intent, one, packed, short_name, tap, texts},
    vendor::{Body, Call, Job, Profile, Reading, Vendor, Verdict, code_of, quiet, text_of},
};
use crate::{Result, registry::Tools, xinge::n_id};

/// A title has less than 50 characters, a text less than 128, a payload less than 4,096.
const TITLE: usize = 49;
const TEXT: usize = 127;
const PAYLOAD: usize = 4095;

/// Two weeks.
const TTL_MAX: Millis = 1_209_600_000;

const PATH: &str = "/v3/message/regid";

const PROFILE: Profile = Profile {
    name: "xiaomi",
    codes: include_str!("codes/xiaomi.toml"),
    regions: &[
        ("china", "https://api.xmpush.xiaomi.com"),
        ("global", "https://api.xmpush.global.xiaomi.com"),
        ("europe", "https://fr.api.xmpush.global.xiaomi.com"),
        ("russia", "https://ru.api.xmpush.global.xiaomi.com"),
        ("india", "https://idmb.api.xmpush.global.xiaomi.com"),
        // (unverified)
        ("singapore", "https://sgp.api.xmpush.global.xiaomi.com"),
    ],
    auth: None,
    lends: false,
    keys: &[("package", true), ("channel_id", true)],
    all_dead: &["20301"],
};

struct Xiaomi;

pub(crate) fn build(table: &toml::Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    channel::build(Xiaomi, table, tools)
}

/// The notification channel: a category is one, or has one.
fn channel_of<'a>(account: &'a Account, notification: &Notification) -> &'a str {
    let category = account.category(notification);
    let own = category.and_then(|category| category.channel_id.as_deref().or(category.name.as_deref()));
    own.or(account.channel_id.as_deref()).unwrap_or_default()
}

fn form(account: &Account, pairs: Vec<(&'static str, String)>) -> Call {
    let headers = vec![("authorization", format!("key={}", account.secret()))];
    Call { path: PATH.to_owned(), headers, body: Body::Form(pairs) }
}

impl Vendor for Xiaomi {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn ration(&self, account: &Account, notification: &Notification) -> String {
        channel_of(account, notification).to_owned()
    }

    fn message(&self, account: &Account, notification: &Notification, now: Millis) -> Result<Value, String> {
        let package = account.package.as_deref().unwrap_or_default();
        let mut message = json!({
            "restricted_package_name": package,
            "payload": packed(notification, PAYLOAD)?,
            "pass_through": "0",
            // Milliseconds, which no other vendor takes.
            "time_to_live": notification.expires_at.saturating_sub(now).clamp(1, TTL_MAX).to_string(),
            "notify_id": n_id(notification.key()).to_string(),
            // A device shows the first of several messages with this name: what is sent twice is shown once.
            "extra.jobkey": short_name(&notification.id),
            "extra.channel_id": channel_of(account, notification),
        });
        if notification.silent {
            message["pass_through"] = "1".into();
            return Ok(message);
        }
        let (title, text) = texts(account, notification, (TITLE, TEXT), one)?;
        message["title"] = title.into();
        message["description"] = text.into();
        // -1 sound, vibration and light; 4 the light alone.
        message["notify_type"] = if quiet(notification) { "4" } else { "-1" }.into();
        match tap(notification) {
            Tap::App => message["extra.notify_effect"] = "1".into(),
            Tap::Activity(class) => {
                message["extra.notify_effect"] = "2".into();
                message["extra.intent_uri"] = intent(package, class).into();
            }
            Tap::Intent(uri) => {
                message["extra.notify_effect"] = "2".into();
                message["extra.intent_uri"] = uri.into();
            }
            Tap::Url(url) => {
                message["extra.notify_effect"] = "3".into();
                message["extra.web_uri"] = url.into();
            }
        }
        Ok(message)
    }

    fn call(&self, job: &Job<'_>) -> Call {
        let mut pairs = vec![("registration_id", job.tokens.join(","))];
        for name in FIELDS {
            if let Some(value) = job.message.get(*name).and_then(Value::as_str) {
                pairs.push((name, value.to_owned()));
            }
        }
        form(job.account, pairs)
    }

    /// `{"result": "ok", "code": 0, "data": {"id": "..", "bad_regids": "a,b"}, "description": "..", "reason": ".."}`
    fn read(&self, reply: &Value, _: Option<&str>) -> Option<Reading> {
        let code = code_of(&reply["code"])?;
        let (reason, description) = (text_of(&reply["reason"]), text_of(&reply["description"]));
        let words = if reason.is_empty() || code == "0" { description } else { reason };
        let data = &reply["data"];
        let bad = text_of(&data["bad_regids"]);
        let dead = || Verdict { code: "bad_regids".to_owned(), ..Verdict::default() };
        let tokens = bad.split(',').map(str::trim).filter(|token| !token.is_empty());
        Some(Reading {
            code,
            words,
            id: data["id"].as_str().map(str::to_owned),
            tokens: tokens.map(|token| (token.to_owned(), dead())).collect(),
            complete: false,
        })
    }

    /// There is no call that only looks at the key. A silent message to a device that cannot exist shows whether the key
    /// and the package are taken.
    fn probe(&self, account: &Account) -> Option<Call> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let pairs = vec![
            ("registration_id", "homing-credential-check".to_owned()),
            ("restricted_package_name", text(&account.package)),
            ("pass_through", "1".to_owned()),
            ("payload", "{}".to_owned()),
            ("extra.channel_id", text(&account.channel_id)),
        ];
        Some(form(account, pairs))
    }
}

const FIELDS: &[&str] = &[
    "restricted_package_name",
    "pass_through",
    "payload",
    "title",
    "description",
    "notify_type",
    "notify_id",
    "time_to_live",
    "extra.channel_id",
    "extra.jobkey",
    "extra.notify_effect",
    "extra.intent_uri",
    "extra.web_uri",
];
