//! Receipts: what devices and pages say of messages: *shown*, *clicked*.
//!
//! ```text
//! POST /v1/receipts   {"id": "o-1", "user": "42", "device": "i-1", "event": "shown", "proof": "..."}, or a list of them
//! 202                 {"accepted": 1, "repeated": 0}
//! ```
//!
//! A caller with a key may report for any device. A device or page shows the *proof* that came with the message instead
//! ([`homing_core::receipt`]); so that it works from any page, the route answers browsers of every origin. Without a key
//! a peer may say so much a second and no more.
//!
//! Receipts are counted at a shard of their own, [`shard`], each once an hour; of a message that nobody knows too: its
//! trace may be older.

mod body;
mod peers;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use homing_core::{
    queue::{QueueName, Receipt},
    receipt::Prover,
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    body::{format_of, split},
    guard,
    handlers::{admit_to, read_body},
    intake::Intake,
    keys::{Caller, Capability, Keys},
    meter,
    receipts::{body::Said, peers::Peers},
    refusal::{Fault, Refusal},
};

/// The shard that receipts are counted at. It has no list.
pub const SHARD: &str = "homing:receipts";

/// The longest body in bytes.
const MAX_BODY: usize = 256 << 10;

/// Where a request came from, as the server saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How receipts are taken in.
#[derive(Debug)]
pub struct Receipts {
    prover: Option<Arc<Prover>>,
    peers: Peers,
}

impl Receipts {
    /// Receipts a second that one peer (an IPv4 address, or an IPv6 network of 64 bits) may post by proof, by default.
    pub const RATE: u32 = 20;

    /// Takes receipts with a proof, if there is a prover, at most `rate` a second from one peer (0 = no cap).
    pub fn new(prover: Option<Arc<Prover>>, rate: u32) -> Self {
        Self { prover, peers: Peers::new(rate) }
    }
}

impl Default for Receipts {
    fn default() -> Self {
        Self::new(None, Self::RATE)
    }
}

/// The name of [`SHARD`].
pub fn shard() -> QueueName {
    QueueName::new(SHARD)
}

/// The shards that hold records too, with this one.
pub(crate) fn seated(mut seats: Vec<QueueName>) -> Vec<QueueName> {
    if !seats.iter().any(|seat| seat.as_str() == SHARD) {
        seats.push(shard());
    }
    seats
}

pub(crate) fn routes() -> Router<Arc<Intake>> {
    Router::new().route("/v1/receipts", post(post_receipts).options(preflight))
}

/// `OPTIONS /v1/receipts`: may a page of another origin post here? It may, and it may not show a key.
async fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    open(response)
}

/// Every page may read the answer. Credentials are not asked for, so a browser sends none.
fn open(mut response: Response) -> Response {
    const ANY: (HeaderName, HeaderValue) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let (name, value) = ANY;
    response.headers_mut().insert(name, value);
    response
}

/// `POST /v1/receipts`.
async fn post_receipts(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    open(take(&intake, request).await.unwrap_or_else(IntoResponse::into_response))
}

async fn take(intake: &Intake, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let caller = caller(intake, &head.headers)?;
    let receipts = &intake.receipts;
    let peer = head.extensions.get::<Peer>().map(|peer| peer.0);
    // Before the body is read, too: who is over the cap costs nothing more.
    let spend = |count: usize| match &caller {
        Some(caller) => caller.spend(count, Instant::now()),
        None => receipts.peers.spend(peer, count, Instant::now()),
    };
    spend(0)?;
    let (body, _share) = read_body(intake, &head.headers, body, MAX_BODY).await?;
    let posted = split(&body, format_of(&head.headers), "receipts")?;
    spend(posted.len())?;
    let now = intake.now();
    let (mut good, mut faults) = (Vec::with_capacity(posted.len()), Vec::new());
    for (i, item) in posted.events().enumerate() {
        let index = posted.batch.then_some(i);
        let said = match item {
            Ok(item) => Said::read(&item).map_err(|invalid| Fault::new(index, invalid)),
            Err(fault) => Err(fault),
        };
        match said {
            Ok(said) => good.push(said),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        meter::receipts("refused", posted.len());
        return Err(Refusal::of(faults, "receipts"));
    }
    if caller.is_none() {
        proved(receipts.prover.as_deref(), &good, posted.batch)
            .inspect_err(|_| meter::receipts("refused", good.len()))?;
    }
    let all: Vec<Receipt> = good.into_iter().map(|said| said.receipt(now)).collect();
    let news = intake.tally(&all).await?;
    let accepted = news.iter().filter(|new| **new).count();
    let repeated = all.len().saturating_sub(accepted);
    meter::receipts("accepted", accepted);
    meter::receipts("repeated", repeated);
    let body = json!({"accepted": accepted, "repeated": repeated});
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Who calls; `None` = somebody who has to prove each receipt.
fn caller(intake: &Intake, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, Refusal> {
    if Keys::is_shown(headers) {
        let caller = intake.keys.caller(headers)?;
        caller.require(Capability::Receipts)?;
        return Ok(Some(caller));
    }
    // A page that a browser on this machine was led to is no program of this machine.
    if intake.settings.is_open() && guard::local_only(headers).is_ok() {
        return admit_to(intake, headers, Capability::Receipts).map(Some);
    }
    if intake.receipts.prover.is_none() {
        // Says what is missing.
        return admit_to(intake, headers, Capability::Receipts).map(Some);
    }
    Ok(None)
}

/// Has each of them its proof?
fn proved(prover: Option<&Prover>, all: &[Said], batch: bool) -> Result<(), Refusal> {
    let unproved = all.iter().position(|said| {
        let proof = said.proof.as_deref();
        !prover.zip(proof).is_some_and(|(prover, proof)| prover.is_proof(&said.id, proof))
    });
    let Some(at) = unproved else { return Ok(()) };
    let field = if batch { format!("receipts.{at}.proof") } else { "proof".to_owned() };
    let message = "is not the one that came with the message; or show a key";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, field, message))
}
