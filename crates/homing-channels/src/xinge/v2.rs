//! Xinge v2. One target is one `POST /v2/push/single_device`; a page is `create_multipush`, which takes the message and
//! answers the id of a task, and `device_list_multiple`, which names the devices to it. (Xinge v2 REST documentation, 2018
//! edition; the service closed on 2020-10-31, so the simulator and the SDK's recordings are the other side.)
//!
//! ```text
//! single  access_id device_token environment expire_time message message_type multi_pkg send_time timestamp [valid_time] sign
//! create  access_id environment expire_time message message_type multi_pkg timestamp [valid_time] sign
//! list    access_id device_list push_id timestamp [valid_time] sign
//! ```
//!
//! The parameters go out in byte order, so that body and signature are written in one pass.

use homing_core::{
    channel::{Answer, Credential, Outcome},
    clock::Millis,
    notification::{Notification, Platform, Target},
};
use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    account::{Account, Flavour, VALID_TIME_MAX},
    build::build,
    channel::{Line, woven},
    codes::Class,
    examine::{credential, health_of, rehearsed, unheard},
    form::SignedForm,
    reply::{Reply, answer, detail, outcome, page_outcome},
    sign::Signer,
    skew::{Refused, Skew, Stamp},
    transport,
};

/// Bounds of `expire_time` in seconds: how long the service keeps a message for a phone that is off. (Xinge v2 REST
/// documentation, 2018 edition, "push parameters": at most 259200, at least 800 is advised.)
const EXPIRE_MIN: i64 = 800;
const EXPIRE_MAX: i64 = 259_200;

/// An account, prepared: whatever its requests share is parsed, encoded and hashed once.
pub(crate) struct AppV2 {
    label: String,
    access_id: u64,
    platform: Platform,
    environment: u8,
    valid_time: Option<String>,
    secret: SecretString,
    host: HeaderValue,
    single: Endpoint,
    create: Endpoint,
    list: Endpoint,
    count: Endpoint,
    skew: Skew,
}

/// A path's address, and the beginning of its form.
struct Endpoint {
    url: Url,
    start: SignedForm,
}

/// What a notification's requests share.
struct Push {
    message: String,
    message_type: u8,
    expires_at: Millis,
}

/// A reply that could be read, and its class.
struct Read {
    reply: Reply,
    class: Class,
    detail: String,
    /// The outcome of a timestamp that was refused.
    clock: Option<Outcome>,
}

// === impl AppV2 ===

impl AppV2 {
    pub(crate) fn new(account: &Account) -> Result<Self, crate::Error> {
        account.validate()?;
        let (_, sign_host) = account.endpoint("/")?;
        let host = HeaderValue::from_str(&sign_host).map_err(|error| account.error(format!("sign_host: {error}")))?;
        let endpoint = |path: &str| {
            let (url, sign_host) = account.endpoint(path)?;
            let mut start = SignedForm::new(Signer::new("POST", &sign_host, path));
            start.pair("access_id", &account.access_id);
            Ok::<_, crate::Error>(Endpoint { url, start })
        };
        // The service's own value is left out, as the SDK does.
        let valid_time = account.valid_time.filter(|seconds| *seconds != VALID_TIME_MAX);
        Ok(Self {
            label: account.label(),
            access_id: account.number()?,
            platform: account.platform,
            environment: account.environment_code(),
            valid_time: valid_time.map(|seconds| seconds.to_string()),
            secret: account.secret.clone(),
            host,
            single: endpoint("/v2/push/single_device")?,
            create: endpoint("/v2/push/create_multipush")?,
            list: endpoint("/v2/push/device_list_multiple")?,
            count: endpoint("/v2/application/get_app_device_num")?,
            skew: Skew::default(),
        })
    }

    pub(crate) async fn send(&self, line: &Line, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let push = match self.push(line, notification) {
            Ok(push) => push,
            Err(answer) => return answer.for_all(targets),
        };
        if let [target] = targets {
            return vec![self.send_one(line, &push, &target.token).await];
        }
        // One token of a wrong length would have the whole page refused.
        let fits = |token: &str| self.fits(token);
        let tokens: Vec<&str> =
            targets.iter().map(|target| target.token.as_str()).filter(|token| fits(token)).collect();
        let answers = match tokens.as_slice() {
            [] => Vec::new(),
            [token] => vec![self.send_one(line, &push, token).await],
            tokens => vec![self.send_page(line, &push, tokens).await; tokens.len()],
        };
        woven(targets, fits, answers)
    }

    /// What is sent, checked.
    fn push(&self, line: &Line, notification: &Notification) -> Result<Push, Answer> {
        let text = build(notification).text(self.access_id, self.environment);
        let message_type = match (notification.platform, notification.silent) {
            // The documentation has 0 for whatever goes to iOS.
            (Platform::Ios, true) if line.ios_message_type != 0 => 12,
            (Platform::Ios, _) => line.ios_message_type,
            (_, true) => 2,
            (_, false) => 1,
        };
        let message = text.map_err(|refusal| refusal.answer())?;
        Ok(Push { message, message_type, expires_at: notification.expires_at })
    }

    /// Builds and signs, and sends nothing.
    pub(crate) fn rehearse(&self, line: &Line, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let push = match self.push(line, notification) {
            Ok(push) => push,
            Err(answer) => return answer.for_all(targets),
        };
        let mut form = self.single.start.begin(push.message.len() * 2 + 240);
        self.message(&mut form, &push, line.clock.now());
        let signed = answer(Outcome::Unknown, rehearsed(form.finish(&self.secret).len()));
        let fits = |token: &str| self.fits(token);
        let count = targets.iter().filter(|target| fits(&target.token)).count();
        woven(targets, fits, vec![signed; count])
    }

    /// Asks for the number of the app's devices: of all calls the one that needs nothing but the credentials.
    pub(crate) async fn examine(&self, line: &Line) -> Credential {
        let stamp = self.skew.stamp(line.clock.now());
        let form = self.count.start.begin(240);
        let read = self.exchange(line, &self.count, form, stamp, &[self.secret.expose_secret()]).await;
        let (health, detail) = match read {
            Ok(read) => (health_of(read.class, &read.reply.text), read.detail),
            Err(answer) => unheard(answer),
        };
        credential(&self.label, health, detail)
    }

    /// Android tokens have 40 characters (the SDK takes 64 as well), those of iOS 64. (Code 14 of the v2 REST
    /// documentation, and the SDK's own check.)
    fn fits(&self, token: &str) -> bool {
        match self.platform {
            Platform::Ios => token.len() == 64,
            _ => matches!(token.len(), 40 | 64),
        }
    }

    async fn send_one(&self, line: &Line, push: &Push, token: &str) -> Answer {
        let now = line.clock.now();
        let stamp = self.skew.stamp(now);
        let mut form = self.single.start.begin(push.message.len() * 2 + token.len() + 240);
        form.pair("device_token", token);
        self.message(&mut form, push, now);
        form.pair("send_time", "");
        match self.exchange(line, &self.single, form, stamp, &[token, self.secret.expose_secret()]).await {
            Ok(read) => Answer {
                outcome: read.clock.unwrap_or_else(|| outcome(read.class, &read.reply.text)),
                detail: read.detail,
            },
            Err(answer) => answer,
        }
    }

    /// The one answer of a page.
    async fn send_page(&self, line: &Line, push: &Push, tokens: &[&str]) -> Answer {
        let push_id = match self.create(line, push).await {
            Ok(push_id) => push_id,
            Err(answer) => return named("create_multipush", answer),
        };
        named("device_list_multiple", self.list(line, &push_id, tokens).await)
    }

    /// The id of a new task. Nobody is named to it yet: whatever goes wrong here, nothing was sent, and an id that
    /// got lost with its reply is nobody's.
    async fn create(&self, line: &Line, push: &Push) -> Result<String, Answer> {
        let now = line.clock.now();
        let stamp = self.skew.stamp(now);
        let mut form = self.create.start.begin(push.message.len() * 2 + 240);
        self.message(&mut form, push, now);
        let read = match self.exchange(line, &self.create, form, stamp, &[self.secret.expose_secret()]).await {
            Ok(read) => read,
            Err(Answer { outcome: Outcome::Ambiguous, detail }) => {
                return Err(answer(Outcome::Retry { after: None }, detail));
            }
            Err(answer) => return Err(answer),
        };
        match read.reply.push_id() {
            Some(push_id) if read.class == Class::Ok => Ok(push_id),
            None if read.class == Class::Ok => {
                Err(answer(Outcome::Retry { after: None }, format!("{}, but no push_id", read.detail)))
            }
            _ => Err(Answer {
                outcome: read.clock.unwrap_or_else(|| page_outcome(read.class, &read.reply.text)),
                detail: read.detail,
            }),
        }
    }

    async fn list(&self, line: &Line, push_id: &str, tokens: &[&str]) -> Answer {
        let stamp = self.skew.stamp(line.clock.now());
        let devices = match serde_json::to_string(tokens) {
            Ok(devices) => devices,
            Err(error) => return answer(Outcome::Payload, format!("not sent: {error}")),
        };
        let mut form = self.list.start.begin(devices.len() + tokens.len() * 8 + 240);
        form.pair("device_list", &devices);
        form.pair("push_id", push_id);
        let read = match self.exchange(line, &self.list, form, stamp, &[self.secret.expose_secret()]).await {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let outcome = match read.class {
            Class::Ok => Outcome::Delivered { provider_id: Some(push_id.to_owned()) },
            class => read.clock.unwrap_or_else(|| page_outcome(class, &read.reply.text)),
        };
        Answer { outcome, detail: read.detail }
    }

    /// The parameters of a message, from `environment` to `multi_pkg`.
    fn message(&self, form: &mut SignedForm, push: &Push, now: Millis) {
        let expire = (push.expires_at.saturating_sub(now) / 1000).clamp(EXPIRE_MIN, EXPIRE_MAX);
        form.pair("environment", digit(self.environment));
        form.pair("expire_time", &expire.to_string());
        form.pair("message", &push.message);
        form.pair("message_type", digit(push.message_type));
        form.pair("multi_pkg", "0");
    }

    /// Ends the form, sends it, and reads the reply. What is no reply is the answer.
    async fn exchange(
        &self,
        line: &Line,
        endpoint: &Endpoint,
        mut form: SignedForm,
        stamp: Stamp,
        hide: &[&str],
    ) -> Result<Read, Answer> {
        form.pair("timestamp", &stamp.seconds.to_string());
        if let Some(valid_time) = &self.valid_time {
            form.pair("valid_time", valid_time);
        }
        let mut request = Request::new(Method::POST, endpoint.url.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        *request.body_mut() = Some(form.finish(&self.secret).into());

        let exchange = transport::exchange(&line.client, request, &*line.clock).await?;
        let Some(reply) = Reply::read(&exchange.body) else {
            return Err(answer(Outcome::Ambiguous, "the reply has no readable ret_code"));
        };
        let (class, meaning) = line.codes.of(Flavour::V2, reply.code);
        let mut detail = detail(&reply, meaning, hide);
        let mut clock = None;
        match class {
            Class::Clock => {
                let refused = self.skew.refused(stamp, line.clock.now(), exchange.date());
                let (outcome, why) = after_refusal(&self.label, &refused);
                detail.push_str(why);
                clock = Some(outcome);
            }
            Class::Ok | Class::Token | Class::NoTarget => self.skew.accepted(stamp),
            _ => {}
        }
        Ok(Read { reply, class, detail, clock })
    }
}

/// What follows from a refused timestamp.
pub(crate) fn after_refusal(label: &str, refused: &Refused) -> (Outcome, &'static str) {
    match refused {
        Refused::Learnt(offset) => {
            tracing::warn!(app = %label, offset_ms = offset, "The clock of Xinge differs; requests now follow it.");
            (Outcome::Corrected, "; the clock is corrected")
        }
        Refused::Known => (Outcome::Corrected, "; the clock was corrected meanwhile"),
        Refused::Again => (Outcome::Config, "; refused again with the corrected clock"),
        Refused::NoDate => (Outcome::Config, "; the reply has no Date to learn the clock from"),
    }
}

fn named(call: &str, mut answer: Answer) -> Answer {
    answer.detail = format!("{call}: {}", answer.detail);
    answer
}

fn digit(number: u8) -> &'static str {
    match number {
        1 => "1",
        2 => "2",
        11 => "11",
        12 => "12",
        _ => "0",
    }
}
