//! The ways out, and beside them a simulator per provider. A channel makes one attempt, classifies the answer and never
//! sleeps or retries; the sender decides what follows.
//!
//! | module | what it is |
//! |---|---|
//! | [`xinge`] | Tencent's push service: Xinge v2 (the one the original HIGO design spoke), v3, TPNS |
//! | [`simulator`] | a server that answers as those services did, with faults on demand |

#![warn(missing_docs)]

mod error;
mod pairing;
pub mod simulator;
pub mod xinge;

pub use error::{Error, Result};
