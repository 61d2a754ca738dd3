//! The channel: finds the account of a notification and hands it to the flavour that the account speaks.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;
use homing_core::{
    channel::{Answer, Channel, Credential, Outcome},
    clock::Clock,
    notification::{Environment, Notification, Platform, Target},
};
use reqwest::Client;

use super::{
    account::{Account, Flavour},
    app::App,
    codes::Codes,
    options::Options,
    reply::answer,
    transport,
    v2::AppV2,
};
use crate::Result;

/// Targets of one call at most. (Xinge v2 REST documentation, `device_list_multiple`; v3 and TPNS, `token_list`.)
pub const PAGE_MAX: usize = 1000;

/// Xinge in all its flavours, for any number of (app, platform, environment) accounts.
///
/// A page of several targets is one message for all of them: v2 creates a task and names the devices to it, v3 and TPNS
/// take the list with the message. A task belongs to its page and is never used again.
pub struct Xinge {
    line: Line,
    apps: HashMap<String, PerDevice>,
}

/// What all accounts share.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) codes: Codes,
    pub(crate) ios_message_type: u8,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The accounts of an app, by platform and environment.
type PerDevice = HashMap<(Platform, Environment), Speaker>;

/// An account, prepared.
enum Speaker {
    V2(Box<AppV2>),
    App(Box<App>),
}

// === impl Xinge ===

impl Xinge {
    /// Checks the accounts and opens nothing yet. A TLS provider of the process must be installed.
    pub fn new(accounts: Vec<Account>, options: &Options, clock: Arc<dyn Clock>) -> Result<Self> {
        options.validate()?;
        let codes = match &options.codes {
            Some(path) => Codes::load(path)?,
            None => Codes::embedded()?,
        };
        let mut apps: HashMap<String, PerDevice> = HashMap::new();
        for account in accounts {
            let twice = account.error("there are two accounts for this app, platform and environment");
            let speaker = match account.flavour {
                Flavour::V2 => Speaker::V2(Box::new(AppV2::new(&account)?)),
                Flavour::V3 | Flavour::Tpns => Speaker::App(Box::new(App::new(&account)?)),
            };
            let device = (account.platform, account.environment);
            if apps.entry(account.app).or_default().insert(device, speaker).is_some() {
                return Err(twice);
            }
        }
        let client = transport::client(options)?;
        Ok(Self { line: Line { client, codes, ios_message_type: options.ios_message_type, clock }, apps })
    }

    fn speaker(&self, notification: &Notification) -> Result<&Speaker, Answer> {
        let speaker = self
            .apps
            .get(&notification.app)
            .and_then(|app| app.get(&(notification.platform, notification.environment)));
        speaker.ok_or_else(|| {
            let (app, platform) = (&notification.app, notification.platform.name());
            let environment = notification.environment.name();
            answer(Outcome::Config, format!("not sent: no account for app {app}, {platform}, {environment}"))
        })
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        match self.speaker(notification) {
            Ok(Speaker::V2(app)) => app.send(&self.line, notification, targets).await,
            Ok(Speaker::App(app)) => app.send(&self.line, notification, targets).await,
            Err(answer) => answer.for_all(targets),
        }
    }

    fn rehearse_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        match self.speaker(notification) {
            Ok(Speaker::V2(app)) => app.rehearse(&self.line, notification, targets),
            Ok(Speaker::App(app)) => app.rehearse(&self.line, notification, targets),
            Err(answer) => answer.for_all(targets),
        }
    }

    /// Every account, one after another, in order.
    async fn examine_all(&self) -> Vec<Credential> {
        let mut seen = Vec::new();
        for speaker in self.apps.values().flat_map(HashMap::values) {
            seen.push(match speaker {
                Speaker::V2(app) => app.examine(&self.line).await,
                Speaker::App(app) => app.examine(&self.line).await,
            });
        }
        seen.sort_by(|one: &Credential, other| one.account.cmp(&other.account));
        seen
    }
}

impl Channel for Xinge {
    fn name(&self) -> &'static str {
        "xinge"
    }

    fn page(&self) -> usize {
        PAGE_MAX
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(std::future::ready(self.rehearse_all(notification, targets)))
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(self.examine_all())
    }
}

/// `answer` for the targets of a page that are fit to be sent, and a refusal of the token for the others, in their order.
pub(crate) fn woven(targets: &[Target], fits: impl Fn(&str) -> bool, answers: Vec<Answer>) -> Vec<Answer> {
    let mut answers = answers.into_iter();
    let each = targets.iter().map(|target| {
        if !fits(&target.token) {
            let length = target.token.len();
            return answer(Outcome::DEAD, format!("not sent: a token of {length} characters is none"));
        }
        // There is one answer per fitting target; the other branch cannot be reached.
        answers.next().unwrap_or_else(|| answer(Outcome::Ambiguous, "no answer"))
    });
    each.collect()
}
