//! One account, prepared: what a call carries, and what its answer means for the device.

use std::sync::Arc;

use bytes::Bytes;
use homing_core::{
    channel::{Answer, Outcome},
    clock::{Clock, Millis},
    notification::{Environment, Notification, Target},
};
use hyper::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};

use super::{
    line::Line,
    payload::{Prepared, apns_id, is_token, prepare},
    settings::AccountSettings,
    token::{Issued, Renewal, Tokens},
    verdict::{Verdict, is_authenticated, skew, skew_words, verdict},
    window::{Belief, Window},
};
use crate::common::{codes::Codes, http::Reply};

/// A bad token of which too little is known is tried again after this.
const HELD: Millis = 5_000;

/// What all accounts share.
pub(crate) struct Shared {
    pub(crate) codes: Codes,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Who we are to APNs.
pub(crate) enum Proof {
    /// By a signed token.
    Key(Arc<Tokens>),
    /// By the connection's certificate, which ends then.
    Certificate { expires_at: Option<Millis> },
}

/// See the module.
pub(crate) struct Account {
    /// `channel.apns.account.higo`.
    pub(crate) path: String,
    pub(crate) settings: AccountSettings,
    /// Scheme, host and port.
    pub(crate) base: String,
    pub(crate) proof: Proof,
    pub(crate) line: Arc<Line>,
    pub(crate) window: Window,
}

/// What a call carries beside the body.
struct Head<'a> {
    token: &'a str,
    id: Option<String>,
    prepared: &'a Prepared,
}

impl Account {
    /// One call for one device.
    pub(crate) async fn push(
        &self,
        shared: &Shared,
        notification: &Notification,
        target: &Target,
        prepared: &Prepared,
    ) -> Answer {
        let token = target.token.as_str();
        if !is_token(token) {
            let detail = format!("not sent: {} characters that are no device token of APNs", token.chars().count());
            return self.bad_token(token, detail);
        }
        let (used, sent) = self.call(shared, token, Some(apns_id(notification, token)), prepared).await;
        let reply = match sent {
            Ok(reply) => reply,
            Err(answer) => return answer,
        };
        let now = shared.clock.now();
        match verdict(&shared.codes, &reply, now) {
            Verdict::Plain(answer) => {
                if matches!(answer.outcome, Outcome::Delivered { .. }) {
                    self.window.good(token);
                }
                answer
            }
            Verdict::BadToken(detail) => self.bad_token(token, detail),
            Verdict::Expired(detail) => self.expired(used.as_deref(), &reply, now, detail),
        }
    }

    /// Builds everything that a call needs, and does not make it.
    pub(crate) fn rehearse(&self, shared: &Shared, target: &Target) -> Answer {
        if !is_token(&target.token) {
            return self.bad_token(&target.token, "no device token of APNs".to_owned());
        }
        match self.prove(shared) {
            Ok(_) => {
                let detail = "built and signed; APNs cannot validate without sending";
                Answer::new(Outcome::Delivered { provider_id: None }, detail)
            }
            Err(answer) => answer,
        }
    }

    /// One request to `token`; with it the provider token that it carried.
    async fn call(
        &self,
        shared: &Shared,
        token: &str,
        id: Option<String>,
        prepared: &Prepared,
    ) -> (Option<Arc<Issued>>, Result<Reply, Answer>) {
        let head = Head { token, id, prepared };
        let used = std::sync::Mutex::new(None);
        // The provider token is taken when the request's turn has come: it may have waited.
        let make = || {
            let issued = self.prove(shared)?;
            let request = self.request(&head, issued.as_deref())?;
            *used.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = issued;
            Ok(request)
        };
        let sent = self.line.exchange(make, &prepared.body, is_authenticated).await;
        (used.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), sent)
    }

    /// A call that shows nobody anything: to a device that does not exist.
    pub(crate) async fn probe(&self, shared: &Shared) -> Result<Reply, Answer> {
        let nobody = "0".repeat(64);
        let prepared = Prepared {
            body: Bytes::from_static(br#"{"aps":{"content-available":1}}"#),
            push_type: "background".to_owned(),
            priority: 5,
            expiration: 0,
            collapse: HeaderValue::from_static("homing"),
        };
        self.call(shared, &nobody, None, &prepared).await.1
    }

    fn prove(&self, shared: &Shared) -> Result<Option<Arc<Issued>>, Answer> {
        match &self.proof {
            Proof::Certificate { .. } => Ok(None),
            Proof::Key(tokens) => {
                let issued = tokens.get(shared.clock.now());
                issued.map(Some).map_err(|problem| Answer::new(Outcome::Retry { after: None }, problem))
            }
        }
    }

    fn request(&self, head: &Head<'_>, issued: Option<&Issued>) -> Result<Request<()>, Answer> {
        let prepared = head.prepared;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/3/device/{}", self.base, head.token))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("apns-topic", self.settings.topic.as_str())
            .header("apns-push-type", prepared.push_type.as_str())
            .header("apns-priority", HeaderValue::from(u16::from(prepared.priority)))
            .header("apns-expiration", HeaderValue::from(prepared.expiration))
            .header("apns-collapse-id", prepared.collapse.clone());
        if let Some(id) = &head.id {
            request = request.header("apns-id", id.as_str());
        }
        if let Some(issued) = issued {
            request = request.header(AUTHORIZATION, issued.header.clone());
        }
        request.body(()).map_err(|error| Answer::new(Outcome::Payload, format!("not sent: {error}")))
    }

    fn bad_token(&self, token: &str, detail: String) -> Answer {
        match self.window.bad(token) {
            Belief::Dead => Answer::new(Outcome::DEAD, detail),
            Belief::Misconfigured => Answer::new(Outcome::Config, format!("{detail}: {}", self.wrong_environment())),
            Belief::Unsure => {
                let detail = format!("{detail}: held back until more tokens of the app are known to be accepted");
                Answer::new(Outcome::Retry { after: Some(HELD) }, detail)
            }
        }
    }

    /// What a large share of bad tokens says.
    pub(crate) fn wrong_environment(&self) -> String {
        let (ours, other) = match self.settings.environment {
            Environment::Production => ("production", "sandbox"),
            Environment::Development => ("sandbox", "production"),
        };
        let topic = &self.settings.topic;
        format!(
            "more than a fifth of the tokens are; looks like the wrong environment (they are {other}'s, the account is {ours}'s) or topic ({topic})"
        )
    }

    fn expired(&self, used: Option<&Issued>, reply: &Reply, now: Millis, detail: String) -> Answer {
        let words = match skew(reply, now) {
            Some(skew) => format!("{detail}; {}", skew_words(skew)),
            None => detail,
        };
        let (Proof::Key(tokens), Some(used)) = (&self.proof, used) else {
            return Answer::new(Outcome::Config, words);
        };
        match tokens.expired(used, now, reply.date()) {
            Ok(Renewal::Renewed | Renewal::Known) => Answer::new(Outcome::Corrected, format!("{words}; renewed")),
            Ok(Renewal::Useless) => Answer::new(Outcome::Config, format!("{words}; a new one would be no younger")),
            Err(problem) => Answer::new(Outcome::Retry { after: None }, problem),
        }
    }

    pub(crate) fn prepared(&self, notification: &Notification) -> Result<Prepared, Answer> {
        prepare(&self.settings, notification).map_err(|problem| Answer::new(Outcome::Payload, problem))
    }
}
