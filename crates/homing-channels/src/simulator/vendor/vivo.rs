//! vivo's server: `/message/auth`, `/message/send`, `/message/saveListPayload`, `/message/pushToList`.
//! (dev.vivo.com.cn, document 362.)

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use homing_core::clock::Millis;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};

use super::line::{Lent, Standing, after, with_faults};
use crate::simulator::stand::{Device, Stand};

/// A timestamp may be so far off, in milliseconds.
const WINDOW: Millis = 600_000;

/// Tasks that are remembered; all go when there are more.
const TASKS: usize = 10_000;

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
    /// Its AppID.
    pub app_id: String,
    /// Its AppKey.
    pub app_key: String,
    /// Its AppSecret.
    pub secret: String,
}

struct Server {
    config: Config,
    stand: Arc<Stand>,
    lent: Lent,
    tasks: Mutex<HashMap<String, Arc<Value>>>,
}

/// A refusal: the result, its words, and `Retry-After`.
type Refusal = (String, &'static str, Option<u64>);

/// The server's routes, `/_sim` among them.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let server = Arc::new(Server { config, stand: Arc::clone(&stand), lent: Lent::default(), tasks: Mutex::default() });
    let routes = Router::new()
        .route("/message/auth", post(auth))
        .route("/message/send", post(send))
        .route("/message/saveListPayload", post(save))
        .route("/message/pushToList", post(push));
    with_faults(routes.with_state(server), &stand)
}

async fn auth(State(server): State<Arc<Server>>, Json(body): Json<Value>) -> Response {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let found = server.config.apps.iter().position(|app| app.app_id == text("appId") && app.app_key == text("appKey"));
    let Some((index, app)) = found.and_then(|index| Some((index, server.config.apps.get(index)?))) else {
        return server.refuse(("10200".to_owned(), "appId or appKey", None));
    };
    let Some(stamp) = body["timestamp"].as_i64().filter(|at| (server.stand.now() - at).abs() <= WINDOW) else {
        return server.refuse(("10204".to_owned(), "timestamp", None));
    };
    let digest = Md5::digest(format!("{}{}{stamp}{}", app.app_id, app.app_key, app.secret));
    let right: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if text("sign") != right {
        return server.refuse(("10203".to_owned(), "sign", None));
    }
    let token = server.lent.lend(index, server.stand.now() + server.config.token_ttl_ms, &server.stand);
    Json(json!({ "result": 0, "desc": "请求成功", "authToken": token })).into_response()
}

async fn send(State(server): State<Arc<Server>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let token = body["regId"].as_str().unwrap_or_default();
    if let Err(refusal) = server.known(&headers, &body).and_then(|()| checked(&body)) {
        return server.refuse(refusal);
    }
    match server.stand.device(token) {
        Device::Good => {
            server.stand.accept(token, body["requestId"].as_str(), Arc::new(body.clone()));
            server.answer(json!({ "result": 0, "desc": "请求成功", "taskId": "542312344" }))
        }
        Device::Throttled(wait) => server.refuse(("10072".to_owned(), "推送速度过快", wait)),
        Device::Code(code) if !code.starts_with("status ") => server.refuse((code, "as the script says", None)),
        device => {
            let body = json!({ "result": 10302, "desc": "regId不合法",
                "invalidUser": { "userid": token, "status": status(&device) } });
            server.stand.answered("10302");
            Json(body).into_response()
        }
    }
}

async fn save(State(server): State<Arc<Server>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Err(refusal) = server.known(&headers, &body).and_then(|()| checked(&body)) {
        return server.refuse(refusal);
    }
    let mut tasks = server.tasks.lock().unwrap_or_else(PoisonError::into_inner);
    if tasks.len() >= TASKS {
        tasks.clear();
    }
    server.stand.count("tasks");
    let task = format!("{}", 900_000_000 + server.stand.stats()["tasks"].as_u64().unwrap_or(0));
    tasks.insert(task.clone(), Arc::new(body));
    drop(tasks);
    server.answer(json!({ "result": 0, "desc": "请求成功", "taskId": task }))
}

async fn push(State(server): State<Arc<Server>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Err(refusal) = server.known(&headers, &body) {
        return server.refuse(refusal);
    }
    let saved =
        server.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(body["taskId"].as_str().unwrap_or("")).cloned();
    let Some(message) = saved else { return server.refuse(("10100".to_owned(), "taskId", None)) };
    let ids: Vec<&str> = body["regIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !(2..=1000).contains(&ids.len()) || body["requestId"].as_str().is_none_or(|id| id.is_empty() || id.len() > 64) {
        return server.refuse(("10101".to_owned(), "regIds or requestId", None));
    }
    let mut good = Vec::new();
    let mut invalid = Vec::new();
    for id in ids {
        match server.stand.device(id) {
            Device::Good => good.push(id),
            Device::Throttled(wait) => return server.refuse(("10072".to_owned(), "推送速度过快", wait)),
            Device::Code(code) if !code.starts_with("status ") => {
                return server.refuse((code, "as the script says", None));
            }
            device => invalid.push(json!({ "userid": id, "status": status(&device) })),
        }
    }
    for id in good {
        server.stand.accept(id, message["requestId"].as_str(), Arc::clone(&message));
    }
    server.answer(json!({ "result": 0, "desc": "请求成功", "requestId": body["requestId"], "invalidUsers": invalid }))
}

impl Server {
    fn answer(&self, body: Value) -> Response {
        self.stand.answered("0");
        Json(body).into_response()
    }

    fn refuse(&self, (result, words, wait): Refusal) -> Response {
        self.stand.answered(result.clone());
        let number = result.parse::<i64>().map_or_else(|_| json!(result), |number| json!(number));
        after(json!({ "result": number, "desc": words }), wait)
    }

    /// Is the access token one of this app's?
    fn known(&self, headers: &HeaderMap, body: &Value) -> Result<(), Refusal> {
        let token = headers.get("authToken").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match self.lent.look(token, &self.stand) {
            Standing::Of(index) if self.config.apps.get(index).is_some_and(|app| body["appId"] == app.app_id) => Ok(()),
            Standing::Of(_) => Err(("10094".to_owned(), "appId", None)),
            Standing::Old | Standing::Never => Err(("10000".to_owned(), "权限认证失败", None)),
        }
    }
}

fn status(device: &Device) -> i64 {
    match device {
        Device::Foreign => 1,
        Device::Code(code) => code.trim_start_matches("status ").parse().unwrap_or(1),
        _ => 2,
    }
}

/// Required fields and limits.
fn checked(body: &Value) -> Result<(), Refusal> {
    // A character beyond ASCII counts two.
    let width = |name: &str| {
        body[name].as_str().unwrap_or_default().chars().map(|char| if char.is_ascii() { 1 } else { 2 }).sum::<usize>()
    };
    let empty = serde_json::Map::new();
    let custom = body["clientCustomMap"].as_object().unwrap_or(&empty);
    let length: usize = custom
        .iter()
        .map(|(key, value)| key.chars().count() + value.as_str().map_or(9_999, |text| text.chars().count()))
        .sum();
    let skip = body["skipType"].as_i64().unwrap_or(0);
    let checks = [
        ((1..=40).contains(&width("title")), "10055", "title"),
        ((1..=100).contains(&width("content")), "10058", "content"),
        (matches!(body["notifyType"].as_i64(), Some(1..=4)), "10060", "notifyType"),
        ((60..=604_800).contains(&body["timeToLive"].as_i64().unwrap_or(86_400)), "10061", "timeToLive"),
        ((1..=4).contains(&skip), "10062", "skipType"),
        (skip == 1 || body["skipContent"].as_str().is_some_and(|text| !text.is_empty()), "10063", "skipContent"),
        (custom.len() <= 10 && length <= 1024, "10066", "clientCustomMap"),
        (body["requestId"].as_str().is_some_and(|id| (1..=64).contains(&id.chars().count())), "10067", "requestId"),
        (matches!(body["classification"].as_i64(), Some(0 | 1)), "10068", "classification"),
        (body["pushMode"] == 0, "10087", "pushMode"),
    ];
    match checks.iter().find(|(right, ..)| !right) {
        Some((_, code, words)) => Err(((*code).to_owned(), words, None)),
        None => Ok(()),
    }
}
