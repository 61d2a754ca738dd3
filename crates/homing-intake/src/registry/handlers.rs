//! What each route of the registry does.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use homing_core::{
    event::Invalid,
    registry::{Error, MAX_NAME, MAX_USER, Result as Answer},
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use super::{Desk, body, show};
use crate::{
    handlers::{admit_to, read_body},
    intake::Intake,
    keys::Capability,
    refusal::{AWAY, Refusal},
};

/// The longest body in bytes.
const MAX_BODY: usize = 64 << 10;

type Intakes = State<Arc<Intake>>;
type One = Result<Path<String>, PathRejection>;
type Two = Result<Path<(String, String)>, PathRejection>;
type End = Result<Response, Refusal>;

/// `GET /v1/users/{id}/devices`.
pub(super) async fn list(State(intake): Intakes, path: One, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let user = user(path)?;
    let held = ask(&intake, desk.registry.list(&user)).await?;
    let devices: Value = held.iter().map(show::device).collect();
    Ok(Json(json!({"user": user, "devices": devices})).into_response())
}

/// `GET /v1/users/{id}/devices/{device}`.
pub(super) async fn get_one(State(intake): Intakes, path: Two, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let (user, device) = pair(path, "device")?;
    let held = ask(&intake, desk.registry.list(&user)).await?;
    let held = held.iter().find(|held| held.device.id == device).ok_or_else(|| unknown("there is no such device"))?;
    Ok(Json(show::device(held)).into_response())
}

/// `PUT /v1/users/{id}/devices`: the device says its id itself.
pub(super) async fn put(State(intake): Intakes, path: One, request: Request) -> End {
    let (desk, fields) = read(&intake, request).await?;
    let user = user(path)?;
    register(&intake, desk, &user, &body::device(&fields, None, &desk.channels).map_err(bad)?).await
}

/// `PUT /v1/users/{id}/devices/{device}`.
pub(super) async fn put_one(State(intake): Intakes, path: Two, request: Request) -> End {
    let (desk, fields) = read(&intake, request).await?;
    let (user, device) = pair(path, "device")?;
    register(&intake, desk, &user, &body::device(&fields, Some(&device), &desk.channels).map_err(bad)?).await
}

async fn register(intake: &Intake, desk: &Desk, user: &str, device: &homing_core::registry::Device) -> End {
    let put = ask(intake, desk.registry.put(user, device, intake.now())).await?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    let body = json!({"device": device.id, "created": put.created, "moved": put.moved});
    Ok((status, Json(body)).into_response())
}

/// `DELETE /v1/users/{id}/devices`.
pub(super) async fn delete_all(State(intake): Intakes, path: One, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let deleted = ask(&intake, desk.registry.delete(&user(path)?, None, intake.now())).await?;
    Ok(Json(json!({"deleted": deleted})).into_response())
}

/// `DELETE /v1/users/{id}/devices/{device}`.
pub(super) async fn delete_one(State(intake): Intakes, path: Two, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let (user, device) = pair(path, "device")?;
    let deleted = ask(&intake, desk.registry.delete(&user, Some(&device), intake.now())).await?;
    Ok(Json(json!({"deleted": deleted})).into_response())
}

/// `POST /v1/users/{id}/devices/{device}/restore`.
pub(super) async fn restore(State(intake): Intakes, path: Two, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let (user, device) = pair(path, "device")?;
    let restored = ask(&intake, desk.registry.restore(&user, &device, intake.now())).await?;
    Ok(Json(json!({"tokens": restored})).into_response())
}

/// `GET /v1/users/{id}/preferences`.
pub(super) async fn preferences(State(intake): Intakes, path: One, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let wanted = ask(&intake, desk.registry.preferences(&user(path)?)).await?;
    Ok(Json(show::preferences(&wanted)).into_response())
}

/// `PUT /v1/users/{id}/preferences`.
pub(super) async fn prefer(State(intake): Intakes, path: One, request: Request) -> End {
    let (desk, fields) = read(&intake, request).await?;
    let user = user(path)?;
    let wanted = body::preferences(&fields, |name| intake.is_type(name)).map_err(bad)?;
    ask(&intake, desk.registry.prefer(&user, &wanted, intake.now())).await?;
    Ok(Json(show::preferences(&wanted)).into_response())
}

/// `GET /v1/users/{id}/topics`.
pub(super) async fn topics(State(intake): Intakes, path: One, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let topics = ask(&intake, desk.registry.topics(&user(path)?)).await?;
    Ok(Json(json!({"topics": topics})).into_response())
}

/// `PUT /v1/users/{id}/topics/{topic}`.
pub(super) async fn follow(State(intake): Intakes, path: Two, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let (user, topic) = pair(path, "topic")?;
    let new = ask(&intake, desk.registry.follow(&user, &topic, intake.now())).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({"topic": topic, "new": new}))).into_response())
}

/// `DELETE /v1/users/{id}/topics/{topic}`.
pub(super) async fn unfollow(State(intake): Intakes, path: Two, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let (user, topic) = pair(path, "topic")?;
    let removed = ask(&intake, desk.registry.unfollow(&user, &topic)).await?;
    Ok(Json(json!({"topic": topic, "removed": removed})).into_response())
}

/// `DELETE /v1/users/{id}`.
pub(super) async fn erase(State(intake): Intakes, path: One, headers: HeaderMap) -> End {
    let desk = desk(&intake, &headers)?;
    let erased = ask(&intake, desk.registry.erase(&user(path)?, intake.now())).await?;
    Ok(Json(json!({"erased": erased})).into_response())
}

/// The registry, for a caller who may use it.
fn desk<'a>(intake: &'a Intake, headers: &HeaderMap) -> Result<&'a Desk, Refusal> {
    let caller = admit_to(intake, headers, Capability::Registry)?;
    caller.spend(1, Instant::now())?;
    intake.registry.as_ref().ok_or_else(|| {
        let message = "there is no device registry here: the configuration has no [registry]";
        Refusal::new(StatusCode::NOT_FOUND, "path", message)
    })
}

/// The registry and the body's fields.
async fn read(intake: &Intake, request: Request) -> Result<(&Desk, Map<String, Value>), Refusal> {
    let (head, body) = request.into_parts();
    let desk = desk(intake, &head.headers)?;
    let (body, _share) = read_body(intake, &head.headers, body, MAX_BODY).await?;
    Ok((desk, body::object(&body).map_err(bad)?))
}

fn user(path: One) -> Result<String, Refusal> {
    let Path(user) = path.map_err(|_| Refusal::bad("id", "is no text in UTF-8"))?;
    body::named("id", user, MAX_USER).map_err(bad)
}

fn pair(path: Two, second: &'static str) -> Result<(String, String), Refusal> {
    let Path((user, other)) = path.map_err(|_| Refusal::bad("path", "is no text in UTF-8"))?;
    let user = body::named("id", user, MAX_USER).map_err(bad)?;
    Ok((user, body::named(second, other, MAX_NAME).map_err(bad)?))
}

fn bad(invalid: Invalid) -> Refusal {
    Refusal::bad(invalid.field, invalid.what)
}

fn unknown(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "device", message)
}

/// An answer of the registry, within the time that a request has.
async fn ask<T>(intake: &Intake, call: impl Future<Output = Answer<T>>) -> Result<T, Refusal> {
    let away = |why: String| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "registry", why).again(AWAY);
    match timeout(intake.settings.timeout, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Unknown(what))) => Err(unknown(what)),
        Ok(Err(Error::Full { field, most })) => {
            let message = format!("the user has {most} of them, the most that there may be; delete one");
            Err(Refusal::new(StatusCode::CONFLICT, field, message))
        }
        Ok(Err(error @ Error::Down(_))) => {
            tracing::warn!(%error, "The registry gave no answer.");
            Err(away("could not answer; the same may be sent again".to_owned()))
        }
        Err(_) => Err(away(format!("did not answer within {:?}; the same may be sent again", intake.settings.timeout))),
    }
}
