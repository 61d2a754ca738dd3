//! The channel: finds the account of a notification and makes a call per device, some at a time.

use std::{collections::HashMap, sync::Arc};

use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use homing_core::{
    channel::{Answer, Channel, Credential, Outcome, Pace},
    notification::{Notification, Platform, Target},
};
use reqwest::ClientBuilder;
use toml::Table;

use super::{
    account::{Account, Heard, Line, Project},
    examine, settings,
};
use crate::{
    Error, Result,
    common::{codes::Codes, strangers::Verdict},
    registry::Tools,
};

/// Targets of one page: calls under way for it.
pub const PAGE: usize = 64;

/// FCM for any number of (app, environment) accounts. Its Debug shows no key.
pub struct Fcm {
    line: Line,
    accounts: Vec<Account>,
    pace: Pace,
}

impl std::fmt::Debug for Fcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fcm").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

impl Fcm {
    /// From `[channel.fcm]`. Opens nothing yet.
    ///
    /// # Errors
    /// Names the setting.
    pub fn new(table: &Table, tools: &Tools) -> Result<Self> {
        let settings = settings::read(table)?;
        if settings.rate == 0 {
            return Err(Error::setting("channel.fcm.rate", "is 0 messages per minute"));
        }
        if !(0..=3_600_000).contains(&settings.ramp_ms) {
            let problem = format!("{} is not within 0 to 3600000", settings.ramp_ms);
            return Err(Error::setting("channel.fcm.ramp_ms", problem));
        }
        let codes = Codes::load(include_str!("codes.toml"), "channel.fcm.codes", settings.codes.as_deref())?;
        let client =
            settings.endpoint.builder("channel.fcm.endpoint").map(with_pings)?.build().map_err(Error::Client)?;
        let mut projects: HashMap<String, Arc<Project>> = HashMap::new();
        let mut accounts: Vec<Account> = Vec::new();
        for (name, account) in settings.account {
            let label = format!("channel.fcm.account.{name}");
            let shared = |project: &str| Arc::clone(projects.entry(project.to_owned()).or_default());
            let account = Account::new(label, account, &settings.endpoint, shared)?;
            let same = |other: &Account| other.app == account.app && other.environment == account.environment;
            if let Some(other) = accounts.iter().find(|other| same(other)) {
                let problem = format!("{} is for the same app and environment", other.label);
                return Err(Error::setting(account.label, problem));
            }
            accounts.push(account);
        }
        let pace = Pace { per_second: f64::from(settings.rate) / 60.0, ramp: settings.ramp_ms };
        Ok(Self { line: Line { client, codes, clock: Arc::clone(&tools.clock) }, accounts, pace })
    }

    /// The same, as the registry wants it.
    ///
    /// # Errors
    /// Names the setting.
    pub fn build(table: &Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
        Ok(Arc::new(Self::new(table, tools)?))
    }

    async fn page(&self, notification: &Notification, targets: &[Target], validate_only: bool) -> Vec<Answer> {
        let (app, environment) = (&notification.app, notification.environment);
        let named = |wanted| self.accounts.iter().find(|account| account.app == *app && account.environment == wanted);
        let account = named(Some(environment)).or_else(|| named(None));
        let platform = notification.platform;
        let reached = matches!(platform, Platform::Android | Platform::Ios | Platform::Web);
        let Some(account) = account.filter(|_| reached) else {
            let (platform, environment) = (platform.name(), environment.name());
            let detail = format!("not sent: no account for app {app}, {platform}, {environment}");
            return Answer::new(Outcome::Config, detail).for_all(targets);
        };
        let draft = match account.draft(notification, self.line.clock.now()) {
            Ok(draft) => draft,
            Err(answer) => return answer.for_all(targets),
        };
        let mut calls: Vec<BoxFuture<'_, Heard>> = Vec::with_capacity(targets.len());
        for target in targets {
            calls.push(Box::pin(account.call(&self.line, &draft, &target.token, validate_only)));
        }
        let heard: Vec<Heard> = stream::iter(calls).buffered(PAGE).collect().await;
        heard.into_iter().map(|heard| judge(account, heard)).collect()
    }
}

/// The connection is asked whether it lives, so that a page does not wait on one that a firewall forgot.
fn with_pings(builder: ClientBuilder) -> ClientBuilder {
    let seconds = std::time::Duration::from_secs;
    builder.http2_keep_alive_interval(seconds(30)).http2_keep_alive_timeout(seconds(10))
}

/// Answers that blame the token are judged when the page is through: by then the account is known better.
fn judge(account: &Account, heard: Heard) -> Answer {
    match heard {
        Heard::Answer(answer) => answer,
        Heard::Stranger(detail) => match account.strangers.verdict() {
            Verdict::Token => Answer::new(Outcome::DEAD, detail),
            Verdict::Open => {
                let detail = format!("{detail}; nothing was accepted yet, so it may be the account");
                Answer::new(Outcome::Retry { after: None }, detail)
            }
            Verdict::Account => {
                let detail =
                    format!("{detail}; so is most of what is sent: {} is not these devices' project", account.project);
                Answer::new(Outcome::Config, detail)
            }
        },
        Heard::Misfit(detail) => match account.misfits.verdict() {
            Verdict::Token | Verdict::Open => Answer::new(Outcome::DEAD, detail),
            Verdict::Account => {
                let detail = format!("{detail}; so is most of what is sent: it is the message");
                Answer::new(Outcome::Payload, detail)
            }
        },
    }
}

impl Channel for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn page(&self) -> usize {
        PAGE
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.page(notification, targets, false))
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.page(notification, targets, true))
    }

    fn pace(&self, _: &Notification) -> Option<Pace> {
        Some(self.pace)
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(join_all(self.accounts.iter().map(|account| examine::examine(&self.line, account))))
    }
}
