//! One account: its access token, its streams, its limit, and one call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use homing_core::{
    channel::{Answer, Outcome, Scope},
    clock::{Clock, Millis},
    notification::{Environment, Notification},
};
use reqwest::{Client, header};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;

use super::{
    access,
    answer::{Reading, read},
    message::{Draft, Look, build},
    service_account::ServiceAccount,
    settings::AccountSettings,
};
use crate::{
    Endpoint, Error, Result,
    common::{codes::Codes, http::exchange, lent::Lent, renewals::Renewals, strangers::Strangers},
};

/// FCM's own address.
const BASE: &str = "https://fcm.googleapis.com";

/// Calls under way for a project. (A connection takes 100 to 300.)
const STREAMS: usize = 200;

/// No wish for less is obeyed longer than this.
const LONGEST: Millis = 3_600_000;

/// What all accounts share.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) codes: Codes,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What the accounts of one project share.
pub(crate) struct Project {
    streams: Semaphore,
    /// No call leaves before this: somebody was answered 429.
    closed_until: AtomicI64,
}

impl Default for Project {
    fn default() -> Self {
        Self { streams: Semaphore::new(STREAMS), closed_until: AtomicI64::new(0) }
    }
}

impl Project {
    fn close(&self, until: Millis) {
        self.closed_until.fetch_max(until, Ordering::Relaxed);
    }

    fn opens_in(&self, now: Millis) -> Option<Millis> {
        Some(self.closed_until.load(Ordering::Relaxed).saturating_sub(now)).filter(|wait| *wait > 0)
    }
}

/// What one call came to. The last two are judged when the page is through.
pub(crate) enum Heard {
    Answer(Answer),
    Stranger(String),
    Misfit(String),
}

/// See the module.
pub(crate) struct Account {
    /// `channel.fcm.account.higo`.
    pub(crate) label: String,
    pub(crate) app: String,
    pub(crate) environment: Option<Environment>,
    pub(crate) service: ServiceAccount,
    pub(crate) project: String,
    pub(crate) url: String,
    pub(crate) token_url: String,
    look: Look,
    channels: BTreeMap<String, String>,
    shared: Arc<Project>,
    token: Lent,
    renewals: Renewals,
    /// Tokens of other projects.
    pub(crate) strangers: Strangers,
    /// Tokens that are called none without words about the token.
    pub(crate) misfits: Strangers,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("label", &self.label).field("project", &self.project).finish_non_exhaustive()
    }
}

impl Account {
    /// Checks the settings and the key file.
    pub(crate) fn new(
        label: String,
        settings: AccountSettings,
        endpoint: &Endpoint,
        shared: impl FnOnce(&str) -> Arc<Project>,
    ) -> Result<Self> {
        let wrong = |key: &str, problem: String| Error::setting(format!("{label}.{key}"), problem);
        if settings.app.is_empty() {
            return Err(wrong("app", "is empty: it is the app as in the devices' lookup".to_owned()));
        }
        let service = ServiceAccount::read(settings.service_account.expose_secret())
            .map_err(|problem| wrong("service_account", problem))?;
        let Some(project) = settings.project.or_else(|| service.project.clone()) else {
            return Err(wrong("project", "is missing, and the key file has no `project_id`".to_owned()));
        };
        if project.is_empty() || !project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)) {
            return Err(wrong("project", format!("`{project}` is no id of a project")));
        }
        let url = format!("{}/v1/projects/{project}/messages:send", endpoint.base(BASE));
        let own = service.token_uri.origin().ascii_serialization();
        let token_url = format!("{}{}", endpoint.auth(&own), service.token_uri.path());
        let shared = shared(&project);
        Ok(Self {
            app: settings.app,
            environment: settings.environment,
            look: Look { channel_id: settings.channel_id, sound: settings.sound },
            channels: settings.channels,
            token: Lent::default(),
            renewals: Renewals::default(),
            strangers: Strangers::default(),
            misfits: Strangers::default(),
            label,
            service,
            project,
            url,
            token_url,
            shared,
        })
    }

    /// The message, or why it is not sent.
    pub(crate) fn draft(&self, notification: &Notification, now: Millis) -> Result<Draft, Answer> {
        let channel = notification.category.as_ref().and_then(|category| self.channels.get(category));
        let built = match channel {
            Some(channel) => {
                let look = Look { channel_id: Some(channel.clone()), sound: self.look.sound.clone() };
                build(notification, &look, now)
            }
            None => build(notification, &self.look, now),
        };
        built.map_err(|problem| Answer::new(Outcome::Payload, format!("not sent: {problem}")))
    }

    /// One call.
    pub(crate) async fn call(&self, line: &Line, draft: &Draft, token: &str, validate_only: bool) -> Heard {
        self.attempt(line, draft, token, validate_only).await.unwrap_or_else(Heard::Answer)
    }

    async fn attempt(&self, line: &Line, draft: &Draft, token: &str, validate_only: bool) -> Result<Heard, Answer> {
        if token.is_empty() || token.len() > 4_096 || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let detail = format!("not sent: a token of {} bytes, or with blanks, is none", token.len());
            return Err(Answer::new(Outcome::DEAD, detail));
        }
        let no_streams = |_| Answer::new(Outcome::Retry { after: None }, "not sent: the channel is closing");
        let _stream = self.shared.streams.acquire().await.map_err(no_streams)?;
        let now = line.clock.now();
        if let Some(wait) = self.shared.opens_in(now) {
            let detail = format!("not sent: project {} asked for less", self.project);
            return Err(Answer::new(Outcome::limited(Some(wait)), detail));
        }
        let bearer = self.bearer(line, now).await?;
        let request = line
            .client
            .post(&self.url)
            .bearer_auth(&bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(draft.body(token, validate_only))
            .build()
            .map_err(|_| Answer::new(Outcome::Config, "not sent: the address of FCM is unusable"))?;
        let reply = exchange(&line.client, request).await?;
        let (reading, detail) = read(&reply, &line.codes, line.clock.now(), &[token, &bearer]);
        Ok(self.heard(line, reading, detail, token, &bearer).await)
    }

    async fn heard(&self, line: &Line, reading: Reading, detail: String, token: &str, bearer: &Arc<str>) -> Heard {
        if reading != Reading::Renew {
            match &reading {
                // These say nothing of the access token.
                Reading::Plain(Outcome::Retry { .. } | Outcome::Ambiguous | Outcome::Unknown) => {}
                _ => self.renewals.worked(),
            }
        }
        match reading {
            Reading::Renew => {
                self.token.forget(bearer).await;
                let outcome = if self.renewals.refused(bearer) { Outcome::Corrected } else { Outcome::Config };
                Heard::Answer(Answer::new(outcome, detail))
            }
            Reading::Stranger => {
                self.strangers.stranger(token);
                Heard::Stranger(detail)
            }
            Reading::Misfit => {
                self.misfits.stranger(token);
                Heard::Misfit(detail)
            }
            Reading::Plain(outcome) => {
                match &outcome {
                    Outcome::Delivered { .. } => {
                        self.strangers.accepted();
                        self.misfits.accepted();
                    }
                    Outcome::RateLimited { after: Some(after), scope: Scope::App } => {
                        self.shared.close(line.clock.now().saturating_add((*after).min(LONGEST)));
                    }
                    _ => {}
                }
                Heard::Answer(Answer::new(outcome, detail))
            }
        }
    }

    async fn bearer(&self, line: &Line, now: Millis) -> Result<Arc<str>, Answer> {
        let fetch = async || match access::fetch(&line.client, &self.token_url, &self.service, now).await {
            Ok(granted) => Ok(granted.fresh),
            Err(denied) => Err(denied.answer),
        };
        self.token.get(now, fetch).await
    }
}
