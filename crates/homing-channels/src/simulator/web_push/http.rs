//! The routes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::stand::{Device, Hangup, Stand},
    browser::{Browser, open},
    request, vapid,
};

/// Subscriptions that are kept; further ones are refused.
const KEEP: usize = 200_000;

/// Subscriptions of one call.
const COUNT_MAX: usize = 20_000;

/// What the simulated push service is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longer bodies are answered with 413. Push services take at least 4,096 bytes.
    pub body_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { body_max: 4_096 }
    }
}

struct Service {
    config: Config,
    stand: Arc<Stand>,
    browsers: Mutex<HashMap<String, Arc<Subscribed>>>,
    last: AtomicU64,
    under_way: AtomicU64,
}

struct Subscribed {
    browser: Browser,
    /// Only its owner may send.
    key: Option<String>,
    gone: bool,
}

/// The push service's routes, and those of the stand under `/_sim`.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let service = Service {
        config,
        stand: Arc::clone(&stand),
        browsers: Mutex::default(),
        last: AtomicU64::new(0),
        under_way: AtomicU64::new(0),
    };
    Router::new()
        .route("/_sim/subscribe", post(subscribe))
        .route("/push/{id}", post(push).delete(unsubscribe))
        .with_state(Arc::new(service))
        .nest("/_sim", stand.routes())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    name: Option<String>,
    count: Option<usize>,
    #[serde(rename = "applicationServerKey")]
    key: Option<String>,
}

async fn subscribe(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, (StatusCode, String)> {
    let refuse = |problem: String| (StatusCode::BAD_REQUEST, problem);
    let wish: Wish = match body.as_ref() {
        b"" => Wish::default(),
        text => serde_json::from_slice(text).map_err(|error| refuse(error.to_string()))?,
    };
    let count = wish.count.unwrap_or(1);
    if count > COUNT_MAX {
        return Err(refuse(format!("count is above {COUNT_MAX}")));
    }
    let origin = origin(&headers);
    // Thousands of key pairs take a while.
    let drawn = tokio::task::spawn_blocking(move || (0..count).map(|_| Browser::draw()).collect::<Vec<_>>());
    let drawn = drawn.await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut browsers = service.browsers();
    if browsers.len() + count > KEEP {
        return Err(refuse(format!("there are more than {KEEP} subscriptions")));
    }
    let mut all = Vec::new();
    for browser in drawn {
        let number = service.last.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}", wish.name.as_deref().unwrap_or("browser"));
        all.push(json!({
            "endpoint": format!("{origin}/push/{id}"),
            "expirationTime": null,
            "keys": { "p256dh": browser.p256dh(), "auth": browser.auth() },
        }));
        browsers.insert(id, Arc::new(Subscribed { browser, key: wish.key.clone(), gone: false }));
    }
    if wish.count.is_some() {
        return Ok(Json(json!({ "subscriptions": all })));
    }
    Ok(Json(all.pop().unwrap_or_default()))
}

async fn unsubscribe(State(service): State<Arc<Service>>, Path(id): Path<String>) -> StatusCode {
    let mut browsers = service.browsers();
    let Some(known) = browsers.get(&id) else { return StatusCode::NOT_FOUND };
    // Its keys are not needed any more.
    let gone = Subscribed { browser: Browser::draw(), key: known.key.clone(), gone: true };
    browsers.insert(id, Arc::new(gone));
    StatusCode::NO_CONTENT
}

async fn push(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    ConnectInfo(hangup): ConnectInfo<Hangup>,
    request: Request,
) -> Response {
    let meeting = service.stand.meet(request.uri().path());
    if meeting.drop_before {
        hangup.now();
        return Response::default();
    }
    let now = service.under_way.fetch_add(1, Ordering::Relaxed) + 1;
    service.stand.peak("most_at_once", now);
    if !meeting.wait.is_zero() {
        tokio::time::sleep(meeting.wait).await;
    }
    let response = match meeting.status {
        Some((status, after)) => refuse(status, after, "by script"),
        None => service.judge(&id, request).await,
    };
    service.under_way.fetch_sub(1, Ordering::Relaxed);
    service.stand.answered(response.status().as_str());
    if meeting.drop_after {
        hangup.now();
    }
    response
}

fn refuse(status: u16, after: Option<u64>, reason: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(json!({ "code": status.as_u16(), "message": reason }))).into_response();
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, after.into());
    }
    response
}

/// As the caller wrote it: the service does not know by which name it is called.
fn origin(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

// === impl Service ===

impl Service {
    fn browsers(&self) -> MutexGuard<'_, HashMap<String, Arc<Subscribed>>> {
        self.browsers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn judge(&self, id: &str, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let Some(subscribed) = self.browsers().get(id).cloned() else {
            return refuse(404, None, "no such subscription");
        };
        let origin = origin(&head.headers);
        let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sender = match vapid::check(authorization, &origin, self.stand.now().div_euclid(1000)) {
            Ok(sender) => sender,
            Err(problem) => return refuse(401, None, &problem),
        };
        match self.stand.device(id) {
            _ if subscribed.gone => return refuse(410, None, "the subscription is gone"),
            Device::Good => {}
            Device::Dead(_) => return refuse(410, None, "the subscription is gone"),
            Device::Foreign => return refuse(403, None, "the key is not the one of this subscription"),
            Device::Throttled(after) => return refuse(429, after, "too many messages to this subscription"),
            Device::Code(code) => return refuse(code.parse().unwrap_or(500), None, "by script"),
        }
        if subscribed.key.as_ref().is_some_and(|key| *key != sender) {
            return refuse(403, None, "the key is not the one of this subscription");
        }
        let headers = match request::check(&head.headers) {
            Ok(headers) => headers,
            Err(problem) => return refuse(400, None, problem),
        };
        let Ok(body) = to_bytes(body, self.config.body_max).await else {
            return refuse(413, None, "the body is too long");
        };
        self.deliver(id, &subscribed.browser, &body, headers);
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        (StatusCode::CREATED, [(header::LOCATION, format!("{origin}/message/{number}"))]).into_response()
    }

    /// A push service cannot know what it carries. The browser decrypts, and drops what it cannot read.
    fn deliver(&self, id: &str, browser: &Browser, body: &[u8], headers: Value) {
        match open(browser, body) {
            Ok(plain) => {
                let payload: Value = serde_json::from_slice(&plain)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&plain).into_owned()));
                let message = payload.get("id").and_then(Value::as_str).map(str::to_owned);
                let push = json!({ "payload": payload, "headers": headers, "plain_bytes": plain.len() });
                self.stand.accept(id, message.as_deref(), Arc::new(push));
            }
            Err(problem) => {
                tracing::debug!(id, problem, "A browser dropped a message.");
                self.stand.count("undecryptable");
            }
        }
    }
}
