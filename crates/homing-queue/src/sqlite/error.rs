//! Why a file could not be opened, and why a step failed.

use std::path::PathBuf;

use homing_core::queue::Error;

/// Why [`SqliteQueue::open`](super::SqliteQueue::open) refused a file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite says why.
    #[error("cannot open the queue file {path}: {source}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A newer Homing wrote it.
    #[error("the queue file {path} has schema version {found}; this program knows versions up to {known}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version that this program knows.
        known: i64,
    },
    /// It is a database of another program, or none.
    #[error("{path} is no queue file of Homing")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The file system has no shared memory, or the file is read-only.
    #[error("the queue file {path} cannot be in WAL mode (it is in mode {mode}): use a local file system")]
    NoWal {
        /// Which file.
        path: PathBuf,
        /// The mode that SQLite chose.
        mode: String,
    },
    /// The threads could not be started.
    #[error("cannot start a thread for the queue file {path}: {source}")]
    Thread {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a step did not do what was asked.
#[derive(Debug)]
pub(super) enum Fail {
    /// An answer of the port.
    Queue(Error),
    /// The database failed; nothing of the step happened.
    Sql(rusqlite::Error),
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Queue(error)
    }
}

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fail> for Error {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Queue(error) => error,
            Fail::Sql(error) => unavailable(error),
        }
    }
}

/// The call may or may not have happened.
pub(super) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable(error.into())
}
