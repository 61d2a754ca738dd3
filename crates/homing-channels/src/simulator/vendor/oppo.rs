//! OPPO's server: `/server/v1/auth`, `/server/v1/message/notification/unicast` and `unicast_batch`.
//! (open.oppomobile.com, 11234 to 11238.)

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use homing_core::clock::Millis;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::line::{Lent, Standing, after, field, with_faults};
use crate::simulator::stand::{Device, Stand};

/// A timestamp may be so far off, in milliseconds.
const WINDOW: Millis = 600_000;

/// The server's settings.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// See [`App`].
    pub apps: Vec<App>,
    /// How long an access token lives, in milliseconds.
    #[serde(default = "day")]
    pub token_ttl_ms: Millis,
}

fn day() -> Millis {
    86_400_000
}

/// A registered app.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its AppKey.
    pub app_key: String,
    /// Its MasterSecret.
    pub secret: String,
}

struct Server {
    config: Config,
    stand: Arc<Stand>,
    lent: Lent,
}

/// The server's routes, `/_sim` among them.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let server = Arc::new(Server { config, stand: Arc::clone(&stand), lent: Lent::default() });
    let routes = Router::new()
        .route("/server/v1/auth", post(auth))
        .route("/server/v1/message/notification/unicast", post(unicast))
        .route("/server/v1/message/notification/unicast_batch", post(unicast_batch));
    with_faults(routes.with_state(server), &stand)
}

async fn auth(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let (key, stamp, sign) = (field(&body, "app_key"), field(&body, "timestamp"), field(&body, "sign"));
    let missing = [(&key, 15), (&stamp, 18), (&sign, 17)].into_iter().find(|(value, _)| value.is_empty());
    if let Some((_, code)) = missing {
        return server.refuse(code, "missing", None);
    }
    let Some(index) = server.config.apps.iter().position(|app| app.app_key == key) else {
        return server.refuse(14, "Invalid App Key", None);
    };
    let near = stamp.parse::<Millis>().is_ok_and(|at| (server.stand.now() - at).abs() <= WINDOW);
    if stamp.len() != 13 || !near {
        return server.refuse(19, "Invalid Timestamp", None);
    }
    let secret = server.config.apps.get(index).map(|app| app.secret.as_str()).unwrap_or_default();
    let right: String =
        Sha256::digest(format!("{key}{stamp}{secret}")).iter().map(|byte| format!("{byte:02x}")).collect();
    if right != sign {
        return server.refuse(16, "Invalid Signature", None);
    }
    let now = server.stand.now();
    let token = server.lent.lend(index, now + server.config.token_ttl_ms, &server.stand);
    axum::Json(json!({ "code": 0, "message": "Success", "data": { "auth_token": token, "create_time": now } }))
        .into_response()
}

async fn unicast(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    if let Some(refusal) = server.unknown(&body) {
        return refusal;
    }
    let message: Value = serde_json::from_str(&field(&body, "message")).unwrap_or_default();
    match server.take(&message) {
        Ok((id, _)) => server.answer(0, json!({ "messageId": id })),
        Err((code, words, wait)) => server.refuse(code, &words, wait),
    }
}

async fn unicast_batch(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    if let Some(refusal) = server.unknown(&body) {
        return refusal;
    }
    let messages: Value = serde_json::from_str(&field(&body, "messages")).unwrap_or_default();
    let Some(messages) = messages.as_array().filter(|messages| (1..=1000).contains(&messages.len())) else {
        return server.refuse(41, "Invalid Arguments", None);
    };
    if let Some(words) = messages.iter().find_map(wrong) {
        return server.refuse(41, &words, None);
    }
    let entry = |message: &Value| {
        let token = &message["target_value"];
        match server.take(message) {
            Ok((id, token)) => json!({ "messageId": id, "registrationId": token }),
            Err((code, words, _)) => {
                server.stand.answered(code.to_string());
                json!({ "messageId": "", "registrationId": token, "errorCode": code, "errorMessage": words })
            }
        }
    };
    server.answer(0, messages.iter().map(entry).collect())
}

impl Server {
    fn answer(&self, code: i64, data: Value) -> Response {
        self.stand.answered(code.to_string());
        axum::Json(json!({ "code": code, "message": "Success", "data": data })).into_response()
    }

    fn refuse(&self, code: i64, words: &str, wait: Option<u64>) -> Response {
        self.stand.answered(code.to_string());
        after(json!({ "code": code, "message": words }), wait)
    }

    /// The refusal of a call without a token that is taken.
    fn unknown(&self, body: &[u8]) -> Option<Response> {
        let token = field(body, "auth_token");
        if token.is_empty() {
            return Some(self.refuse(29, "Missing Auth Token", None));
        }
        match self.lent.look(&token, &self.stand) {
            Standing::Of(_) => None,
            Standing::Old | Standing::Never => Some(self.refuse(11, "Invalid AuthToken", None)),
        }
    }

    /// One message; its id and token, or code, words and `Retry-After`.
    fn take(&self, message: &Value) -> Result<(String, String), (i64, String, Option<u64>)> {
        if let Some(words) = wrong(message) {
            return Err((41, words, None));
        }
        let token = message["target_value"].as_str().unwrap_or_default();
        match self.stand.device(token) {
            Device::Good => {}
            Device::Dead(_) | Device::Foreign => return Err((10000, "Invalid Registration_id".to_owned(), None)),
            Device::Throttled(wait) => return Err((55, "App Call Frequency Limit".to_owned(), wait)),
            Device::Code(code) => return Err((code.parse().unwrap_or(-1), "as the script says".to_owned(), None)),
        }
        let notification = &message["notification"];
        self.stand.accept(token, notification["app_message_id"].as_str(), Arc::new(notification.clone()));
        Ok((format!("APP-1-1-{:024x}", self.stand.now()), token.to_owned()))
    }
}

/// What is wrong with a message, by the table of its fields.
fn wrong(message: &Value) -> Option<String> {
    let notification = &message["notification"];
    let text = |name: &str| notification[name].as_str().unwrap_or_default();
    let long = |name: &str| text(name).chars().count();
    let most = if notification["style"] == 2 { 128 } else { 50 };
    let kind = notification["click_action_type"].as_i64().unwrap_or(0);
    let ttl = notification["off_line_ttl"].as_i64();
    let checks = [
        (message["target_type"] == 2, "target_type"),
        (message["target_value"].as_str().is_some_and(|token| !token.is_empty()), "target_value"),
        ((1..=50).contains(&long("title")), "title"),
        ((1..=most).contains(&long("content")), "content"),
        (kind != 4 || !text("click_action_activity").is_empty(), "click_action_activity"),
        (!matches!(kind, 2 | 5) || !text("click_action_url").is_empty(), "click_action_url"),
        (long("action_parameters") <= 4000, "action_parameters"),
        (ttl.is_none_or(|ttl| (1..=864_000).contains(&ttl)), "off_line_ttl"),
        (notification["notify_level"].is_null() || !text("category").is_empty(), "notify_level without category"),
        (notification["notify_id"].as_i64().is_none_or(|id| i32::try_from(id).is_ok()), "notify_id"),
    ];
    checks.iter().find(|(right, _)| !right).map(|(_, name)| format!("Invalid Arguments: {name}"))
}
