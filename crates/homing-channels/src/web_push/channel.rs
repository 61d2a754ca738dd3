//! The channel: finds the account, encrypts for each browser, and posts; one attempt each.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use homing_core::{
    channel::{Answer, Channel, Credential, Health, Outcome},
    clock::{Clock, Millis},
    notification::{Environment, Notification, Priority, Target},
};
use reqwest::{
    Client, Method, Request,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue},
};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
};
use secrecy::ExposeSecret as _;
use toml::Table;
use url::Url;

use super::{
    origins::{Origin, Origins},
    payload,
    seal::{Fresh, seal},
    settings::{self, Settings, Topic},
    subscription::{Keys, Subscription},
    vapid::{Vapid, check_subject, is_local_subject},
    verdict::{self, Call, judge, judge_broken, not_sent},
};
use crate::{
    Error, Result,
    common::{
        guard::{Checked, Guard, Known, Names, System},
        http::{Reply, exchange_or},
        section,
    },
    registry::Tools,
};

/// Targets of one call of the channel; they go out side by side.
pub const PAGE_MAX: usize = 64;

/// The push services of the browsers: Chrome, Edge's and Opera's builds on it; Firefox; Safari; older Edge on Windows.
const OWN: &[&str] =
    &["fcm.googleapis.com", "*.push.services.mozilla.com", "web.push.apple.com", "*.notify.windows.com"];

/// Longest time to live that push services keep their word for: four weeks.
const TTL_MAX: i64 = 2_419_200;

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// The channel `web_push`.
pub struct WebPush {
    client: Client,
    guard: Arc<Guard>,
    accounts: Vec<Account>,
    origins: Origins,
    topic: Topic,
    rng: SystemRandom,
    clock: Arc<dyn Clock>,
}

struct Account {
    name: String,
    app: String,
    environment: Option<Environment>,
    vapid: Vapid,
    subject: String,
    probe: Option<Subscription>,
}

/// What the pushes of one notification share.
struct Line<'a> {
    number: usize,
    account: &'a Account,
    plain: Vec<u8>,
    ttl: i64,
    urgency: &'static str,
    topic: Option<String>,
    now: Millis,
}

/// One push, ready to go.
struct Letter {
    request: Request,
    origin: Arc<Origin>,
    known: Known,
    endpoint: Url,
}

/// Builds the channel from `[channel.web_push]`.
///
/// # Errors
/// Names the setting that cannot work.
pub fn open(section: &Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    Ok(Arc::new(WebPush::new(section::read("web_push", section)?, tools, Arc::new(System))?))
}

// === impl WebPush ===

impl WebPush {
    pub(super) fn new(settings: Settings, tools: &Tools, names: Arc<dyn Names>) -> Result<Self> {
        settings.endpoint.has_no_address("channel.web_push.endpoint")?;
        let guard = Guard::new(OWN, &settings.allow, settings.public, "channel.web_push.allow")?;
        let guard = Arc::new(guard);
        let client = settings
            .endpoint
            .builder("channel.web_push.endpoint")?
            .dns_resolver(Checked { guard: Arc::clone(&guard), names })
            .build()
            .map_err(Error::Client)?;
        let mut accounts: Vec<Account> = Vec::new();
        for (name, given) in settings.account {
            let account = Account::new(name, given, &guard)?;
            if let Some(other) = accounts.iter().find(|other| other.overlaps(&account)) {
                let problem = format!("{} serves app {} in the same environment", other.name, account.app);
                return Err(Error::setting(account.name, problem));
            }
            accounts.push(account);
        }
        Ok(Self {
            client,
            guard,
            accounts,
            origins: Origins::default(),
            topic: settings.topic,
            rng: SystemRandom::new(),
            clock: Arc::clone(&tools.clock),
        })
    }

    fn line(&self, notification: &Notification) -> Result<Line<'_>, Answer> {
        let (app, environment) = (&notification.app, notification.environment);
        let found = self.accounts.iter().enumerate().find(|(_, account)| account.serves(app, environment));
        let Some((number, account)) = found else {
            let (platform, environment) = (notification.platform.name(), environment.name());
            let detail = format!("no account for app {app}, {platform}, {environment}");
            return Err(Answer::new(Outcome::Config, detail));
        };
        let now = self.clock.now();
        let topic = match self.topic {
            Topic::Key => Some(notification.key()),
            Topic::Collapse => notification.collapse.as_deref(),
        };
        Ok(Line {
            number,
            account,
            plain: payload::build(notification)?,
            ttl: (notification.expires_at.saturating_sub(now) / 1000).clamp(0, TTL_MAX),
            urgency: match notification.priority {
                Priority::Low => "low",
                Priority::Normal => "normal",
                Priority::High => "high",
            },
            topic: topic.map(topic_of),
            now,
        })
    }

    /// Reads the token, encrypts and signs.
    fn letter(&self, line: &Line<'_>, token: &str) -> Result<Letter, Answer> {
        let subscription = Subscription::parse(token)
            .map_err(|why| Answer::new(Outcome::DEAD, format!("not sent: the subscription is unusable: {why}")))?;
        self.letter_to(line, &subscription)
    }

    fn letter_to(&self, line: &Line<'_>, to: &Subscription) -> Result<Letter, Answer> {
        let known = self.guard.check(&to.endpoint).map_err(not_sent)?;
        let origin = self.origins.at(to.endpoint.origin().ascii_serialization());
        let request = self.request(line, &to.endpoint, &to.keys, &origin);
        // Nothing was sent, and nothing but a lack of randomness brings it here.
        let request = request.map_err(|why| Answer::new(Outcome::Retry { after: None }, format!("not sent: {why}")))?;
        Ok(Letter { request, origin, known, endpoint: to.endpoint.clone() })
    }

    fn request(&self, line: &Line<'_>, endpoint: &Url, keys: &Keys, origin: &Origin) -> Result<Request, String> {
        let fresh = Fresh::draw(&self.rng).ok_or("no randomness")?;
        let body = seal(&line.plain, keys, &fresh).map_err(|_| "encryption failed")?;
        let mut request = Request::new(Method::POST, endpoint.clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, origin.header(line.number, &line.account.vapid, line.now)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(TTL, HeaderValue::from(line.ttl));
        headers.insert(URGENCY, HeaderValue::from_static(line.urgency));
        if let Some(topic) = &line.topic {
            headers.insert(TOPIC, HeaderValue::try_from(topic).map_err(|error| error.to_string())?);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    async fn post(&self, request: Request, origin: &Origin, known: Known) -> Result<Reply, Answer> {
        // Nobody closes it; a permit that does not come would only mean that nobody counts.
        let permit = origin.permits.acquire().await;
        let reply = exchange_or(&self.client, request, |error| judge_broken(error, known)).await;
        drop(permit);
        reply
    }

    async fn send_one(&self, line: &Line<'_>, token: &str) -> Answer {
        let letter = match self.letter(line, token) {
            Ok(letter) => letter,
            Err(answer) => return answer,
        };
        let Letter { request, origin, known, endpoint } = letter;
        match self.post(request, &origin, known).await {
            Ok(reply) => {
                let now = self.clock.now();
                judge(&reply, &Call { origin: &origin, account: line.number, endpoint: &endpoint, known, now })
            }
            Err(answer) => answer,
        }
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        match self.line(notification) {
            Ok(line) => {
                let line = &line;
                let calls: Vec<_> = targets.iter().map(|target| self.send_one(line, &target.token)).collect();
                stream::iter(calls).buffered(PAGE_MAX).collect().await
            }
            Err(answer) => answer.for_all(targets),
        }
    }

    fn rehearse_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let line = match self.line(notification) {
            Ok(line) => line,
            Err(answer) => return answer.for_all(targets),
        };
        let each = targets.iter().map(|target| match self.letter(&line, &target.token) {
            Ok(_) => Answer::new(Outcome::Delivered { provider_id: None }, "encrypted and signed, not sent"),
            Err(answer) => answer,
        });
        each.collect()
    }

    async fn look_at(&self, number: usize, account: &Account) -> Credential {
        let (health, detail) = self.probe(number, account).await;
        let (health, detail) = if is_local_subject(&account.subject) && health < Health::Refused {
            (health.max(Health::Doubtful), format!("{detail}; Apple refuses a subject that nobody can reach"))
        } else {
            (health, detail)
        };
        Credential { account: account.name.clone(), health, detail, expires_at: None }
    }

    /// A push service has no call that shows nobody anything: without a browser of one's own there is nothing to try.
    async fn probe(&self, number: usize, account: &Account) -> (Health, String) {
        let public = account.vapid.public();
        let Some(probe) = &account.probe else {
            let detail =
                format!("the key is well-formed (public: {public}); `probe` names a subscription to try it with");
            return (Health::Unknown, detail);
        };
        let line = Line {
            number,
            account,
            plain: br#"{"probe":true,"silent":true}"#.to_vec(),
            ttl: 0,
            urgency: "low",
            topic: None,
            now: self.clock.now(),
        };
        let letter = match self.letter_to(&line, probe) {
            Ok(letter) => letter,
            Err(answer) => return (Health::Unknown, answer.detail),
        };
        let reply = match self.post(letter.request, &letter.origin, letter.known).await {
            Ok(reply) => reply,
            Err(answer) => return (Health::Unknown, answer.detail),
        };
        let words = verdict::detail(&reply, &probe.endpoint);
        match reply.status.as_u16() {
            200..=299 => (Health::Good, format!("the push service took a message to the probe (public: {public})")),
            401 | 403 => (Health::Refused, format!("{words} (public: {public})")),
            404 | 410 => (Health::Unknown, format!("the probe is gone, subscribe it again: {words}")),
            _ => (Health::Unknown, words),
        }
    }
}

impl Channel for WebPush {
    fn name(&self) -> &'static str {
        "web_push"
    }

    fn page(&self) -> usize {
        PAGE_MAX
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move { self.rehearse_all(notification, targets) })
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(async move {
            let looks = self.accounts.iter().enumerate().map(|(number, account)| self.look_at(number, account));
            let looks: Vec<_> = looks.collect();
            stream::iter(looks).buffered(PAGE_MAX).collect().await
        })
    }
}

// === impl Account ===

impl Account {
    fn new(key: String, given: settings::Account, guard: &Guard) -> Result<Self> {
        let name = format!("channel.web_push.account.{key}");
        let wrong = |setting: &str, problem: String| Error::setting(format!("{name}.{setting}"), problem);
        if given.app.is_empty() {
            return Err(wrong("app", "is empty".to_owned()));
        }
        check_subject(&given.subject).map_err(|problem| wrong("subject", problem))?;
        let vapid = Vapid::new(given.key.expose_secret(), &given.subject).map_err(|problem| wrong("key", problem))?;
        if let Some(probe) = &given.probe {
            guard.check(&probe.endpoint).map_err(|refused| wrong("probe.endpoint", not_sent(refused).detail))?;
        }
        let settings::Account { app, environment, subject, probe, .. } = given;
        Ok(Self { name, app, environment, vapid, subject, probe })
    }

    fn serves(&self, app: &str, environment: Environment) -> bool {
        self.app == app && self.environment.is_none_or(|own| own == environment)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let both = self.environment.is_none() || other.environment.is_none() || self.environment == other.environment;
        self.app == other.app && both
    }
}

/// 32 characters of base64url that stand for the key, the same for ever (RFC 8030, section 5.4).
fn topic_of(key: &str) -> String {
    let hash = digest(&SHA256, key.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..24).unwrap_or_default())
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
