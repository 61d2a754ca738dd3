//! Why a store gave no answer. Becomes the source of the core's `StoreDown`.

use std::sync::Arc;
use std::time::Duration;

use homing_core::lookup::StoreDown;

/// An error of a driver.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// No answer. The variants exist for branching; the story is in the source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing came within the time.
    #[error("store {store} gave no answer within {timeout:?}{}", seen(.last))]
    Silent {
        /// The store.
        store: String,
        /// Its time.
        timeout: Duration,
        /// What was seen on the way, such as a refused connection.
        last: Option<String>,
    },
    /// The store or the way to it reports an error.
    #[error("store {store}: {source}")]
    Driver {
        /// The store.
        store: String,
        /// What it says.
        #[source]
        source: Cause,
    },
    /// The store is well and refuses the values it was asked with: another try gives the same answer.
    #[error("store {store} refuses the values: {source}")]
    Values {
        /// The store.
        store: String,
        /// What it says.
        #[source]
        source: Cause,
    },
    /// Another transaction was in the way: the same may go well now.
    #[error("store {store}: {source}")]
    Conflict {
        /// The store.
        store: String,
        /// What it says.
        #[source]
        source: Cause,
    },
    /// The store answered, and its answer contradicts the configuration.
    #[error("store {store}: {reason}")]
    Contradiction {
        /// The store.
        store: String,
        /// What does not fit.
        reason: String,
    },
    /// Another caller asked the same, and this was its end.
    #[error(transparent)]
    Shared(Arc<Failure>),
}

fn seen(last: &Option<String>) -> String {
    last.as_ref().map_or_else(String::new, |last| format!(" (last: {last})"))
}

// === impl Failure ===

impl Failure {
    pub(crate) fn driver(store: &str, source: impl Into<Cause>) -> Self {
        Self::Driver { store: store.to_owned(), source: source.into() }
    }

    pub(crate) fn contradiction(store: &str, reason: impl Into<String>) -> Self {
        Self::Contradiction { store: store.to_owned(), reason: reason.into() }
    }

    /// As the core's error of the lookup or source `name`.
    pub(crate) fn of(self, name: &str) -> StoreDown {
        let refused = matches!(self, Self::Values { .. } | Self::Contradiction { .. });
        StoreDown { lookup: name.to_owned(), refused, source: Box::new(self) }
    }
}
