//! Xinge v3 and TPNS: one `POST /v3/push/app` with a JSON body, for one target or for a page. (Xinge v3 REST documentation,
//! 2018 edition, "push API"; TPNS documentation, 548/39064. v3 closed on 2020-10-31 as v2 did.)
//!
//! A page of v3 always begins a task of its own (`push_id` "0"), and its answer is every target's. TPNS answers for each
//! target; a bad token in its page is skipped (`ignore_invalid_token`), so that the others get theirs.

use homing_core::{
    channel::{Answer, Credential, Health, Outcome},
    notification::{Environment, Notification, Platform, Target},
};
use reqwest::{
    Method, Request, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use super::{
    account::{Account, Auth, Flavour},
    auth::{HmacKey, basic},
    build::build_app,
    channel::{Line, woven},
    codes::Class,
    examine::{credential, health_of, query_body, rehearsed, unheard},
    push::Body,
    reply::{Reply, answer, detail, outcome, page_outcome},
    skew::{Skew, Stamp},
    transport::{self, Exchange},
    v2::after_refusal,
};

const PATH: &str = "/v3/push/app";

/// Which devices an account has: reads only, and needs nothing that exists.
const QUERY: &str = "/v3/device/account/query";

/// `expire_time` in seconds: at most 3 days; v3 advises 600 at least, TPNS raises what is below 800.
const EXPIRE_MAX: i64 = 259_200;

/// A v3 token has at most so many characters.
const TOKEN_MAX: usize = 64;

const ACCESS_ID: HeaderName = HeaderName::from_static("accessid");
const TIME_STAMP: HeaderName = HeaderName::from_static("timestamp");
const SIGN: HeaderName = HeaderName::from_static("sign");

/// An account, prepared.
pub(crate) struct App {
    label: String,
    flavour: Flavour,
    platform: Platform,
    environment: Environment,
    secret: SecretString,
    url: Url,
    query: Url,
    host: Option<HeaderValue>,
    proof: Proof,
}

enum Proof {
    Basic(HeaderValue),
    Hmac { access_id: HeaderValue, key: HmacKey, skew: Skew },
}

/// What a notification's requests share.
struct Push<'a> {
    message: &'a RawValue,
    /// `notify`, or `message`, which is handed to the app.
    message_type: &'static str,
    expire_time: i64,
}

// === impl App ===

impl App {
    pub(crate) fn new(account: &Account) -> Result<Self, crate::Error> {
        account.validate()?;
        let (url, _) = account.endpoint(PATH)?;
        let (query, _) = account.endpoint(QUERY)?;
        let value = |name: &str, text: &str| {
            HeaderValue::from_str(text).map_err(|error| account.error(format!("{name}: {error}")))
        };
        let host = account.sign_host.as_deref().map(|host| value("sign_host", host)).transpose()?;
        let proof = match account.proof() {
            Auth::Basic => {
                let mut header = value("secret", &basic(&account.access_id, &account.secret))?;
                header.set_sensitive(true);
                Proof::Basic(header)
            }
            Auth::Hmac => {
                let key = HmacKey::new(&account.access_id, &account.secret);
                let key = key.ok_or_else(|| account.error("secret cannot be a key"))?;
                Proof::Hmac { access_id: value("access_id", &account.access_id)?, key, skew: Skew::default() }
            }
        };
        Ok(Self {
            label: account.label(),
            flavour: account.flavour,
            platform: account.platform,
            environment: account.environment,
            secret: account.secret.clone(),
            url,
            query,
            host,
            proof,
        })
    }

    pub(crate) async fn send(&self, line: &Line, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let message = match self.message(notification) {
            Ok(message) => message,
            Err(answer) => return answer.for_all(targets),
        };
        let push = self.push(line, notification, &message);
        if let [target] = targets {
            return self.call(line, &push, &[&target.token]).await;
        }
        // v3 does not say which token of a page is bad. TPNS does.
        let fits = |token: &str| self.fits(token);
        let tokens: Vec<&str> =
            targets.iter().map(|target| target.token.as_str()).filter(|token| fits(token)).collect();
        let answers = if tokens.is_empty() { Vec::new() } else { self.call(line, &push, &tokens).await };
        woven(targets, fits, answers)
    }

    /// The message's text, checked.
    fn message(&self, notification: &Notification) -> Result<Box<RawValue>, Answer> {
        let text = build_app(notification, self.flavour).text().map_err(|refusal| refusal.answer())?;
        RawValue::from_string(text).map_err(|error| answer(Outcome::Payload, format!("not sent: {error}")))
    }

    fn push<'a>(&self, line: &Line, notification: &Notification, message: &'a RawValue) -> Push<'a> {
        let least = if self.flavour == Flavour::V3 { 600 } else { 800 };
        let left = notification.expires_at.saturating_sub(line.clock.now()) / 1000;
        let message_type = if notification.silent { "message" } else { "notify" };
        Push { message, message_type, expire_time: left.clamp(least, EXPIRE_MAX) }
    }

    fn fits(&self, token: &str) -> bool {
        self.flavour == Flavour::Tpns || (1..=TOKEN_MAX).contains(&token.len())
    }

    /// Builds and signs, and sends nothing.
    pub(crate) fn rehearse(&self, line: &Line, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let signed = self.message(notification).and_then(|message| {
            let push = self.push(line, notification, &message);
            let tokens: Vec<&str> = targets.iter().map(|target| target.token.as_str()).collect();
            let body = serde_json::to_vec(&self.body(&push, &tokens));
            let body = body.map_err(|error| answer(Outcome::Payload, format!("not sent: {error}")))?;
            let length = body.len();
            self.request(line, &self.url, body)?;
            Ok(answer(Outcome::Unknown, rehearsed(length)))
        });
        let signed = match signed {
            Ok(signed) => signed,
            Err(answer) => return answer.for_all(targets),
        };
        let fits = |token: &str| self.fits(token);
        let count = targets.iter().filter(|target| fits(&target.token)).count();
        woven(targets, fits, vec![signed; count])
    }

    /// Asks for the devices of an account that nobody has.
    pub(crate) async fn examine(&self, line: &Line) -> Credential {
        let platform = (self.flavour == Flavour::V3).then(|| self.platform.name());
        let body = query_body(platform);
        let (health, detail) = match self.ask(line, body).await {
            Ok(found) => found,
            Err(answer) => unheard(answer),
        };
        credential(&self.label, health, detail)
    }

    async fn ask(&self, line: &Line, body: Vec<u8>) -> Result<(Health, String), Answer> {
        let (request, stamp) = self.request(line, &self.query, body)?;
        let exchange = transport::exchange(&line.client, request, &*line.clock).await?;
        let reply = Reply::read(&exchange.body)
            .ok_or_else(|| answer(Outcome::Ambiguous, "the reply has no readable ret_code"))?;
        let (class, meaning) = line.codes.of(self.flavour, reply.code);
        let mut detail = detail(&reply, meaning, &[self.secret.expose_secret()]);
        if class == Class::AuthOrClock && stamp.is_some_and(|stamp| stamp.is_off(exchange.date())) {
            detail.push_str("; this machine's clock differs from the service's");
            return Ok((Health::Doubtful, detail));
        }
        Ok((health_of(class, &reply.text), detail))
    }

    /// One call, with one answer per token.
    async fn call(&self, line: &Line, push: &Push<'_>, tokens: &[&str]) -> Vec<Answer> {
        let body = match serde_json::to_vec(&self.body(push, tokens)) {
            Ok(body) => body,
            Err(error) => return vec![answer(Outcome::Payload, format!("not sent: {error}")); tokens.len()],
        };
        let (request, stamp) = match self.request(line, &self.url, body) {
            Ok(stamped) => stamped,
            Err(answer) => return vec![answer; tokens.len()],
        };
        match transport::exchange(&line.client, request, &*line.clock).await {
            Ok(exchange) => self.judge(line, tokens, stamp, &exchange),
            Err(answer) => vec![answer; tokens.len()],
        }
    }

    fn body<'a>(&self, push: &Push<'a>, tokens: &[&'a str]) -> Body<'a> {
        let (v3, page) = (self.flavour == Flavour::V3, tokens.len() > 1);
        Body {
            audience_type: if page { "token_list" } else { "token" },
            platform: v3.then(|| self.platform.name()),
            message_type: push.message_type,
            message: push.message,
            token_list: tokens.to_vec(),
            push_id: (v3 && page).then_some("0"),
            expire_time: push.expire_time,
            multi_pkg: false,
            environment: (self.platform == Platform::Ios).then_some(match self.environment {
                Environment::Production => "product",
                Environment::Development => "dev",
            }),
            ignore_invalid_token: (!v3 && page).then_some(1),
        }
    }

    /// The request, and the stamp that it was signed with.
    fn request(&self, line: &Line, url: &Url, body: Vec<u8>) -> Result<(Request, Option<Stamp>), Answer> {
        let mut request = Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(host) = &self.host {
            headers.insert(HOST, host.clone());
        }
        let stamp = match &self.proof {
            Proof::Basic(authorization) => {
                headers.insert(AUTHORIZATION, authorization.clone());
                None
            }
            Proof::Hmac { access_id, key, skew } => {
                let stamp = skew.stamp(line.clock.now());
                let sign = HeaderValue::try_from(key.sign(stamp.seconds, &body));
                let sign = sign.map_err(|error| answer(Outcome::Config, format!("not sent: {error}")))?;
                headers.insert(ACCESS_ID, access_id.clone());
                headers.insert(TIME_STAMP, HeaderValue::from(stamp.seconds));
                headers.insert(SIGN, sign);
                Some(stamp)
            }
        };
        *request.body_mut() = Some(body.into());
        Ok((request, stamp))
    }

    fn judge(&self, line: &Line, tokens: &[&str], stamp: Option<Stamp>, exchange: &Exchange) -> Vec<Answer> {
        let Some(reply) = Reply::read(&exchange.body) else {
            return vec![answer(Outcome::Ambiguous, "the reply has no readable ret_code"); tokens.len()];
        };
        let (class, meaning) = line.codes.of(self.flavour, reply.code);
        let single = if let [token] = tokens { token } else { "" };
        let mut detail = detail(&reply, meaning, &[single, self.secret.expose_secret()]);
        match (class, &self.proof, stamp) {
            (Class::AuthOrClock, Proof::Hmac { skew, .. }, Some(stamp)) if stamp.is_off(exchange.date()) => {
                let refused = skew.refused(stamp, line.clock.now(), exchange.date());
                let (outcome, why) = after_refusal(&self.label, &refused);
                detail.push_str(why);
                return vec![Answer { outcome, detail }; tokens.len()];
            }
            (Class::Ok | Class::Token | Class::NoTarget | Class::Partial, Proof::Hmac { skew, .. }, Some(stamp)) => {
                skew.accepted(stamp);
            }
            _ => {}
        }
        match reply.codes(tokens.len()) {
            Some(codes) => codes.into_iter().map(|code| self.each(line, &reply, class, code, &detail)).collect(),
            None => {
                let outcome = match class {
                    Class::Ok => accepted(&reply),
                    class if tokens.len() > 1 => page_outcome(class, &reply.text),
                    // A list of one that failed in part tells no more than its code.
                    Class::Partial => Outcome::Unknown,
                    class => outcome(class, &reply.text),
                };
                vec![Answer { outcome, detail }; tokens.len()]
            }
        }
    }

    /// The answer for one target of a call that has a code for each.
    fn each(&self, line: &Line, reply: &Reply, call: Class, code: i64, detail: &str) -> Answer {
        let (class, meaning) = line.codes.of(self.flavour, code);
        match (call, class) {
            (Class::Ok | Class::Partial, Class::Ok) => answer(accepted(reply), detail),
            // The call was refused, for the others' sake or for a reason of its own.
            (Class::Token | Class::NoTarget, Class::Ok) => answer(Outcome::Retry { after: None }, detail),
            (call, Class::Ok) => answer(outcome(call, &reply.text), detail),
            (_, Class::Partial) => answer(Outcome::Unknown, format!("{detail}; for this target {code} ({meaning})")),
            (_, class) => answer(outcome(class, &reply.text), format!("{detail}; for this target {code} ({meaning})")),
        }
    }
}

/// Accepted, under the id of its task.
fn accepted(reply: &Reply) -> Outcome {
    Outcome::Delivered { provider_id: reply.push_id() }
}
