//! Huawei's answers: `{"code","msg","requestId"}`, and what becomes of a call's tokens.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Answered, Huawei};
use crate::simulator::stand::Device;

/// A status and nothing more.
pub(super) fn bare(status: u16, seconds: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status.into_response();
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An answer with a code.
pub(super) fn coded(huawei: &Huawei, status: u16, code: &str, msg: &str) -> Response {
    huawei.stand.answered(code);
    let id = huawei.request_id(huawei.stand.now());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    (status, Json(json!({ "code": code, "msg": msg, "requestId": id }))).into_response()
}

/// How a generation names the tokens that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// v1: one list.
    Plain,
    /// v3: a list per reason.
    Grouped,
}

/// A message is fine: accepts it for each token that is.
pub(super) fn deliver(
    huawei: &Huawei,
    tokens: &[&str],
    id: Option<&str>,
    push: Value,
    naming: Naming,
    validate_only: bool,
) -> Answered {
    let mut failed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut good = Vec::new();
    for token in tokens {
        huawei.stand.count("targets");
        let reason = match huawei.stand.device(token) {
            // What is empty or has a blank is none.
            _ if token.is_empty() || token.contains(' ') => "tokenFormatError",
            Device::Good => {
                good.push(*token);
                continue;
            }
            Device::Dead(_) => "tokenFormatError",
            Device::Foreign => "noRight",
            Device::Throttled(seconds) => return Err(Box::new(bare(503, seconds))),
            Device::Code(code) if code.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(Box::new(coded(huawei, 200, &code, "by script")));
            }
            Device::Code(name) => {
                failed.entry(name).or_default().push(token);
                continue;
            }
        };
        failed.entry(reason.to_owned()).or_default().push(token);
    }
    let push = Arc::new(push);
    for token in &good {
        if validate_only {
            huawei.stand.count("validated");
        } else {
            huawei.stand.accept(token, id, Arc::clone(&push));
        }
    }
    if failed.is_empty() {
        return Ok(coded(huawei, 200, "80000000", "Success"));
    }
    let failures: usize = failed.values().map(Vec::len).sum();
    let msg = match naming {
        Naming::Plain => {
            let all: Vec<&str> = failed.into_values().flatten().collect();
            json!({ "success": good.len(), "failure": failures, "illegal_tokens": all })
        }
        Naming::Grouped => json!({ "illegalTokens": failed, "success": good.len(), "failure": failures }),
    };
    let unnamed = huawei.stand.own("unnamed").is_some_and(|value| value == true);
    let msg = if unnamed { "some tokens failed".to_owned() } else { msg.to_string() };
    // v1 says of a call whose tokens are all invalid just that.
    Ok(match (good.is_empty(), naming) {
        (true, Naming::Plain) => coded(huawei, 200, "80300007", "all the tokens are invalid"),
        (true, Naming::Grouped) => coded(huawei, 200, "80300007", &msg),
        (false, _) => coded(huawei, 200, "80100000", &msg),
    })
}
