//! JSON-RPC over HTTP, and the routes.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::value::RawValue;

use super::{
    answer::Rpc,
    body,
    caller::Caller,
    fault::{Fault, code},
    request::answer,
    rest,
};

/// `POST /rpc` and what is below `/v1`, to be merged into a server's routes.
pub fn router(rpc: Arc<Rpc>) -> Router {
    Router::new()
        .route("/rpc", post(call).fallback(wrong_method))
        .route("/v1/push/user/{user}", post(rest::push_user).fallback(rest::wrong_method))
        .route("/v1/push/users", post(rest::push_users).fallback(rest::wrong_method))
        .route("/v1/push/broadcast", post(rest::push_broadcast).fallback(rest::wrong_method))
        .route("/v1/push/group/{group}", post(rest::push_group).fallback(rest::wrong_method))
        .route("/v1/presence/{user}", get(rest::presence_of).fallback(rest::wrong_method))
        .route("/v1/presence", post(rest::presence).fallback(rest::wrong_method))
        .route("/v1/history/{user}/unread", get(rest::unread).fallback(rest::wrong_method))
        .route("/v1/history/{user}/read", post(rest::read).fallback(rest::wrong_method))
        .route("/v1/schedule", post(rest::schedule).fallback(rest::wrong_method))
        .route("/v1/schedule/{id}", delete(rest::cancel).fallback(rest::wrong_method))
        .route("/v1/sessions/{user}", delete(rest::end).fallback(rest::wrong_method))
        .with_state(rpc)
}

async fn call(State(rpc): State<Arc<Rpc>>, headers: HeaderMap, body: Body) -> Response {
    let key = match rpc.keys.caller(&headers) {
        Ok(key) => key,
        Err(fault) => return refused(fault.status(), &fault),
    };
    let bytes = match body::read(body, rpc.settings.max_body, rpc.settings.body_timeout).await {
        Ok(bytes) => bytes,
        Err(error) => return refused(error.status, &Fault::new(code::LIMIT, error.message)),
    };
    match rpc.answer(&Caller::Key(key), &bytes).await {
        Some(answer) => json(StatusCode::OK, answer.get().to_owned()),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn wrong_method() -> Response {
    let mut response =
        refused(StatusCode::METHOD_NOT_ALLOWED, &Fault::new(code::REQUEST, "JSON-RPC is called by POST"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

fn refused(status: StatusCode, fault: &Fault) -> Response {
    let answer = answer(RawValue::NULL, Err(fault));
    let mut response = json(status, answer.get().to_owned());
    challenge(&mut response);
    response
}

pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// 401 says how to do better (RFC 9110, section 11.6.1).
pub(super) fn challenge(response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Bearer realm=\"homing\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
