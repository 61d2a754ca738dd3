//! A bounded memory of answers, one per lookup that has `cache` above zero.
//!
//! Two generations instead of a queue of uses: new answers go into the young one; when that is full, or as old as an
//! answer may become, it takes the place of the old one, which is dropped. So nothing ever scans, and the bound holds.
//! A missing subject is remembered like any other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use homing_core::lookup::Row;
use tokio::time::Instant;

/// Entries of both generations. A subject with many rows counts once per row.
const MAX_ENTRIES: usize = 100_000;

/// Answers by id, each for `ttl`.
#[derive(Debug)]
pub(crate) struct Cache {
    ttl: Duration,
    half: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    young: Generation,
    old: Generation,
    turned: Instant,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<String, (Vec<Row>, Instant)>,
    weight: usize,
}

// === impl Cache ===

impl Cache {
    /// An empty one. `ttl` is above zero.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self::with_bound(ttl, MAX_ENTRIES)
    }

    fn with_bound(ttl: Duration, entries: usize) -> Self {
        let state = State { young: Generation::default(), old: Generation::default(), turned: Instant::now() };
        Self { ttl, half: entries / 2, state: Mutex::new(state) }
    }

    /// The rows of an id, if they are known and fresh.
    pub(crate) fn get(&self, id: &str) -> Option<Vec<Row>> {
        let state = self.lock();
        let (rows, until) = state.young.entries.get(id).or_else(|| state.old.entries.get(id))?;
        (Instant::now() < *until).then(|| rows.clone())
    }

    /// Remembers the rows of an id.
    pub(crate) fn put(&self, id: &str, rows: &[Row]) {
        let weight = rows.len().max(1);
        if weight > self.half {
            return;
        }
        let now = Instant::now();
        let mut state = self.lock();
        if state.young.weight + weight > self.half || now.duration_since(state.turned) >= self.ttl {
            state.old = std::mem::take(&mut state.young);
            state.turned = now;
        }
        if let Some((former, _)) = state.young.entries.insert(id.to_owned(), (rows.to_vec(), now + self.ttl)) {
            state.young.weight -= former.len().max(1);
        }
        state.young.weight += weight;
    }

    /// Forgets an id, because its rows were changed.
    pub(crate) fn remove(&self, id: &str) {
        let mut state = self.lock();
        state.old.remove(id);
        state.young.remove(id);
    }

    /// A panic elsewhere leaves at worst an entry too few.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Generation ===

impl Generation {
    fn remove(&mut self, id: &str) {
        if let Some((rows, _)) = self.entries.remove(id) {
            self.weight -= rows.len().max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> Vec<Row> {
        vec![Row::from([("value".to_owned(), value.to_owned())])]
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_lives_for_its_time() {
        let cache = Cache::new(Duration::from_secs(60));
        cache.put("1", &row("a"));
        cache.put("2", &[]);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(cache.get("1"), Some(row("a")));
        assert_eq!(cache.get("2"), Some(Vec::new()), "missing is an answer too");
        assert_eq!(cache.get("3"), None);
        cache.put("1", &row("b"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(cache.get("2"), None);
        assert_eq!(cache.get("1"), Some(row("b")));
        cache.remove("1");
        assert_eq!(cache.get("1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_holds_more_than_its_bound() {
        let cache = Cache::with_bound(Duration::from_secs(60), 100);
        for id in 0..1_000 {
            cache.put(&id.to_string(), &row("x"));
            cache.put(&id.to_string(), &row("y"));
            let state = cache.lock();
            assert!(state.young.weight <= 50 && state.old.weight <= 50);
            assert_eq!(state.young.weight, state.young.entries.len());
        }
        assert_eq!(cache.get("999"), Some(row("y")));
        assert_eq!(cache.get("0"), None);
        cache.put("many", &vec![Row::new(); 51]);
        assert_eq!(cache.get("many"), None, "more rows than half the bound are not kept");
    }
}
