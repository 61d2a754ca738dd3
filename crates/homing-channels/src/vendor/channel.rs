//! The channel of all vendors: one attempt, one answer per target.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, future::BoxFuture, stream};
use homing_core::{
    channel::{Answer, Channel, Credential, Health, Outcome, Scope},
    clock::{Clock, Millis},
    notification::{Environment, Notification, Platform, Target},
};
use reqwest::{
    Client, Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{
    judge::{Court, Ruling},
    quota::Rations,
    settings::{Account, PAGE_MAX, Section},
    text::fits,
    vendor::{Body, Call, Job, Vendor},
};
use crate::{
    Error, Result,
    common::{
        codes::Codes,
        http::{Reply, exchange_up_to},
        lent::{Fresh, Lent},
        section,
    },
    registry::Tools,
};

/// A reply that names a page of targets is long.
const REPLY_MAX: usize = 1024 * 1024;

/// Calls under way at once where `page` is smaller than what the sender hands over.
const CALLS: usize = 8;

/// A clock that is further off than this is worth a word beside a refusal.
const SKEW: Millis = 60_000;

/// A vendor's channel.
struct Phones {
    vendor: Box<dyn Vendor>,
    accounts: HashMap<(String, Option<Environment>), App>,
    codes: Codes,
    client: Client,
    clock: Arc<dyn Clock>,
    page: usize,
}

/// An account, prepared.
struct App {
    /// `channel.oppo.account.higo`
    path: String,
    account: Account,
    home: String,
    auth: String,
    lent: Lent,
    rations: Rations,
}

/// Builds the channel from its section.
///
/// # Errors
/// Names the key of the configuration.
pub(super) fn build(vendor: impl Vendor + 'static, table: &toml::Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    let profile = vendor.profile();
    let name = profile.name;
    let section: Section = section::read(name, table)?;
    if !(1..=PAGE_MAX).contains(&section.page) {
        let problem = format!("{} is not within 1 to {PAGE_MAX}", section.page);
        return Err(Error::setting(format!("channel.{name}.page"), problem));
    }
    let codes = Codes::load(profile.codes, &format!("channel.{name}.codes"), section.codes.as_deref())?;
    let client = section.endpoint.builder(&format!("channel.{name}.endpoint"))?.build().map_err(Error::Client)?;
    let mut accounts = HashMap::new();
    for (key, account) in section.account {
        let path = format!("channel.{name}.account.{key}");
        account.check(profile, &path)?;
        let home = section.endpoint.base(account.home(profile, &path)?);
        let auth = profile.auth.map_or_else(|| home.clone(), |own| section.endpoint.auth(own));
        let device = (account.app.clone(), account.environment);
        let app = App { path: path.clone(), account, home, auth, lent: Lent::default(), rations: Rations::default() };
        if let Some(other) = accounts.insert(device, app) {
            let problem = format!("{} is for the same app and environment", other.path);
            return Err(Error::setting(path, problem));
        }
    }
    let phones = Phones {
        vendor: Box::new(vendor),
        accounts,
        codes,
        client,
        clock: Arc::clone(&tools.clock),
        page: section.page,
    };
    Ok(Arc::new(phones))
}

impl Phones {
    fn name(&self) -> &'static str {
        self.vendor.profile().name
    }

    fn app(&self, notification: &Notification) -> Result<&App, Answer> {
        let (app, environment) = (&notification.app, notification.environment);
        if notification.platform == Platform::Android {
            let of = |environment| self.accounts.get(&(app.clone(), environment));
            if let Some(found) = of(Some(environment)).or_else(|| of(None)) {
                return Ok(found);
            }
        }
        let (platform, environment) = (notification.platform.name(), environment.name());
        Err(Answer::new(Outcome::Config, format!("not sent: no account for app {app}, {platform}, {environment}")))
    }

    fn message(&self, app: &App, notification: &Notification) -> Result<Value, Answer> {
        let message = self.vendor.message(&app.account, notification, self.clock.now());
        message.map_err(|problem| Answer::new(Outcome::Payload, format!("not sent: {problem}")))
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let (app, message) = match self.ready(notification) {
            Ok(ready) => ready,
            Err(answer) => return answer.for_all(targets),
        };
        let tokens: Vec<&str> = targets.iter().map(|target| &*target.token).filter(|token| fits(token)).collect();
        let mut calls: Vec<BoxFuture<'_, Vec<Answer>>> = Vec::new();
        for tokens in tokens.chunks(self.page) {
            calls.push(Box::pin(self.page(app, notification, &message, tokens)));
        }
        let answers: Vec<Vec<Answer>> = stream::iter(calls).buffered(CALLS).collect().await;
        let mut answers = answers.into_iter().flatten();
        let each = targets.iter().map(|target| {
            if !fits(&target.token) {
                let length = target.token.len();
                return Answer::new(Outcome::DEAD, format!("not sent: a token of {length} bytes like this is none"));
            }
            // There is one answer per fitting token; the other branch cannot be reached.
            answers.next().unwrap_or_else(|| Answer::new(Outcome::Ambiguous, "no answer"))
        });
        each.collect()
    }

    /// Everything that can be known before a call.
    fn ready(&self, notification: &Notification) -> Result<(&App, Value), Answer> {
        let app = self.app(notification)?;
        let message = self.message(app, notification)?;
        let ration = self.vendor.ration(&app.account, notification);
        match app.rations.left(&ration, self.clock.now()) {
            None => Ok((app, message)),
            Some(left) => {
                let outcome = Outcome::RateLimited { after: Some(left), scope: scope(&app.account) };
                let of = if ration.is_empty() { String::new() } else { format!(" of {ration}") };
                Err(Answer::new(outcome, format!("not sent: the day's quota{of} is used up")))
            }
        }
    }

    /// One call for up to a page of tokens.
    async fn page(&self, app: &App, notification: &Notification, message: &Value, tokens: &[&str]) -> Vec<Answer> {
        match self.attempt(app, notification, message, tokens).await {
            Ok(answers) => answers,
            Err(answer) => vec![answer; tokens.len()],
        }
    }

    async fn attempt(
        &self,
        app: &App,
        notification: &Notification,
        message: &Value,
        tokens: &[&str],
    ) -> Result<Vec<Answer>, Answer> {
        let access = self.access(app).await?;
        let mut job = Job {
            account: &app.account,
            notification,
            message,
            tokens,
            access: access.as_deref().unwrap_or_default(),
            task: None,
            now: self.clock.now(),
        };
        let mut task = None;
        if let Some(call) = self.vendor.before(&job) {
            let reply = self.exchange(&app.home, call).await.map_err(before_anything)?;
            let ruling = self.rule(app, &job, &reply).await;
            if !ruling.accepted {
                return Ok(ruling.answers.into_iter().map(before_anything).collect());
            }
            task = ruling.id;
            if task.is_none() {
                return Err(Answer::new(Outcome::Retry { after: None }, "the reply names no task"));
            }
        }
        job.task = task.as_deref();
        let reply = self.exchange(&app.home, self.vendor.call(&job)).await?;
        Ok(self.rule(app, &job, &reply).await.answers)
    }

    /// Judges a reply and does what follows from it for the account.
    async fn rule(&self, app: &App, job: &Job<'_>, reply: &Reply) -> Ruling {
        let single = if let [token] = job.tokens { token } else { "" };
        let court = Court {
            vendor: &*self.vendor,
            codes: &self.codes,
            now: job.now,
            hide: &[job.account.secret(), job.access, single],
            scope: scope(job.account),
        };
        let ruling = court.judge(reply, job.tokens);
        if ruling.renew {
            app.lent.forget(job.access).await;
        }
        if let Some(wait) = ruling.used_up {
            app.rations.used_up(&self.vendor.ration(job.account, job.notification), job.now, wait);
        }
        ruling
    }

    /// The access token of a vendor that lends one.
    async fn access(&self, app: &App) -> Result<Option<Arc<str>>, Answer> {
        if !self.vendor.profile().lends {
            return Ok(None);
        }
        app.lent.get(self.clock.now(), async || self.fetch(app).await).await.map(Some)
    }

    async fn fetch(&self, app: &App) -> Result<Fresh, Answer> {
        let now = self.clock.now();
        let Some(call) = self.vendor.ask(&app.account, now) else {
            return Err(Answer::new(Outcome::Config, "no call fetches an access token"));
        };
        let reply = self.exchange(&app.auth, call).await.map_err(before_anything)?;
        if reply.status.is_success()
            && let Some(fresh) = self.vendor.lent(&reply.json(), now)
        {
            return Ok(fresh);
        }
        let hide = [app.account.secret()];
        let court = Court { vendor: &*self.vendor, codes: &self.codes, now, hide: &hide, scope: scope(&app.account) };
        let mut ruling = court.judge(&reply, &[""]);
        let answer = ruling.answers.pop().unwrap_or_else(|| Answer::new(Outcome::Config, "no answer"));
        let outcome = match answer.outcome {
            outcome @ (Outcome::RateLimited { .. } | Outcome::Retry { .. }) => outcome,
            Outcome::Ambiguous => Outcome::Retry { after: None },
            _ => Outcome::Config,
        };
        let mut detail = format!("no access token: {}", answer.detail);
        if let Some(skew) = reply.date().map(|date| now - date).filter(|skew| skew.abs() > SKEW) {
            detail.push_str(&format!("; this machine's clock differs by {} s from the vendor's", skew / 1000));
        }
        Err(Answer::new(outcome, detail))
    }

    async fn exchange(&self, base: &str, call: Call) -> Result<Reply, Answer> {
        let request = self.request(base, call);
        let request = request.map_err(|problem| Answer::new(Outcome::Config, format!("not sent: {problem}")))?;
        exchange_up_to(&self.client, request, REPLY_MAX).await
    }

    fn request(&self, base: &str, call: Call) -> Result<Request, String> {
        let (kind, body) = match call.body {
            Body::Form(pairs) => {
                ("application/x-www-form-urlencoded", Serializer::new(String::new()).extend_pairs(pairs).finish())
            }
            Body::Json(value) => ("application/json", value.to_string()),
        };
        let builder = self.client.post(format!("{base}{}", call.path));
        let mut request = builder.body(body).build().map_err(|error| error.without_url().to_string())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in call.headers {
            let mut value = HeaderValue::try_from(value).map_err(|_| format!("{name} cannot be a header"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    async fn rehearse_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let built = self.app(notification).and_then(|app| self.message(app, notification).map(|_| app));
        let answer = match built {
            Err(answer) => answer,
            Ok(app) => match self.access(app).await {
                Err(answer) => answer,
                Ok(Some(_)) => Answer::new(
                    Outcome::Delivered { provider_id: None },
                    "built, and the credentials are taken; the token was not looked at",
                ),
                Ok(None) => {
                    Answer::new(Outcome::Unknown, format!("built; {} cannot validate without sending", self.name()))
                }
            },
        };
        let each = targets.iter().map(|target| match fits(&target.token) {
            true => answer.clone(),
            false => Answer::new(Outcome::DEAD, "this can be no token"),
        });
        each.collect()
    }

    async fn examine_app(&self, app: &App) -> Credential {
        let seen = |health, detail: String| Credential { account: app.path.clone(), health, detail, expires_at: None };
        let answer = match self.vendor.probe(&app.account) {
            None => match self.access(app).await {
                Ok(_) => return seen(Health::Good, "an access token was lent".to_owned()),
                Err(answer) => answer,
            },
            Some(call) => match self.exchange(&app.home, call).await {
                Err(answer) => answer,
                Ok(reply) => {
                    let hide = [app.account.secret()];
                    let (vendor, codes, now) = (&*self.vendor, &self.codes, self.clock.now());
                    let court = Court { vendor, codes, now, hide: &hide, scope: Scope::App };
                    let answer = court.judge(&reply, &[""]).answers.pop();
                    answer.unwrap_or_else(|| Answer::new(Outcome::Unknown, "no answer"))
                }
            },
        };
        let health = match answer.outcome {
            Outcome::Config | Outcome::Corrected => Health::Refused,
            Outcome::RateLimited { .. } => Health::Doubtful,
            Outcome::Retry { .. } | Outcome::Ambiguous | Outcome::Unknown => Health::Unknown,
            // It looked at the message, so it took the credentials.
            Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } | Outcome::NoDevice | Outcome::Payload => {
                Health::Good
            }
        };
        seen(health, answer.detail)
    }
}

/// Until the call that sends was written, nothing can have been accepted.
fn before_anything(answer: Answer) -> Answer {
    match answer.outcome {
        Outcome::Ambiguous => Answer { outcome: Outcome::Retry { after: None }, ..answer },
        _ => answer,
    }
}

/// Where an account has several kinds of messages, the one whose quota is used up must not hold up the others.
fn scope(account: &Account) -> Scope {
    if account.has_kinds() { Scope::Token } else { Scope::App }
}

impl Channel for Phones {
    fn name(&self) -> &'static str {
        Phones::name(self)
    }

    fn page(&self) -> usize {
        self.page
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.rehearse_all(notification, targets))
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(async {
            let mut seen: Vec<Credential> = Vec::new();
            for app in self.accounts.values() {
                seen.push(self.examine_app(app).await);
            }
            seen.sort_by(|one, other| one.account.cmp(&other.account));
            seen
        })
    }
}
