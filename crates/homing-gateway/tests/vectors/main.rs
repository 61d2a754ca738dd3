//! Captured messages of unmodified emitters, read and compared with what the real servers then send to each client; and
//! pickles of people who wish us ill. `HOMING_VECTORS_SOCKETIO` and `HOMING_VECTORS_PICKLE` name other files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod model;
mod node;
mod packet;
mod pickle;
mod python;

use serde_json::Value as Json;

/// The file named by the variable, or the one beside the tests.
fn vectors(variable: &str, file: &str) -> Json {
    let default = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var(variable).unwrap_or(default);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Is it the file beside the tests, whose cases are all known here?
fn ours(variable: &str) -> bool {
    std::env::var_os(variable).is_none()
}

/// Bytes in base64.
fn bytes(field: &Json) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(field.as_str().unwrap()).unwrap()
}
