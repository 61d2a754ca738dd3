//! Who asks for what at this moment, so that many who miss the same id in the cache ask once.
//!
//! A caller takes the ids that nobody is asking for, asks, and only then waits for the others; so two callers cannot wait
//! for each other. A caller that is dropped in between frees its ids, and who waited asks itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::failure::Failure;

/// How a question ended.
type End = Option<Result<(), Arc<Failure>>>;

/// The questions under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    ids: Mutex<HashMap<String, watch::Receiver<End>>>,
}

/// The ids that one caller asks for. They are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    flights: &'a Flights,
    pub(crate) ids: Vec<String>,
    end: watch::Sender<End>,
}

// === impl Flights ===

impl Flights {
    /// Parts ids into those that the caller is to ask for, and the questions that others are asking.
    pub(crate) fn take(&self, ids: &[&str]) -> (Flight<'_>, Vec<watch::Receiver<End>>) {
        let (end, receiver) = watch::channel(None);
        let (mut own, mut others): (Vec<String>, Vec<watch::Receiver<End>>) = (Vec::new(), Vec::new());
        let mut flying = self.lock();
        for id in ids {
            match flying.get(*id) {
                Some(other) if others.iter().any(|known| known.same_channel(other)) => {}
                Some(other) => others.push(other.clone()),
                None => {
                    flying.insert((*id).to_owned(), receiver.clone());
                    own.push((*id).to_owned());
                }
            }
        }
        (Flight { flights: self, ids: own, end }, others)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<End>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Flight ===

impl Flight<'_> {
    /// Tells those who wait, and frees the ids. An answer must stand in the cache by then.
    pub(crate) fn land(self, end: Result<(), Arc<Failure>>) {
        self.end.send_replace(Some(end));
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flying = self.flights.lock();
        for id in &self.ids {
            flying.remove(id);
        }
    }
}

/// Waits for another's question: its failure if it failed; `Ok` if the cache may now hold the answer.
pub(crate) async fn landed(mut other: watch::Receiver<End>) -> Result<(), Arc<Failure>> {
    match other.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(Err(failure))) => Err(Arc::clone(failure)),
        _ => Ok(()),
    }
}
