//! Time as the core sees it: a number that is handed in. Only the binaries read a real clock.

use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since 1970-01-01 UTC.
pub type Millis = i64;

/// Where a worker reads the time of day.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Millis;
}

/// The machine's clock plus an offset (fault tests move the offset, never the machine's clock).
#[derive(Debug, Default)]
pub struct SystemClock {
    offset: AtomicI64,
}

impl SystemClock {
    /// A clock that runs `offset` milliseconds ahead of the machine's.
    pub fn with_offset(offset: Millis) -> Self {
        Self { offset: AtomicI64::new(offset) }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        ms.saturating_add(self.offset.load(Ordering::Relaxed))
    }
}
