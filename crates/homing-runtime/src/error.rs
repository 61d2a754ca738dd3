//! What can keep a daemon from starting.

use std::{io, net::SocketAddr};

use crate::config::ConfigError;

/// Why a daemon could not start. All of them end the process; the text is for the operator, with its causes
/// ([`with_causes`]).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log's filter cannot be read.
    #[error("{origin} = {filter:?} is not a filter of the log, such as info or homing_queue=debug,info")]
    LogFilter {
        /// `log.filter` or `RUST_LOG`.
        origin: &'static str,
        /// The text.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process logs already.
    #[error("the log is set up already")]
    Log(#[source] tracing_subscriber::util::TryInitError),
    /// The process has a recorder of metrics already.
    #[error("metrics are set up already")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The admin endpoints would be open to other machines.
    #[error(
        "admin.listen = \"{listen}\" can be reached from other machines; use 127.0.0.1, or set admin.allow_public = true"
    )]
    AdminPublic {
        /// The configured address.
        listen: SocketAddr,
    },
    /// The admin address is taken or not ours.
    #[error("cannot listen on admin.listen = \"{listen}\"")]
    AdminListen {
        /// The configured address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses signal handlers.
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error and what caused it, in one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
