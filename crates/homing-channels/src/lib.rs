//! The ways out, and beside them a simulator per provider. A channel makes one attempt, classifies the answer and never
//! sleeps or retries; the sender decides what follows.
//!
//! | module | what it is |
//! |---|---|
//! | [`xinge`] | Tencent's push service: Xinge v2 (the one the original HIGO design spoke), v3, TPNS |
//! | [`registry`] | all channels by name |
//! | [`simulator`] | servers that answer as the providers do, with faults on demand |

#![warn(missing_docs)]

mod common;
mod error;
mod pairing;
pub mod registry;
pub mod simulator;
mod vendor;
pub mod xinge;

pub use common::http::Endpoint;
pub use error::{Error, Result};
