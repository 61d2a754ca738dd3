//! The channel of Xinge v2: one `POST /v2/push/single_device` per target. (Xinge v2 REST documentation, 2018 edition,
//! "single device"; the service closed on 2020-10-31, so the simulator and the SDK's recordings are the other side.)
//!
//! ```text
//! access_id device_token environment expire_time message message_type multi_pkg send_time timestamp [valid_time] sign
//! ```
//!
//! The parameters go out in byte order, so that body and signature are written in one pass.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, Millis},
    notification::{Notification, Platform, Target},
};
use reqwest::{
    Client, Method, Request, Url,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    account::Account,
    build::build,
    codes::{Class, Codes},
    form::SignedForm,
    options::Options,
    reply::{Reply, answer, detail, outcome},
    sign::Signer,
    skew::{Refused, Skew, Stamp},
    transport,
};
use crate::Result;

const PATH: &str = "/v2/push/single_device";

/// Bounds of `expire_time` in seconds: how long the service keeps a message for a phone that is off. (Xinge v2 REST
/// documentation, 2018 edition, "push parameters": at most 259200, at least 800 is advised.)
const EXPIRE_MIN: i64 = 800;
const EXPIRE_MAX: i64 = 259_200;

/// The service's own `valid_time`, which is left out as the SDK does.
const VALID_TIME_DEFAULT: u32 = 600;

/// Xinge v2, single device, for any number of (app, platform) accounts.
pub struct XingeV2 {
    client: Client,
    apps: HashMap<String, PerPlatform>,
    codes: Codes,
    ios_message_type: u8,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct PerPlatform {
    android: Option<App>,
    ios: Option<App>,
}

/// An account, prepared: whatever its requests share is parsed, encoded and hashed once.
struct App {
    label: String,
    access_id: u64,
    environment: u8,
    valid_time: Option<String>,
    secret: SecretString,
    url: Url,
    host: HeaderValue,
    start: SignedForm,
    skew: Skew,
}

// === impl XingeV2 ===

impl XingeV2 {
    /// Checks the accounts and opens nothing yet. A TLS provider of the process must be installed.
    pub fn new(accounts: Vec<Account>, options: &Options, clock: Arc<dyn Clock>) -> Result<Self> {
        options.validate()?;
        let codes = match &options.codes {
            Some(path) => Codes::load(path)?,
            None => Codes::embedded()?,
        };
        let mut apps: HashMap<String, PerPlatform> = HashMap::new();
        for account in accounts {
            let twice = account.error("there are two accounts for this app and platform");
            let app = App::new(&account)?;
            let slot = apps.entry(account.app).or_default().slot(account.platform);
            if slot.replace(app).is_some() {
                return Err(twice);
            }
        }
        let client = transport::client(options)?;
        Ok(Self { client, apps, codes, ios_message_type: options.ios_message_type, clock })
    }

    fn app(&self, name: &str, platform: Platform) -> Option<&App> {
        let app = self.apps.get(name)?;
        match platform {
            Platform::Android => app.android.as_ref(),
            Platform::Ios => app.ios.as_ref(),
        }
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let Some(app) = self.app(&notification.app, notification.platform) else {
            let (name, platform) = (&notification.app, notification.platform.name());
            let detail = format!("not sent: no Xinge v2 account for app {name} on platform {platform}");
            return vec![answer(Outcome::Config, detail); targets.len()];
        };
        let text = match build(notification).text(app.access_id, app.environment) {
            Ok(text) => text,
            Err(refusal) => return vec![refusal.answer(); targets.len()],
        };
        let push = Push {
            message: text,
            message_type: match notification.platform {
                Platform::Android => 1,
                Platform::Ios => self.ios_message_type,
            },
            expires_at: notification.expires_at,
        };
        let mut answers = Vec::with_capacity(targets.len());
        for target in targets {
            answers.push(self.send_one(app, &push, &target.token).await);
        }
        answers
    }

    async fn send_one(&self, app: &App, push: &Push, token: &str) -> Answer {
        let now = self.clock.now();
        let stamp = app.skew.stamp(now);
        let request = app.request(push, token, stamp, now);
        match transport::exchange(&self.client, request, &*self.clock).await {
            Ok(exchange) => self.judge(app, token, stamp, &exchange),
            Err(answer) => answer,
        }
    }

    fn judge(&self, app: &App, token: &str, stamp: Stamp, exchange: &transport::Exchange) -> Answer {
        let Some(reply) = Reply::read(&exchange.body) else {
            return answer(Outcome::Ambiguous, "the reply has no readable ret_code");
        };
        let (class, meaning) = self.codes.v2(reply.code);
        let mut detail = detail(&reply, meaning, &[token, app.secret.expose_secret()]);
        let outcome = match class {
            Class::Clock => {
                let refused = app.skew.refused(stamp, self.clock.now(), exchange.date());
                let (outcome, why) = app.after_refusal(&refused);
                detail.push_str(why);
                outcome
            }
            class => {
                if matches!(class, Class::Ok | Class::Token | Class::NoTarget) {
                    app.skew.accepted(stamp);
                }
                outcome(class, &reply.text)
            }
        };
        Answer { outcome, detail }
    }
}

impl Channel for XingeV2 {
    fn name(&self) -> &'static str {
        "xinge"
    }

    fn page(&self) -> usize {
        1
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }
}

/// What a notification's requests share.
struct Push {
    message: String,
    message_type: u8,
    expires_at: Millis,
}

// === impl PerPlatform ===

impl PerPlatform {
    fn slot(&mut self, platform: Platform) -> &mut Option<App> {
        match platform {
            Platform::Android => &mut self.android,
            Platform::Ios => &mut self.ios,
        }
    }
}

// === impl App ===

impl App {
    fn new(account: &Account) -> Result<Self> {
        account.validate()?;
        let (url, sign_host) = account.endpoint(PATH)?;
        let host = HeaderValue::from_str(&sign_host).map_err(|error| account.error(format!("sign_host: {error}")))?;
        let mut start = SignedForm::new(Signer::new("POST", &sign_host, PATH));
        start.pair("access_id", &account.access_id.to_string());
        let valid_time = (account.valid_time != VALID_TIME_DEFAULT).then(|| account.valid_time.to_string());
        Ok(Self {
            label: account.label(),
            access_id: account.access_id,
            environment: account.environment_code(),
            valid_time,
            secret: account.secret.clone(),
            url,
            host,
            start,
            skew: Skew::default(),
        })
    }

    fn request(&self, push: &Push, token: &str, stamp: Stamp, now: Millis) -> Request {
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        *request.body_mut() = Some(self.body(push, token, stamp, now).into());
        request
    }

    fn body(&self, push: &Push, token: &str, stamp: Stamp, now: Millis) -> Vec<u8> {
        let expire = (push.expires_at.saturating_sub(now) / 1000).clamp(EXPIRE_MIN, EXPIRE_MAX);
        let mut form = self.start.begin(push.message.len() * 2 + token.len() + 240);
        form.pair("device_token", token);
        form.pair("environment", digit(self.environment));
        form.pair("expire_time", &expire.to_string());
        form.pair("message", &push.message);
        form.pair("message_type", digit(push.message_type));
        form.pair("multi_pkg", "0");
        form.pair("send_time", "");
        form.pair("timestamp", &stamp.seconds.to_string());
        if let Some(valid_time) = &self.valid_time {
            form.pair("valid_time", valid_time);
        }
        form.finish(&self.secret)
    }

    fn after_refusal(&self, refused: &Refused) -> (Outcome, &'static str) {
        match refused {
            Refused::Learnt(offset) => {
                tracing::warn!(app = %self.label, offset_ms = offset, "The clock of Xinge differs; requests now follow it.");
                (Outcome::Corrected, "; the clock is corrected")
            }
            Refused::Known => (Outcome::Corrected, "; the clock was corrected meanwhile"),
            Refused::Again => (Outcome::Config, "; refused again with the corrected clock"),
            Refused::NoDate => (Outcome::Config, "; the reply has no Date to learn the clock from"),
        }
    }
}

fn digit(number: u8) -> &'static str {
    match number {
        1 => "1",
        2 => "2",
        11 => "11",
        _ => "0",
    }
}
