//! The ways out, and beside them a simulator per provider. A channel makes one attempt, classifies the answer and never
//! sleeps or retries; the sender decides what follows.
//!
//! | module | what it is |
//! |---|---|
//! | [`apns`] | Apple's push service |
//! | [`fcm`] | Google's push service, HTTP v1 |
//! | [`hms`] | Huawei's push service: v1 for Android, v3 for HarmonyOS |
//! | [`xinge`] | Tencent's push service: Xinge v2 (the one the original HIGO design spoke), v3, TPNS |
//! | [`mqtt`] | topics of an MQTT broker |
//! | [`web_push`] | browsers, with encryption and VAPID |
//! | [`webhook`] | services that are told by HTTP |
//! | [`websocket`] | sockets of the gateway |
//! | [`registry`] | all channels by name |
//! | [`simulator`] | servers that answer as the providers do, with faults on demand |

#![warn(missing_docs)]

pub mod apns;
mod common;
mod error;
pub mod fcm;
pub mod hms;
pub mod mqtt;
mod pairing;
pub mod registry;
pub mod simulator;
mod vendor;
pub mod web_push;
pub mod webhook;
pub mod websocket;
pub mod xinge;

/// What a channel of one's own is built of (docs/adding-a-channel.md).
pub mod kit {
    pub use crate::common::{
        http::{Endpoint, Reply, exchange, story},
        section::read as section,
    };
}

pub use common::http::Endpoint;
pub use error::{Error, Result};
