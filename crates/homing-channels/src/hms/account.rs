//! One account: its credential, and one call for a page of tokens.

use std::{collections::BTreeMap, sync::Arc};

use homing_core::{
    channel::{Answer, Outcome},
    clock::{Clock, Millis},
    notification::{Environment, Notification, Platform},
};
use reqwest::{Client, Request, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{
    access::{self, Denied, Granted},
    answer::{Read, Reading, read},
    channel::MESSAGE_MAX,
    service_account::ServiceAccount,
    settings::{AccountSettings, Flavour, Id},
    v1::{self, Look},
    v3,
};
use crate::{
    Endpoint, Error, Result,
    common::{codes::Codes, http::exchange_up_to, lent::Lent, renewals::Renewals, strangers::Strangers},
};

/// Huawei's own addresses.
const BASE: &str = "https://push-api.cloud.huawei.com";
const AUTH: &str = "https://oauth-login.cloud.huawei.com";

/// Longest answer: it may name each of a page's tokens.
const REPLY_MAX: usize = 1 << 20;

/// What all accounts share.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) codes: Codes,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a call proves itself with.
pub(crate) enum Proof {
    /// v1.
    Secret { app_id: String, secret: SecretString, token_url: String },
    /// v3.
    Key(Box<ServiceAccount>),
}

/// See the module.
pub(crate) struct Account {
    /// `channel.hms.account.higo`.
    pub(crate) label: String,
    pub(crate) app: String,
    pub(crate) environment: Option<Environment>,
    pub(crate) platform: Platform,
    pub(crate) proof: Proof,
    pub(crate) url: String,
    look: Look,
    categories: BTreeMap<String, String>,
    token: Lent,
    renewals: Renewals,
    pub(crate) strangers: Strangers,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("label", &self.label).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Account {
    /// Checks the settings and the key file.
    pub(crate) fn new(label: String, settings: AccountSettings, endpoint: &Endpoint) -> Result<Self> {
        let wrong = |key: &str, problem: String| Error::setting(format!("{label}.{key}"), problem);
        if settings.app.is_empty() {
            return Err(wrong("app", "is empty: it is the app as in the devices' lookup".to_owned()));
        }
        let needs = |key: &str, flavour: &str| wrong(key, format!("is missing: {flavour} needs it"));
        let not_for = |key: &str, flavour: &str| wrong(key, format!("is not for {flavour}"));
        let (proof, url) = match settings.flavour {
            Flavour::V1 => {
                if settings.service_account.is_some() {
                    return Err(not_for("service_account", "v1, which takes app_id and secret"));
                }
                if settings.project.is_some() {
                    return Err(not_for("project", "v1, which takes app_id"));
                }
                let app_id = settings.app_id.ok_or_else(|| needs("app_id", "v1"))?;
                let app_id = id(&app_id).map_err(|problem| wrong("app_id", problem))?;
                let secret = settings.secret.ok_or_else(|| needs("secret", "v1"))?;
                if secret.expose_secret().trim().is_empty() {
                    return Err(wrong("secret", "is empty".to_owned()));
                }
                let secret = SecretString::from(secret.expose_secret().trim());
                let url = format!("{}/v1/{app_id}/messages:send", endpoint.base(BASE));
                let token_url = format!("{}/oauth2/v3/token", endpoint.auth(AUTH));
                (Proof::Secret { app_id, secret, token_url }, url)
            }
            Flavour::V3 => {
                if settings.secret.is_some() {
                    return Err(not_for("secret", "v3, which takes a service_account"));
                }
                for (key, given) in
                    [("app_id", settings.app_id.is_some()), ("channel_id", settings.channel_id.is_some())]
                {
                    if given {
                        return Err(not_for(key, "v3"));
                    }
                }
                let text = settings.service_account.ok_or_else(|| needs("service_account", "v3"))?;
                let service =
                    ServiceAccount::read(text.expose_secret()).map_err(|problem| wrong("service_account", problem))?;
                let project = settings.project.or_else(|| service.project.clone().map(Id::Text));
                let project = project
                    .ok_or_else(|| wrong("project", "is missing, and the key file has no `project_id`".into()))?;
                let project = id(&project).map_err(|problem| wrong("project", problem))?;
                (Proof::Key(Box::new(service)), format!("{}/v3/{project}/messages:send", endpoint.base(BASE)))
            }
        };
        Ok(Self {
            app: settings.app,
            environment: settings.environment,
            platform: settings.flavour.platform(),
            look: Look {
                category: settings.category,
                channel_id: settings.channel_id,
                click_action: settings.click_action,
                title: settings.title,
            },
            categories: settings.categories,
            token: Lent::default(),
            renewals: Renewals::default(),
            strangers: Strangers::default(),
            label,
            proof,
            url,
        })
    }

    /// Can Huawei validate a message of this account without sending it?
    pub(crate) fn validates(&self) -> bool {
        matches!(self.proof, Proof::Secret { .. })
    }

    /// The message without its tokens, or why it is not sent.
    pub(crate) fn draft(&self, notification: &Notification, now: Millis) -> Result<Map<String, Value>, Answer> {
        let own = notification.category.as_ref().and_then(|category| self.categories.get(category));
        let category = own.or(self.look.category.as_ref()).map(String::as_str);
        let draft = match self.proof {
            Proof::Secret { .. } => v1::build(notification, &self.look, category, now),
            Proof::Key(_) => v3::build(notification, &self.look, category, now),
        };
        let size = Value::Object(draft.clone()).to_string().len();
        if size > MESSAGE_MAX {
            let detail = format!("not sent: the message is {size} bytes long and at most {MESSAGE_MAX} pass");
            return Err(Answer::new(Outcome::Payload, detail));
        }
        Ok(draft)
    }

    /// One call for all of `tokens`; an answer is everybody's.
    pub(crate) async fn call(
        &self,
        line: &Line,
        draft: Map<String, Value>,
        push_type: &str,
        tokens: &[&str],
        validate_only: bool,
    ) -> Result<Vec<Read>, Answer> {
        let bearer = self.bearer(line, line.clock.now()).await?;
        let request = self
            .request(line, draft, push_type, tokens, validate_only, &bearer)
            .map_err(|_| Answer::new(Outcome::Config, "not sent: the address of Huawei is unusable"))?;
        let reply = exchange_up_to(&line.client, request, REPLY_MAX).await?;
        let readings = read(&reply, &line.codes, tokens, line.clock.now(), &[&bearer]);
        let mut renew = false;
        for ((reading, _), token) in readings.iter().zip(tokens) {
            match reading {
                Reading::Plain(Outcome::Delivered { .. }) => self.strangers.accepted(),
                Reading::Stranger => self.strangers.stranger(token),
                Reading::Renew => renew = true,
                Reading::Plain(_) => {}
            }
        }
        if renew {
            self.token.forget(&bearer).await;
            let outcome = if self.renewals.refused(&bearer) { Outcome::Corrected } else { Outcome::Config };
            let detail = readings.into_iter().next().map_or_else(String::new, |(_, detail)| detail);
            return Err(Answer::new(outcome, detail));
        }
        let worked = |(reading, _): &Read| {
            matches!(
                reading,
                Reading::Stranger | Reading::Plain(Outcome::Delivered { .. } | Outcome::TokenInvalid { .. })
            )
        };
        if readings.iter().any(worked) {
            self.renewals.worked();
        }
        Ok(readings)
    }

    /// The request for some tokens.
    pub(crate) fn request(
        &self,
        line: &Line,
        mut draft: Map<String, Value>,
        push_type: &str,
        tokens: &[&str],
        validate_only: bool,
        bearer: &str,
    ) -> reqwest::Result<Request> {
        let call = line.client.post(&self.url).bearer_auth(bearer).header(header::CONTENT_TYPE, "application/json");
        match self.proof {
            Proof::Secret { .. } => {
                draft.insert("token".to_owned(), json!(tokens));
                call.body(json!({ "validate_only": validate_only, "message": draft }).to_string()).build()
            }
            Proof::Key(_) => {
                draft.insert("target".to_owned(), json!({ "token": tokens }));
                call.header("push-type", push_type).body(Value::Object(draft).to_string()).build()
            }
        }
    }

    /// A credential that was not used before.
    pub(crate) async fn fresh(&self, line: &Line, now: Millis) -> Result<Granted, Denied> {
        match &self.proof {
            Proof::Secret { app_id, secret, token_url } => {
                access::fetch(&line.client, token_url, app_id, secret, now).await
            }
            Proof::Key(service) => access::sign(service, now),
        }
    }

    /// The credential that all calls share.
    pub(crate) async fn bearer(&self, line: &Line, now: Millis) -> Result<Arc<str>, Answer> {
        let fetch = async || match self.fresh(line, now).await {
            Ok(granted) => Ok(granted.fresh),
            Err(denied) => Err(denied.answer),
        };
        self.token.get(now, fetch).await
    }
}

/// An id that is part of an address.
fn id(id: &Id) -> Result<String, String> {
    let id = id.to_string();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(format!("`{id}` is no id of letters and digits"));
    }
    Ok(id)
}
