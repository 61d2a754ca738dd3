//! What all accounts of the channel share.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::{Error, Result};

/// Settings of the channel.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// `message_type` of an iOS alert: 11 as the official SDKs send since version 1.1.8, or 0 as the documentation says.
    pub ios_message_type: u8,
    /// A file of result codes that is laid over the embedded one, code by code.
    pub codes: Option<PathBuf>,
    /// Longest wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait for the whole exchange, in milliseconds.
    pub request_timeout_ms: u64,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { ios_message_type: 11, codes: None, connect_timeout_ms: 5_000, request_timeout_ms: 10_000 }
    }
}

impl Options {
    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |name, problem: String| Err(Error::Option { name, problem });
        if !matches!(self.ios_message_type, 0 | 11) {
            return refuse("ios_message_type", format!("{} is neither 11 nor 0", self.ios_message_type));
        }
        if self.connect_timeout_ms == 0 {
            return refuse("connect_timeout_ms", "0 would refuse every connection".to_owned());
        }
        if self.request_timeout_ms == 0 {
            return refuse("request_timeout_ms", "0 would refuse every request".to_owned());
        }
        Ok(())
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}
