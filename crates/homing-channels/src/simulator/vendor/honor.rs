//! Honor's server: `/auth/token` and `/api/v1/{appId}/sendMessage`. (developer.honor.com, "downlink message".) In truth
//! these are two hosts; here one answers for both.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use homing_core::clock::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::line::{Lent, Standing, after, field, with_faults};
use crate::simulator::stand::{Device, Stand};

/// The `timestamp` header may be so far off, in milliseconds (unverified).
const WINDOW: Millis = 600_000;

/// The server's settings.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// See [`App`].
    pub apps: Vec<App>,
    /// How long an access token lives, in milliseconds.
    #[serde(default = "hour")]
    pub token_ttl_ms: Millis,
}

fn hour() -> Millis {
    3_600_000
}

/// A registered app.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its app id.
    pub app_id: String,
    /// Its client id.
    pub client_id: String,
    /// Its client secret.
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
    let routes = Router::new().route("/auth/token", post(token)).route("/api/v1/{app}/sendMessage", post(send));
    with_faults(routes.with_state(server), &stand)
}

async fn token(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let given = |name: &str| field(&body, name);
    let known = |app: &App| app.client_id == given("client_id") && app.secret == given("client_secret");
    let found = server.config.apps.iter().position(known);
    let Some(index) = found.filter(|_| given("grant_type") == "client_credentials") else {
        server.stand.answered("invalid_client");
        let body = json!({ "error": "invalid_client", "error_description": "client authentication failed" });
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    };
    let life = server.config.token_ttl_ms;
    let token = server.lent.lend(index, server.stand.now() + life, &server.stand);
    Json(json!({ "access_token": token, "expires_in": life / 1000, "token_type": "Bearer" })).into_response()
}

async fn send(
    State(server): State<Arc<Server>>,
    Path(app): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    server.take(&app, &headers, &body)
}

impl Server {
    fn refuse(&self, status: StatusCode, code: &str, words: &str, wait: Option<u64>) -> Response {
        self.stand.answered(code);
        let number = code.parse::<i64>().map_or_else(|_| json!(code), |number| json!(number));
        let mut response = after(json!({ "code": number, "message": words }), wait);
        *response.status_mut() = status;
        response
    }

    fn take(&self, app: &str, headers: &HeaderMap, body: &Value) -> Response {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let refuse = |code: &str, words: &str| self.refuse(StatusCode::OK, code, words, None);
        match self.lent.look(header("authorization").trim_start_matches("Bearer "), &self.stand) {
            Standing::Never => return self.refuse(StatusCode::UNAUTHORIZED, "401", "unauthorized", None),
            Standing::Old => return refuse("80200003", "token expired"),
            Standing::Of(index) if self.config.apps.get(index).is_none_or(|own| own.app_id != app) => {
                return refuse("80300002", "no permission for this app");
            }
            Standing::Of(_) => {}
        }
        if !header("timestamp").parse::<Millis>().is_ok_and(|at| (self.stand.now() - at).abs() <= WINDOW) {
            return refuse("80100001", "timestamp");
        }
        if let Some(words) = wrong(body) {
            return refuse("80100003", words);
        }
        let tokens: Vec<&str> = body["token"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !(1..=1000).contains(&tokens.len()) {
            return refuse("80300010", "number of tokens");
        }
        let (mut good, mut failed, mut expired) = (Vec::new(), Vec::new(), Vec::new());
        for token in &tokens {
            match self.stand.device(token) {
                Device::Good => good.push(*token),
                Device::Foreign => failed.push(*token),
                Device::Dead(_) => expired.push(*token),
                Device::Throttled(wait) => return self.refuse(StatusCode::OK, "80100017", "flow control", wait),
                Device::Code(code) if code == "failTokens" => failed.push(*token),
                Device::Code(code) if code == "expireTokens" => expired.push(*token),
                Device::Code(code) => return refuse(&code, "as the script says"),
            }
        }
        if expired.len() == tokens.len() {
            return refuse("80300007", "all tokens are invalid");
        }
        let id = body["android"]["biTag"].as_str();
        let mut push = body.clone();
        if let Some(fields) = push.as_object_mut() {
            fields.remove("token");
        }
        let push = Arc::new(push);
        for token in &good {
            self.stand.accept(token, id, Arc::clone(&push));
        }
        self.stand.answered("200");
        let data = json!({ "sendResult": !good.is_empty(), "requestId": format!("R-{}", self.stand.now()),
            "failTokens": failed, "expireTokens": expired });
        Json(json!({ "code": 200, "message": "success", "data": data })).into_response()
    }
}

/// What is wrong with a message.
fn wrong(body: &Value) -> Option<&'static str> {
    let android = &body["android"];
    let life = android["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s')?.parse::<u64>().ok());
    if life.is_none_or(|life| life == 0 || life > 1_296_000) {
        return Some("android.ttl");
    }
    let shown = &android["notification"];
    if body["notification"].is_null() && shown.is_null() {
        // A silent message.
        return body["data"].as_str().is_none_or(str::is_empty).then_some("data");
    }
    let has = |name: &str| {
        [&shown[name], &body["notification"][name]]
            .iter()
            .any(|text| text.as_str().is_some_and(|text| !text.is_empty()))
    };
    let click = &shown["clickAction"];
    let opens = match click["type"].as_i64() {
        Some(1) => ["intent", "action"].iter().any(|name| click[*name].is_string()),
        Some(2) => click["url"].as_str().is_some_and(|url| url.starts_with("https://")),
        Some(3) => true,
        _ => false,
    };
    let importance = &shown["importance"];
    match () {
        () if !has("title") => Some("title"),
        () if !has("body") => Some("body"),
        () if !opens => Some("clickAction"),
        () if !importance.is_null() && importance != "LOW" && importance != "NORMAL" => Some("importance"),
        () => None,
    }
}
