//! The same methods as paths: what the path names and what the body holds are the parameters.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use homing_core::live::MAX_ID;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    answer::Rpc,
    body::{self, NoBody},
    caller::Caller,
    fault::{Fault, code},
    http::{challenge, json},
    json::is_flat,
    method::Method,
    params::Params,
};

/// The state, the headers and the body of a request.
type Parts = (State<Arc<Rpc>>, HeaderMap);

pub(super) async fn push_user(parts: Parts, Path(user): Path<String>, body: Body) -> Response {
    call(parts, Method::PushUser, &[("user", user)], Some(body)).await
}

pub(super) async fn push_users(parts: Parts, body: Body) -> Response {
    call(parts, Method::PushUsers, &[], Some(body)).await
}

pub(super) async fn push_broadcast(parts: Parts, body: Body) -> Response {
    call(parts, Method::PushBroadcast, &[], Some(body)).await
}

pub(super) async fn push_group(parts: Parts, Path(group): Path<String>, body: Body) -> Response {
    call(parts, Method::PushGroup, &[("group", group)], Some(body)).await
}

pub(super) async fn presence_of(parts: Parts, Path(user): Path<String>) -> Response {
    call(parts, Method::PresenceGet, &[("user", user)], None).await
}

pub(super) async fn presence(parts: Parts, body: Body) -> Response {
    call(parts, Method::PresenceGet, &[], Some(body)).await
}

pub(super) async fn unread(parts: Parts, Path(user): Path<String>, RawQuery(query): RawQuery) -> Response {
    let mut given = vec![("user", user)];
    let query = query.unwrap_or_default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "limit" {
            given.push(("limit", value.into_owned()));
        }
    }
    call(parts, Method::HistoryUnread, &given, None).await
}

pub(super) async fn read(parts: Parts, Path(user): Path<String>, body: Body) -> Response {
    call(parts, Method::HistoryRead, &[("user", user)], Some(body)).await
}

pub(super) async fn schedule(parts: Parts, body: Body) -> Response {
    call(parts, Method::SchedulePut, &[], Some(body)).await
}

pub(super) async fn cancel(parts: Parts, Path(id): Path<String>) -> Response {
    call(parts, Method::ScheduleCancel, &[("id", id)], None).await
}

pub(super) async fn end(parts: Parts, Path(user): Path<String>, body: Body) -> Response {
    call(parts, Method::SessionEnd, &[("user", user)], Some(body)).await
}

pub(super) async fn wrong_method() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "method", "this path does not know that method")
}

async fn call(parts: Parts, method: Method, given: &[(&'static str, String)], body: Option<Body>) -> Response {
    let (State(rpc), headers) = parts;
    let key = match rpc.keys.caller(&headers) {
        Ok(key) => key,
        Err(fault) => return failed(&fault),
    };
    let bytes = match body {
        None => Vec::new(),
        Some(body) => match body::read(body, rpc.settings.max_body, rpc.settings.body_timeout).await {
            Ok(bytes) => bytes,
            Err(NoBody { status, message }) => return refused(status, "body", &message),
        },
    };
    let fields = match fields(&bytes) {
        Ok(fields) => fields,
        Err(message) => return refused(StatusCode::BAD_REQUEST, "body", &message),
    };
    let id = match idempotency_key(&headers) {
        Ok(id) => id,
        Err(message) => return refused(StatusCode::BAD_REQUEST, "Idempotency-Key", message),
    };
    let outcome = match read_params(fields.as_deref(), method, given, id) {
        Ok(params) => rpc.call(&Caller::Key(key), method, params).await,
        Err(fault) => Err(fault),
    };
    match outcome {
        Ok(answer) => json(StatusCode::OK, answer.get().to_owned()),
        Err(fault) => failed(&fault),
    }
}

fn read_params<'a>(
    fields: Option<&'a RawValue>,
    method: Method,
    given: &[(&'static str, String)],
    id: Option<&str>,
) -> Result<Params<'a>, Fault> {
    let mut params = Params::read(fields, method, None)?;
    for (name, value) in given {
        params.set(name, value)?;
    }
    let takes_id = method.params().contains(&"id") && method != Method::ScheduleCancel;
    if let (Some(id), true) = (id, takes_id) {
        params.fill("id", id);
    }
    Ok(params)
}

/// The body: an object, or nothing.
fn fields(bytes: &[u8]) -> Result<Option<Box<RawValue>>, String> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    if !is_flat(bytes) {
        return Err("nests too deep".to_owned());
    }
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_slice(bytes).map_err(|error| format!("expected a JSON object: {error}"))?;
    to_raw_value(&fields).map(Some).map_err(|error| error.to_string())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(id) if (1..=MAX_ID).contains(&id.len()) => Ok(Some(id)),
        _ => Err("expected 1 to 128 visible ASCII characters"),
    }
}

fn failed(fault: &Fault) -> Response {
    let field = match &fault.field {
        Some(field) => field,
        None => match fault.code {
            code::UNAUTHORIZED => "Authorization",
            code::UNAVAILABLE => "store",
            code::LIMIT => "rate",
            _ => "call",
        },
    };
    let message = fault.message.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&fault.message);
    let mut response = refused(fault.status(), field, message);
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    challenge(&mut response);
    response
}

fn refused(status: StatusCode, field: &str, message: &str) -> Response {
    json(status, json!({"error": {"field": field, "message": message}}).to_string())
}
