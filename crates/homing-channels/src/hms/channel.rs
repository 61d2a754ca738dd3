//! The channel: finds the account of a notification and makes one call for the whole page.

use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use homing_core::{
    channel::{Answer, Channel, Credential, Outcome, Pace},
    notification::{Notification, Target},
};
use toml::Table;

use super::{
    account::{Account, Line},
    answer::Reading,
    examine, settings, v3,
};
use crate::{
    Error, Result,
    common::{codes::Codes, strangers::Verdict},
    registry::Tools,
};

/// Tokens of one call at most. (Both generations; 80300010 above it.)
pub const PAGE: usize = 1_000;

/// Bytes of a message without its tokens. (Both generations; 80300008 above it.)
pub const MESSAGE_MAX: usize = 4_096;

/// HMS for any number of (app, environment) accounts of each flavour. Its Debug shows no secret.
pub struct Hms {
    line: Line,
    accounts: Vec<Account>,
    pace: Option<Pace>,
}

impl std::fmt::Debug for Hms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hms").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

impl Hms {
    /// From `[channel.hms]`. Opens nothing yet.
    ///
    /// # Errors
    /// Names the setting.
    pub fn new(table: &Table, tools: &Tools) -> Result<Self> {
        let settings = settings::read(table)?;
        if settings.rate == Some(0) {
            return Err(Error::setting("channel.hms.rate", "is 0 tokens per second"));
        }
        let codes = Codes::load(include_str!("codes.toml"), "channel.hms.codes", settings.codes.as_deref())?;
        let client = settings.endpoint.builder("channel.hms.endpoint")?.build().map_err(Error::Client)?;
        let mut accounts: Vec<Account> = Vec::new();
        for (name, account) in settings.account {
            let account = Account::new(format!("channel.hms.account.{name}"), account, &settings.endpoint)?;
            let place = |account: &Account| (account.app.clone(), account.environment, account.platform);
            if let Some(other) = accounts.iter().find(|other| place(other) == place(&account)) {
                let problem = format!("{} is for the same app, environment and flavour", other.label);
                return Err(Error::setting(account.label, problem));
            }
            accounts.push(account);
        }
        let pace = settings.rate.map(|rate| Pace { per_second: f64::from(rate), ramp: 0 });
        Ok(Self { line: Line { client, codes, clock: Arc::clone(&tools.clock) }, accounts, pace })
    }

    /// The same, as the registry wants it.
    ///
    /// # Errors
    /// Names the setting.
    pub fn build(table: &Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
        Ok(Arc::new(Self::new(table, tools)?))
    }

    async fn page(&self, notification: &Notification, targets: &[Target], rehearsal: bool) -> Vec<Answer> {
        let named = |environment| {
            self.accounts.iter().find(|account| {
                account.app == notification.app
                    && account.environment == environment
                    && account.platform == notification.platform
            })
        };
        let Some(account) = named(Some(notification.environment)).or_else(|| named(None)) else {
            let (app, platform) = (&notification.app, notification.platform.name());
            let environment = notification.environment.name();
            let detail = format!("not sent: no account for app {app}, {platform}, {environment}");
            return Answer::new(Outcome::Config, detail).for_all(targets);
        };
        let draft = match account.draft(notification, self.line.clock.now()) {
            Ok(draft) => draft,
            Err(answer) => return answer.for_all(targets),
        };
        let tokens: Vec<&str> =
            targets.iter().map(|target| target.token.as_str()).filter(|token| fits(token)).collect();
        let push_type = v3::push_type(notification);
        let answers = if tokens.is_empty() {
            Vec::new()
        } else if rehearsal && !account.validates() {
            let signed = account.bearer(&self.line, self.line.clock.now()).await;
            let said = "built and signed; Huawei validates nothing without sending it";
            let built = Answer::new(Outcome::Unknown, said);
            vec![signed.map_or_else(|refusal| refusal, |_| built); tokens.len()]
        } else {
            match account.call(&self.line, draft, push_type, &tokens, rehearsal).await {
                Ok(read) => read.into_iter().map(|(reading, detail)| judge(account, reading, detail)).collect(),
                Err(answer) => vec![answer; tokens.len()],
            }
        };
        let mut answers = answers.into_iter();
        let each = targets.iter().map(|target| {
            if !fits(&target.token) {
                let detail = format!("not sent: a token of {} bytes, or with blanks, is none", target.token.len());
                return Answer::new(Outcome::DEAD, detail);
            }
            // There is one answer per fitting target; the other branch cannot be reached.
            answers.next().unwrap_or_else(|| Answer::new(Outcome::Ambiguous, "no answer"))
        });
        each.collect()
    }
}

fn fits(token: &str) -> bool {
    !token.is_empty() && token.len() <= 4_096 && !token.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// What is said of a stranger depends on what the others are answered.
fn judge(account: &Account, reading: Reading, detail: String) -> Answer {
    match reading {
        Reading::Plain(outcome) => Answer::new(outcome, detail),
        // The account answered it for all before it came here.
        Reading::Renew => Answer::new(Outcome::Config, detail),
        Reading::Stranger => match account.strangers.verdict() {
            Verdict::Token => Answer::new(Outcome::DEAD, detail),
            Verdict::Open => {
                let detail = format!("{detail}; nothing was accepted yet, so it may be the account");
                Answer::new(Outcome::Retry { after: None }, detail)
            }
            Verdict::Account => {
                let detail = format!("{detail}; so is most of what is sent: {} is not these devices'", account.label);
                Answer::new(Outcome::Config, detail)
            }
        },
    }
}

impl Channel for Hms {
    fn name(&self) -> &'static str {
        "hms"
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
        self.pace
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(join_all(self.accounts.iter().map(|account| examine::examine(&self.line, account))))
    }
}
