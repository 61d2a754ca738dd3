//! What is wrong with a configuration, for the person who has to put it right.

use std::fmt;

use super::origin::Origin;

/// What is wrong, and where: file and line, or the variable of the environment.
///
/// Nothing branches on it, so it is one sentence; the values of secrets never stand in it.
#[derive(Clone, Debug)]
pub struct ConfigError {
    origin: Option<Origin>,
    path: String,
    message: String,
}

impl ConfigError {
    pub(super) fn new(origin: Option<Origin>, path: String, message: impl Into<String>) -> Self {
        Self { origin, path, message: message.into() }
    }

    /// An error that belongs to no key: the file as a whole, the name of a variable.
    pub(super) fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self::new(Some(origin), String::new(), message)
    }

    /// Dotted path of the key, such as `lane.system.shards` or `channel[0].url`; empty if it is no key's fault.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: ")?,
            None if self.path.is_empty() => f.write_str("configuration: ")?,
            None => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
