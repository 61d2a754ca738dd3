//! What each route does with a request.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use homing_core::event::Invalid;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    body::{Posted, format_of, split},
    gorush, guard, ids,
    intake::{Accepted, Intake, Offer},
    keys::{Caller, Capability},
    refusal::{AWAY, Fault, Refusal},
    settings::MAX_BODY,
};

const REPLAYED: &str = "idempotent-replayed";

/// What a query may say.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    lane: Option<String>,
}

/// `POST /v1/events`.
pub(crate) async fn post_events(State(intake): State<Arc<Intake>>, request: Request) -> Result<Response, Refusal> {
    let post = Post::read(&intake, request).await?;
    let posted = post.split("events")?;
    let accepted = intake.accept(post.offer(posted.batch, "events", posted.events())).await?;
    let body = match accepted.ids.as_slice() {
        [id] if !posted.batch => json!({"id": id}),
        ids => json!({"ids": ids}),
    };
    Ok(answer(StatusCode::ACCEPTED, body, &accepted))
}

/// `POST /api/push`.
pub(crate) async fn post_push(State(intake): State<Arc<Intake>>, request: Request) -> Result<Response, Refusal> {
    let post = Post::read(&intake, request).await?;
    let list = "notifications";
    let posted = post.split(list)?;
    if !posted.batch {
        return Err(Refusal::bad(list, "is missing"));
    }
    if posted.len() > gorush::MAX {
        return Err(Refusal::bad(list, format!("expected at most {}", gorush::MAX)));
    }
    let now = intake.now();
    let mut count = 0;
    let events = posted.events().enumerate().map(|(i, notification)| {
        let made = gorush::event(&notification?, &intake.settings, now);
        let (event, devices) = made.map_err(|invalid: Invalid| Fault::new(Some(i), invalid))?;
        count += devices;
        Ok(event)
    });
    let accepted = intake.accept(post.offer(true, list, events)).await?;
    let body = json!({"success": "ok", "counts": count, "logs": [], "ids": accepted.ids});
    Ok(answer(StatusCode::OK, body, &accepted))
}

/// `DELETE /v1/events/{id}`.
pub(crate) async fn delete_event(
    State(intake): State<Arc<Intake>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = admit(&intake, &headers)?;
    let id = id_of(path)?;
    intake.cancel(&caller, &id).await?;
    let note = "what is under way already may still arrive";
    Ok((StatusCode::ACCEPTED, Json(json!({"id": id, "note": note}))).into_response())
}

/// `GET /v1/events/{id}`.
pub(crate) async fn get_event(
    State(intake): State<Arc<Intake>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = admit(&intake, &headers)?;
    let trace = intake.trace(&caller, &id_of(path)?).await?;
    if trace.records.is_empty() {
        let message =
            "nothing is on record: it is older than the trace window or unknown, or still waits in its entry list";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "id", message));
    }
    Ok(Json(trace).into_response())
}

/// `GET /v1/ledger`.
pub(crate) async fn get_ledger(State(intake): State<Arc<Intake>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = admit(&intake, &headers)?;
    Ok(Json(intake.ledger(&caller).await?).into_response())
}

/// `GET /readyz`: does the queue answer?
pub(crate) async fn ready(State(intake): State<Arc<Intake>>) -> Response {
    match intake.probe().await {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!([{"part": "queue", "reason": reason}]))).into_response()
        }
    }
}

/// Who calls, if this caller is served at all, and here.
fn admit(intake: &Intake, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
    admit_to(intake, headers, Capability::Events)
}

pub(crate) fn admit_to(intake: &Intake, headers: &HeaderMap, to: Capability) -> Result<Arc<Caller>, Refusal> {
    if intake.settings.is_open() {
        guard::local_only(headers)?;
    }
    let caller = intake.keys.caller(headers)?;
    caller.require(to)?;
    Ok(caller)
}

fn id_of(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let wrong = || Refusal::bad("id", "expected an id of 1 to 256 bytes");
    let Path(id) = path.map_err(|_| wrong())?;
    if (1..=256).contains(&id.len()) { Ok(id) } else { Err(wrong()) }
}

fn answer(status: StatusCode, body: serde_json::Value, accepted: &Accepted) -> Response {
    let mut response = (status, Json(body)).into_response();
    if accepted.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A request with events, read whole.
struct Post {
    caller: Arc<Caller>,
    lane: Option<String>,
    key: Option<(String, [u8; 16])>,
    headers: HeaderMap,
    body: Bytes,
    /// Its share of the memory for bodies.
    _share: OwnedSemaphorePermit,
}

// === impl Post ===

impl Post {
    async fn read(intake: &Intake, request: Request) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let caller = admit(intake, &head.headers)?;
        let query = Query::<Wanted>::try_from_uri(&head.uri).map_err(|e| Refusal::bad("query", e.body_text()))?;
        let lane = query.0.lane.filter(|lane| !lane.is_empty());
        let key = idempotency_key(&head.headers)?;
        let (body, share) = read_body(intake, &head.headers, body, MAX_BODY).await?;
        let key = key.map(|key| {
            let lane = lane.as_deref().unwrap_or_default();
            let request = ids::half(&[head.uri.path().as_bytes(), lane.as_bytes(), &body]);
            (key, request)
        });
        Ok(Self { caller, lane, key, headers: head.headers, body, _share: share })
    }

    fn split(&self, list: &'static str) -> Result<Posted<'_>, Refusal> {
        split(&self.body, format_of(&self.headers), list)
    }

    fn offer<I>(&self, batch: bool, list: &'static str, events: I) -> Offer<'_, I> {
        let key = self.key.as_ref().map(|(key, request)| (key.as_str(), *request));
        Offer { caller: &self.caller, lane: self.lane.as_deref(), key, batch, list, events }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if !(1..=255).contains(&text.len()) {
        return Err(Refusal::bad("Idempotency-Key", "expected 1 to 255 visible ASCII characters"));
    }
    Ok(Some(text.to_owned()))
}

/// The body, within its bounds of length and time.
pub(crate) async fn read_body(
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<(Bytes, OwnedSemaphorePermit), Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case(b"identity")) {
        let message = "bodies are read as they are, without an encoding";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding", message));
    }
    let too_large = || Refusal::too_large(format!("is longer than {limit} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let most = announced.unwrap_or(limit);
    if most > limit {
        return Err(too_large());
    }
    let share = u32::try_from(most / 1_024 + 1).unwrap_or(u32::MAX);
    let share = timeout(intake.settings.timeout, Arc::clone(&intake.bodies).acquire_many_owned(share)).await;
    let Some(share) = share.ok().and_then(Result::ok) else {
        let message = "too many bodies are being read";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "body", message).again(AWAY));
    };
    let read = async {
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(0));
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Refusal::bad("body", Cow::from(error.to_string())))?;
            if whole.len() + chunk.len() > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    let slow = || {
        let message = format!("did not come within {:?}", intake.settings.body_timeout);
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "body", message))
    };
    let body = timeout(intake.settings.body_timeout, read).await.unwrap_or_else(|_| slow())?;
    Ok((body, share))
}
