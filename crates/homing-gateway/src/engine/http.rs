//! Engine.IO by HTTP requests: handshake, GET and POST of a client that polls. It is mounted by whoever has a router.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::sync::oneshot;

use super::{Engine, Site, meter, packet::Version, sid};
use crate::{
    hub::{Hub, Order},
    parcel::Payload,
    session::{Poll, PollReply, PollRequest, Request, Session, SessionKey},
    socketio::Transport,
};

/// Where sessions live.
pub trait Shards: Send + Sync {
    /// Begins a session without a socket; `None` = there is no room.
    fn open(&self, session: Box<dyn Session>) -> BoxFuture<'_, Option<SessionKey>>;

    /// Hands a request to a session. Where there is none, the reply is dropped.
    fn poll(&self, key: SessionKey, poll: Poll) -> BoxFuture<'_, ()>;
}

impl Shards for Hub {
    fn open(&self, session: Box<dyn Session>) -> BoxFuture<'_, Option<SessionKey>> {
        Box::pin(async move { Self::open(self, session).await.ok() })
    }

    fn poll(&self, key: SessionKey, poll: Poll) -> BoxFuture<'_, ()> {
        Box::pin(self.order(None, Order::Poll(key, poll)))
    }
}

/// A request, as far as it matters.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Path, query, origin, what it shows.
    pub request: Request,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Access-Control-Request-Headers`.
    pub wanted_headers: Option<&'a str>,
    /// Its body; reading more than the site's `max_payload` plus one byte is a waste.
    pub body: Bytes,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
}

/// Why a request is refused: the numbers and words of the JavaScript server.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Transport,
    Session,
    Method,
    Request,
    Forbidden,
    Version,
    TooLarge,
    Full,
}

impl Fault {
    fn parts(self) -> (StatusCode, u8, &'static str) {
        match self {
            Self::Transport => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
            Self::Session => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
            Self::Method => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
            Self::Request => (StatusCode::BAD_REQUEST, 3, "Bad request"),
            Self::Forbidden => (StatusCode::FORBIDDEN, 4, "Forbidden"),
            Self::Version => (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 3, "Payload too large"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, 3, "No room for another session"),
        }
    }
}

/// Answers a request at one of the site's paths. It waits as long as the session makes a GET wait, which is about a
/// heartbeat at most. Cancelled: the session notices, and keeps what it had for that GET.
pub async fn serve(site: &Arc<Site>, shards: &dyn Shards, asked: Asked<'_>) -> Answer {
    let mut headers = cors(site, &asked);
    if asked.method == Method::OPTIONS {
        return Answer { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() };
    }
    headers.push(("cache-control", "no-store".to_owned()));
    match answer(site, shards, asked).await {
        Ok((kind, body)) => {
            headers.push(("content-type", kind.to_owned()));
            Answer { status: StatusCode::OK, headers, body }
        }
        Err(fault) => {
            let (status, code, message) = fault.parts();
            counter!(meter::REFUSED, "why" => message).increment(1);
            headers.push(("content-type", "application/json".to_owned()));
            if matches!(fault, Fault::Full) {
                headers.push(("retry-after", "5".to_owned()));
            }
            Answer { status, headers, body: format!(r#"{{"code":{code},"message":"{message}"}}"#).into() }
        }
    }
}

async fn answer(site: &Arc<Site>, shards: &dyn Shards, asked: Asked<'_>) -> Result<(&'static str, Bytes), Fault> {
    let request = &asked.request;
    if !site.welcomes(request) {
        return Err(Fault::Forbidden);
    }
    match request.parameter("transport") {
        Some("polling") if site.settings.has(Transport::Polling) => {}
        // It is one, but this is no request for a WebSocket.
        Some("websocket") if site.settings.has(Transport::WebSocket) => return Err(Fault::Request),
        _ => return Err(Fault::Transport),
    }
    if request.parameter("j").is_some() {
        return Err(Fault::Request);
    }
    let base64 = request.parameter("b64").is_some_and(|flag| !matches!(flag, "" | "0" | "false"));
    let (key, sid, what) = match request.parameter("sid").filter(|sid| !sid.is_empty()) {
        None => {
            if asked.method != Method::GET {
                return Err(Fault::Method);
            }
            let version = site.version(request).ok_or(Fault::Version)?;
            let engine = Engine::new(Arc::clone(site), version, base64, site.credentials(request));
            let key = shards.open(Box::new(engine)).await.ok_or(Fault::Full)?;
            (key, String::new(), PollRequest::Get { base64 })
        }
        Some(sid) => {
            let key = sid::key_of(sid).ok_or(Fault::Session)?;
            let what = match *asked.method {
                Method::GET => PollRequest::Get { base64 },
                Method::POST if asked.body.len() > site.settings.max_payload => return Err(Fault::TooLarge),
                Method::POST => PollRequest::Post {
                    body: asked.body.clone(),
                    binary: asked.content_type.is_some_and(|kind| kind.starts_with("application/octet-stream")),
                },
                _ => return Err(Fault::Method),
            };
            (key, sid.to_owned(), what)
        }
    };
    let posted = matches!(what, PollRequest::Post { .. });
    let (reply, answered) = oneshot::channel();
    shards.poll(key, Poll { sid, what, reply }).await;
    match answered.await {
        Ok(PollReply { status: 200, body: Payload::Binary(body) }) => Ok(("application/octet-stream", body)),
        Ok(PollReply { status: 200, body: Payload::Text(body) }) => {
            Ok((if posted { "text/html" } else { "text/plain; charset=UTF-8" }, body))
        }
        Ok(_) => Err(Fault::Request),
        Err(_) => Err(Fault::Session),
    }
}

/// Where any origin may come, the answer is for any, without credentials. Clients of version 3 ask with credentials all
/// the same, so their own origin is named to them, as their server did. Configured origins are named.
fn cors(site: &Site, asked: &Asked<'_>) -> Vec<(&'static str, String)> {
    let request = &asked.request;
    let named = match &request.origin {
        Some(origin) if !site.is_open() => {
            if !site.welcomes(request) {
                return vec![("vary", "Origin".to_owned())];
            }
            Some(origin)
        }
        Some(origin) if site.version(request) == Some(Version::V3) => Some(origin),
        _ => None,
    };
    let mut headers = match named {
        Some(origin) => vec![
            ("access-control-allow-origin", origin.clone()),
            ("access-control-allow-credentials", "true".to_owned()),
            ("vary", "Origin".to_owned()),
        ],
        None => vec![("access-control-allow-origin", "*".to_owned())],
    };
    if asked.method == Method::OPTIONS {
        let wanted = asked.wanted_headers.unwrap_or("Content-Type, Authorization");
        headers.push(("access-control-allow-methods", "GET, POST, OPTIONS".to_owned()));
        headers.push(("access-control-allow-headers", wanted.to_owned()));
        headers.push(("access-control-max-age", "600".to_owned()));
    }
    headers
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
