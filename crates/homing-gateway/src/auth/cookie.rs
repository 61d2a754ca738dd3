//! Opaque cookies: whoever made them knows whose they are, and is asked.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use redis::{Client, aio::ConnectionManager, aio::ConnectionManagerConfig};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{json, value::RawValue};
use tokio::{sync::OnceCell, time::timeout};

use super::{
    claims::Claims,
    jwks::client,
    settings::{HttpLookup, LookupSettings, RedisLookup, SessionCookie},
};
use crate::rpc::json::{check_name, is_null, name};

/// The longest cookie that is looked up, in bytes.
const LONGEST: usize = 4_096;
/// The longest answer in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// See the module.
pub(super) struct Cookies {
    pub(super) name: String,
    lookup: Lookup,
    timeout: Duration,
}

enum Lookup {
    Redis { client: Client, manager: OnceCell<ConnectionManager>, settings: Box<RedisLookup> },
    Http { url: reqwest::Url, token: Option<SecretString>, client: OnceLock<reqwest::Client> },
}

impl Cookies {
    /// Opens nothing; `Err` begins with the field.
    pub(super) fn new(settings: &SessionCookie) -> Result<Self, String> {
        let (lookup, timeout) = match &settings.lookup {
            LookupSettings::Redis(redis) => {
                let opened = Client::open(redis.url.expose_secret());
                let client = opened.map_err(|error| format!("lookup.redis.url: {error}"))?;
                (Lookup::Redis { client, manager: OnceCell::new(), settings: Box::new(redis.clone()) }, redis.timeout)
            }
            LookupSettings::Http(HttpLookup { url, token, timeout }) => {
                let parsed = reqwest::Url::parse(url.expose_secret());
                let url = parsed.map_err(|error| format!("lookup.http.url: {error}"))?;
                if !matches!(url.scheme(), "http" | "https") {
                    return Err("lookup.http.url: must begin with http:// or https://".to_owned());
                }
                (Lookup::Http { url, token: token.clone(), client: OnceLock::new() }, *timeout)
            }
        };
        Ok(Self { name: settings.name.clone(), lookup, timeout })
    }

    /// Whose it is; `None` = nobody's.
    ///
    /// # Errors
    /// There is no answer, or one that cannot be understood; in words for the log.
    pub(super) async fn user(&self, value: &str) -> Result<Option<Arc<str>>, String> {
        // What nobody gave out is not asked for; a key must hold what the cookie says and nothing else.
        if value.len() > LONGEST || value.bytes().any(|b| !b.is_ascii_graphic()) {
            return Ok(None);
        }
        let ask = async {
            match &self.lookup {
                Lookup::Redis { client, manager, settings } => redis(client, manager, settings, value).await,
                Lookup::Http { url, token, client } => http(client, url, token.as_ref(), value).await,
            }
        };
        timeout(self.timeout, ask).await.map_err(|_| format!("no answer within {:?}", self.timeout))?
    }
}

async fn redis(
    client: &Client,
    manager: &OnceCell<ConnectionManager>,
    settings: &RedisLookup,
    value: &str,
) -> Result<Option<Arc<str>>, String> {
    let connect = async || {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout));
        client.get_connection_manager_with_config(config).await
    };
    let mut connection = manager.get_or_try_init(connect).await.map_err(|error| error.to_string())?.clone();
    let key = settings.key.replace("{value}", value);
    let command = match &settings.field {
        Some(field) => redis::cmd("HGET").arg(key).arg(field).to_owned(),
        None => redis::cmd("GET").arg(key).to_owned(),
    };
    let found: Option<Vec<u8>> = command.query_async(&mut connection).await.map_err(|error| error.to_string())?;
    let Some(found) = found else { return Ok(None) };
    match &settings.json_path {
        Some(path) => {
            let claims = Claims::read(&found).ok_or("the value is no JSON object")?;
            user(claims.get(path))
        }
        None => {
            let text = std::str::from_utf8(&found).map_err(|_| "the value is no text")?.trim();
            check_name(text).map_err(|what| format!("the user: {what}"))?;
            Ok(Some(text.into()))
        }
    }
}

async fn http(
    slot: &OnceLock<reqwest::Client>,
    url: &reqwest::Url,
    token: Option<&SecretString>,
    value: &str,
) -> Result<Option<Arc<str>>, String> {
    let wrong = |error: reqwest::Error| error.without_url().to_string();
    let mut request = client(slot)?.post(url.clone()).json(&json!({"cookie": value}));
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let mut answer = request.send().await.map_err(wrong)?;
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => return Ok(None),
        status if !status.is_success() => return Err(format!("the answer is {status}")),
        _ => {}
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(wrong)? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            return Err(format!("the answer has more than {LONGEST_ANSWER} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    let claims = Claims::read(&body).ok_or("the answer is no JSON object")?;
    user(claims.get("user_id"))
}

fn user(raw: Option<&RawValue>) -> Result<Option<Arc<str>>, String> {
    match raw {
        Some(raw) if !is_null(raw) => name(raw).map(Some).map_err(|what| format!("the user: {what}")),
        _ => Ok(None),
    }
}
