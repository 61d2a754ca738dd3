//! The channel: finds the hook, signs and posts; one attempt each.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use homing_core::{
    channel::{Answer, Channel, Credential, Health, Outcome},
    clock::Clock,
    notification::{Notification, Target},
};
use reqwest::{
    Client, Method, Request,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use toml::Table;
use url::Url;

use super::{
    body::{build, delivery},
    settings::{self, Settings},
    sign::{SIGNATURE, sign},
};
use crate::{
    Error, Result,
    common::{
        guard::{Checked, Guard, Names, Refused, System, is_private},
        http::{Reply, broken, exchange_or},
        section,
        words::words,
    },
    registry::Tools,
};

/// Posts of one call, where it has several targets.
const AT_ONCE: usize = 16;

/// Shorter secrets can be guessed from one signed body.
const SECRET_MIN: usize = 16;

const ID: HeaderName = HeaderName::from_static("homing-id");

/// The channel `webhook`.
pub struct Webhook {
    hooks: BTreeMap<String, Hook>,
    /// For hooks on the Internet: connects to public addresses only.
    guarded: Client,
    /// For those of our own network.
    plain: Client,
    clock: Arc<dyn Clock>,
}

struct Hook {
    name: String,
    url: Url,
    secret: SecretString,
    app: Option<String>,
    headers: HeaderMap,
    private: bool,
    ping: bool,
}

/// Builds the channel from `[channel.webhook]`.
///
/// # Errors
/// Names the setting that cannot work.
pub fn open(section: &Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    Ok(Arc::new(Webhook::new(section::read("webhook", section)?, tools, Arc::new(System))?))
}

// === impl Webhook ===

impl Webhook {
    pub(super) fn new(settings: Settings, tools: &Tools, names: Arc<dyn Names>) -> Result<Self> {
        let endpoint = &settings.endpoint;
        endpoint.has_no_address("channel.webhook.endpoint")?;
        let builder = || endpoint.builder("channel.webhook.endpoint");
        // It vouches for no name: the hooks' forms are checked one by one.
        let checked = Checked { guard: Arc::new(Guard::default()), names };
        let guarded = builder()?.dns_resolver(checked).build().map_err(Error::Client)?;
        let plain = builder()?.build().map_err(Error::Client)?;
        let hooks = settings.hook.into_iter().map(|(name, given)| Ok((name.clone(), Hook::new(&name, given)?)));
        let hooks = hooks.collect::<Result<_>>()?;
        Ok(Self { hooks, guarded, plain, clock: Arc::clone(&tools.clock) })
    }

    fn hook(&self, notification: &Notification, name: &str) -> Result<&Hook, Answer> {
        let config = |detail: String| Answer::new(Outcome::Config, detail);
        let shown: String = name.chars().take(64).collect();
        let hook = self.hooks.get(name).ok_or_else(|| config(format!("no hook {shown:?} in channel.webhook.hook")))?;
        match &hook.app {
            Some(app) if *app != notification.app => {
                Err(config(format!("hook {shown:?} is for app {app}, not for {}", notification.app)))
            }
            _ => Ok(hook),
        }
    }

    fn prepare(&self, notification: &Notification, target: &Target) -> Result<(&Hook, Request), Answer> {
        let hook = self.hook(notification, &target.token)?;
        let delivery = delivery(notification, target);
        let body = build(notification, target, &delivery)
            .map_err(|why| Answer::new(Outcome::Payload, format!("not sent: {why}")))?;
        let request = hook.request(&delivery, body, self.clock.now() / 1000);
        Ok((hook, request.map_err(|why| Answer::new(Outcome::Payload, format!("not sent: {why}")))?))
    }

    async fn post(&self, hook: &Hook, request: Request) -> Result<Reply, Answer> {
        let client = if hook.private { &self.plain } else { &self.guarded };
        let unreached = |error: &reqwest::Error| {
            if is_private(error) {
                let detail = "not sent: the hook's host has no public address; `private = true` if that is meant";
                return Answer::new(Outcome::Config, detail);
            }
            broken(error)
        };
        exchange_or(client, request, unreached).await
    }

    async fn send_one(&self, notification: &Notification, target: &Target) -> Answer {
        let (hook, request) = match self.prepare(notification, target) {
            Ok(prepared) => prepared,
            Err(answer) => return answer,
        };
        match self.post(hook, request).await {
            Ok(reply) => judge(&reply, self.clock.now(), &hook.secrets()),
            Err(answer) => answer,
        }
    }

    async fn look_at(&self, hook: &Hook) -> Credential {
        let (health, detail) = self.probe(hook).await;
        Credential { account: format!("channel.webhook.hook.{}", hook.name), health, detail, expires_at: None }
    }

    async fn probe(&self, hook: &Hook) -> (Health, String) {
        if !hook.ping {
            return (Health::Unknown, "not tried: `ping = true` lets the check post {\"type\":\"ping\"}".to_owned());
        }
        let now = self.clock.now();
        let id = format!("ping-{now}");
        let body = json!({ "delivery": id, "id": id, "type": "ping", "created_at": now }).to_string();
        let request = match hook.request(&id, body.into_bytes(), now / 1000) {
            Ok(request) => request,
            Err(why) => return (Health::Unknown, why),
        };
        match self.post(hook, request).await {
            Ok(reply) => {
                let answer = judge(&reply, now, &hook.secrets());
                match answer.outcome {
                    Outcome::Delivered { .. } => (Health::Good, format!("it took a ping: {}", answer.detail)),
                    Outcome::Config => (Health::Refused, answer.detail),
                    Outcome::Payload => (Health::Doubtful, format!("it takes no ping: {}", answer.detail)),
                    _ => (Health::Unknown, answer.detail),
                }
            }
            Err(Answer { outcome: Outcome::Config, detail }) => (Health::Refused, detail),
            Err(answer) => (Health::Unknown, answer.detail),
        }
    }
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn page(&self) -> usize {
        1
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        let calls = targets.iter().map(move |target| self.send_one(notification, target));
        Box::pin(stream::iter(calls).buffered(AT_ONCE).collect())
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        let each = targets.iter().map(|target| match self.prepare(notification, target) {
            Ok(_) => Answer::new(Outcome::Delivered { provider_id: None }, "signed, not sent"),
            Err(answer) => answer,
        });
        Box::pin(std::future::ready(each.collect()))
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        let looks = self.hooks.values().map(|hook| self.look_at(hook));
        Box::pin(stream::iter(looks).buffered(AT_ONCE).collect())
    }
}

// === impl Hook ===

impl Hook {
    fn new(name: &str, given: settings::Hook) -> Result<Self> {
        let wrong =
            |setting: &str, problem: String| Error::setting(format!("channel.webhook.hook.{name}.{setting}"), problem);
        let url = Url::parse(given.url.expose_secret().trim())
            .map_err(|error| wrong("url", format!("is no address: {error}")))?;
        check_url(&url, given.private).map_err(|problem| wrong("url", problem))?;
        let length = given.secret.expose_secret().len();
        if length < SECRET_MIN {
            return Err(wrong("secret", format!("has {length} bytes, less than {SECRET_MIN}")));
        }
        let mut headers = HeaderMap::new();
        for (key, value) in &given.headers {
            let wrong = |problem: String| wrong(&format!("headers.{key}"), problem);
            let key = HeaderName::try_from(key).map_err(|error| wrong(error.to_string()))?;
            let ours = key.as_str().starts_with("homing-");
            if ours || ["content-type", "content-length", "host", "transfer-encoding"].contains(&key.as_str()) {
                return Err(wrong("is set by the channel".to_owned()));
            }
            let mut value = HeaderValue::try_from(value.expose_secret())
                .map_err(|_| wrong("has characters that no header may have".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let settings::Hook { secret, app, private, ping, .. } = given;
        Ok(Self { name: name.to_owned(), url, secret, app, headers, private, ping })
    }

    /// What a reply must not bring into a record.
    fn secrets(&self) -> [&str; 2] {
        [self.secret.expose_secret(), self.url.path()]
    }

    fn request(&self, delivery: &str, body: Vec<u8>, seconds: i64) -> Result<Request, String> {
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("Homing"));
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ID, HeaderValue::try_from(delivery).map_err(|error| error.to_string())?);
        let signature = HeaderValue::try_from(sign(&self.secret, seconds, &body)).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static(SIGNATURE), signature);
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}

/// The form of a hook's address. The operator wrote it, so any port goes; the guard looks at the rest.
fn check_url(url: &Url, private: bool) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user or a password: `headers` is the place for credentials".to_owned());
    }
    if private {
        return if matches!(url.scheme(), "http" | "https") { Ok(()) } else { Err("is neither http nor https".into()) };
    }
    let mut standard = url.clone();
    if standard.set_port(None).is_err() {
        return Err("is no address of https".to_owned());
    }
    let everybody = Guard::new(&[], &[], true, "url").map_err(|error| error.to_string())?;
    everybody.check(&standard).map(|_| ()).map_err(|refused| {
        let (Refused::Hostile(why) | Refused::Unlisted(why)) = refused;
        format!("is refused: {why}; `private = true` if the hook is in your own network")
    })
}

/// What a status means. An answer about the address (404, 410, a redirect) or the credentials is every message's: those
/// wait for the operator. The others that begin with 4 are this message's.
fn judge(reply: &Reply, now: i64, secrets: &[&str]) -> Answer {
    let after = reply.retry_after(now);
    let status = reply.status.as_u16();
    let outcome = match status {
        200..=299 => Outcome::Delivered { provider_id: None },
        300..=399 | 401 | 403 | 404 | 405 | 410 => Outcome::Config,
        408 | 425 | 500..=599 => Outcome::Retry { after },
        // It is one address: what it asks for is for all messages to it.
        429 => Outcome::limited(after),
        400..=499 => Outcome::Payload,
        _ => Outcome::Unknown,
    };
    if reply.status.is_success() || reply.body.is_empty() {
        return Answer::new(outcome, format!("HTTP status {status}"));
    }
    Answer::new(outcome, format!("HTTP status {status}: {}", words(&String::from_utf8_lossy(&reply.body), secrets)))
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
