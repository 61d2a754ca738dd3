//! The demo's port: the intake's routes, what the phones show, and the page.
//!
//! | route | what |
//! |---|---|
//! | `/v1/events`, `/v1/events/{id}`, `/v1/ledger`, `/v1/receipts`, `/api/push` | the intake's |
//! | `GET /v1/phones/{user}` | what the user's phones show, newest first |
//! | `GET /metrics`, `/healthz`, `/readyz`, `/version` | the admin port's |
//! | `GET /`, `/demo.js`, `/notify.js`, `/demo.css`, `/sw.js` | the page, and its service worker |
//! | `POST /demo/browser` | makes a browser's subscription a device |
//! | `GET /tab?user=42`, `/tab.js`, `/homing.js` | a user's browser tab |
//! | `GET /demo/tab/{user}` | where the gateway is, and a token for the user |
//! | `GET /demo/setup`, `/demo/queues`, `/demo/explain/{user}`, `/demo/trace/{id}` | what it shows beside |
//!
//! There is no key: the port listens on loopback, and a page of somebody else's in a browser here gives itself away by
//! its `Host` (a name that was bent to 127.0.0.1) or its `Origin`.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use homing_core::{
    catalogue::Catalogue,
    clock::Clock,
    ledger::Role,
    queue::{Log, Queue, QueueName},
};
use homing_intake::Intake;
use homing_pipeline::distributor::Lane;
use serde::Serialize;
use serde_json::json;

use super::{
    browsers::{Browsers, Refused, Wish},
    phones::Phones,
    sample,
    tabs::Tabs,
};
use crate::{
    config::Config,
    operator::{explain, trace},
};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const NOTIFY: &str = include_str!("notify.js");
const WORKER: &str = include_str!("sw.js");
const STYLE: &str = include_str!("page.css");
const TAB: &str = include_str!("tab.html");
const TAB_SCRIPT: &str = include_str!("tab.js");
/// The client that applications use, too.
const CLIENT: &str = include_str!("../../../../clients/js/homing.js");

/// Nothing from elsewhere but the gateway, which has a port of its own; nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws://127.0.0.1:*; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The longest body of a browser's wish.
const WISH_MAX: usize = 16 * 1024;

/// What the handlers share.
pub(super) struct Demo {
    pub(super) config: Arc<Config>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) shards: Vec<(String, Role, QueueName)>,
    pub(super) lanes: BTreeMap<String, Arc<Lane>>,
    pub(super) catalogue: Catalogue,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) browsers: Browsers,
    pub(super) phones: Phones,
    pub(super) tabs: Tabs,
    /// The admin port.
    pub(super) admin: SocketAddr,
    pub(super) http: reqwest::Client,
}

/// A queue as the page shows it.
#[derive(Serialize)]
struct Depth {
    lane: String,
    queue: String,
    /// In its main list.
    waiting: u64,
    /// In its other lists: to be tried again, or waiting for a paused app.
    own: u64,
    /// For a later time.
    delayed: u64,
    dead: u64,
}

type Shared = State<Arc<Demo>>;

/// The whole port.
pub(super) fn router(demo: Arc<Demo>, intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/demo.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/notify.js", get(async || file("text/javascript; charset=utf-8", NOTIFY)))
        // At the root, so that it is the worker of the whole page.
        .route("/sw.js", get(async || file("text/javascript; charset=utf-8", WORKER)))
        .route("/demo.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/tab", get(async || file("text/html; charset=utf-8", TAB)))
        .route("/tab.js", get(async || file("text/javascript; charset=utf-8", TAB_SCRIPT)))
        .route("/homing.js", get(async || file("text/javascript; charset=utf-8", CLIENT)))
        .route("/demo/tab/{user}", get(tab))
        .route("/v1/phones/{user}", get(phones))
        .route("/demo/setup", get(setup))
        .route("/demo/browser", post(browser).layer(DefaultBodyLimit::max(WISH_MAX)))
        .route("/demo/queues", get(queues))
        .route("/demo/explain/{user}", get(explain_user))
        .route("/demo/trace/{id}", get(trace_of))
        .route("/metrics", get(admin))
        .route("/healthz", get(admin))
        .route("/readyz", get(admin))
        .route("/version", get(admin))
        .with_state(demo)
        .merge(homing_intake::routes(intake))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "path", "there is no such page"))
        .layer(from_fn(guard))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn refuse(status: StatusCode, field: &str, message: impl Into<String>) -> Response {
    (status, Json(json!({"error": {"field": field, "message": message.into()}}))).into_response()
}

fn unavailable(error: &anyhow::Error) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "demo", format!("{error:#}"))
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = match stranger(request.headers()) {
        Some(field) => {
            refuse(StatusCode::FORBIDDEN, field, "only localhost, 127.0.0.1 and [::1] are served: there is no key")
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The header that shows that a foreign page asks.
fn stranger(headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(is_local) {
        return Some("Host");
    }
    let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or_default();
    // The page of another port of this machine is a foreign one, too.
    let own = host.is_some_and(|host| origin.strip_prefix("http://").is_some_and(|o| o.eq_ignore_ascii_case(host)));
    (!own).then_some("Origin")
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
        let Some((name, rest)) = host.split_at_checked(own.len()) else { return false };
        let port = rest.strip_prefix(':');
        name.eq_ignore_ascii_case(own) && (rest.is_empty() || port.is_some_and(|p| p.parse::<u16>().is_ok()))
    })
}

async fn phones(State(demo): Shared, Path(user): Path<String>) -> Response {
    match demo.phones.of(&user).await {
        Ok(pushes) => Json(pushes).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn tab(State(demo): Shared, Path(user): Path<String>) -> Response {
    match demo.tabs.ticket(&user, demo.clock.now()) {
        Ok(ticket) => Json(ticket).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn setup(State(demo): Shared) -> Response {
    let types: Vec<_> = demo.catalogue.types().iter().map(|t| json!({"code": t.code, "name": t.name})).collect();
    let users = match demo.browsers.users().await {
        Ok(users) => users,
        Err(error) => return unavailable(&error),
    };
    let vapid = &demo.browsers.key;
    Json(json!({"users": users, "types": types, "chats": sample::chats(), "vapid": vapid})).into_response()
}

async fn browser(State(demo): Shared, body: Bytes) -> Response {
    let wish: Wish = match serde_json::from_slice(&body) {
        Ok(wish) => wish,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "body", error.to_string()),
    };
    match demo.browsers.register(wish).await {
        Ok(registered) => Json(registered).into_response(),
        Err(Refused::Bad(field, message)) => refuse(StatusCode::BAD_REQUEST, field, message),
        Err(Refused::Full) => refuse(StatusCode::CONFLICT, "browser", "there are too many browsers in the directory"),
        Err(Refused::Store(error)) => unavailable(&error),
    }
}

async fn queues(State(demo): Shared) -> Response {
    let mut all = Vec::with_capacity(demo.shards.len());
    for (lane, _, name) in &demo.shards {
        let snapshot = match demo.queue.inspect(name).await {
            Ok(snapshot) => snapshot,
            Err(error) => return unavailable(&error.into()),
        };
        let open = |main: bool| {
            let lists = snapshot.logs.iter().filter(|list| (list.log == Log::MAIN) == main);
            lists.map(|list| list.length.saturating_sub(list.finished)).sum()
        };
        all.push(Depth {
            lane: lane.clone(),
            queue: name.to_string(),
            waiting: open(true),
            own: open(false),
            delayed: snapshot.delayed,
            dead: snapshot.dead,
        });
    }
    Json(all).into_response()
}

/// As `/v1/events/{id}`; of a message that nothing is on record about yet it is empty, and no error in a browser's console.
async fn trace_of(State(demo): Shared, Path(id): Path<String>) -> Response {
    match trace::read(&demo.config, &*demo.queue, &id).await {
        Ok(trace) => Json(trace).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// What each lane says of a user now.
async fn explain_user(State(demo): Shared, Path(user): Path<String>) -> Response {
    let mut all = Vec::with_capacity(demo.lanes.len());
    // The lane of most events comes first.
    let (first, others): (Vec<_>, Vec<_>) = demo.lanes.values().partition(|lane| lane.name == super::SYSTEM);
    for lane in first.into_iter().chain(others) {
        match explain::explain(&demo.config, lane, &user, None, None, demo.clock.now()).await {
            Ok(explanation) => all.push(explanation),
            Err(error) => return unavailable(&error),
        }
    }
    Json(all).into_response()
}

/// Hands the question on to the admin port.
async fn admin(State(demo): Shared, request: Request) -> Response {
    let url = format!("http://{}{}", demo.admin, request.uri().path());
    let ask = async {
        let answer = demo.http.get(url).timeout(Duration::from_secs(5)).send().await?;
        let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
        let mut response = Response::new(Body::from(answer.bytes().await?));
        *response.status_mut() = status;
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        anyhow::Ok(response)
    };
    ask.await.unwrap_or_else(|error| unavailable(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        assert_eq!(stranger(&headers), expected, "{pairs:?}");
    }

    #[test]
    fn strangers_are_known_by_host_and_origin() {
        for host in ["localhost:7700", "127.0.0.1:7700", "[::1]:7700", "LOCALHOST", "127.0.0.1"] {
            check(&[("host", host)], None);
            check(&[("host", host), ("origin", &format!("http://{host}"))], None);
        }
        for host in ["evil.example", "evil.example:7700", "127.0.0.1.evil.example", "localhost:x", "", "10.0.0.1:7700"]
        {
            check(&[("host", host)], Some("Host"));
        }
        check(&[], Some("Host"));
        check(&[("host", "localhost"), ("host", "evil.example")], Some("Host"));
        for origin in ["http://evil.example", "null", "https://127.0.0.1:7700", "http://127.0.0.1:7701", ""] {
            check(&[("host", "127.0.0.1:7700"), ("origin", origin)], Some("Origin"));
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_nothing_inline() {
        let page = [PAGE, SCRIPT, NOTIFY, WORKER, STYLE].concat();
        assert!(page.lines().count() < 450);
        for word in [
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "http://",
            "https://",
            "onclick=\"",
            "style=\"",
        ] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(!PAGE.contains("<style") && !PAGE.contains("<script>"));
    }
}
