//! What can be wrong with a channel before it sends anything. Afterwards everything is an
//! [`Answer`](homing_core::channel::Answer).

/// A channel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An account of the configuration cannot work.
    #[error("Xinge account {account}: {problem}")]
    Account {
        /// `app/platform`.
        account: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// An option of the configuration cannot work.
    #[error("Xinge option {name}: {problem}")]
    Option {
        /// Its key.
        name: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A setting of a channel's section cannot work.
    #[error("{path}: {problem}")]
    Setting {
        /// Where it stands: `channel.apns.account.higo.key`.
        path: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A code table could not be read.
    #[error("code table {origin}: {problem}")]
    Codes {
        /// The file, or `embedded`.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// No TLS provider is installed, and the HTTP client would panic.
    #[error("no TLS provider is installed: the process installs one before it builds channels")]
    NoTls,
    /// The HTTP client could not be built.
    #[error("HTTP client")]
    Client(#[source] reqwest::Error),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The setting at `path` is wrong.
    pub fn setting(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { path: path.into(), problem: problem.into() }
    }
}
