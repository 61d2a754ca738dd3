//! A credential that a provider calls used up is renewed once. When the next one is refused as well before any call
//! worked, renewing does not help.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The credential that was refused since a call last worked.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<Option<Arc<str>>>);

impl Renewals {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `token` was refused. Is it worth to try another? Calls that went out with the same one get the same answer.
    pub(crate) fn refused(&self, token: &Arc<str>) -> bool {
        let mut refused = self.lock();
        if let Some(known) = &*refused {
            return known == token;
        }
        *refused = Some(Arc::clone(token));
        true
    }

    /// A call worked.
    pub(crate) fn worked(&self) {
        *self.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_renewal_until_a_call_works() {
        let (renewals, first, second) = (Renewals::default(), Arc::from("1"), Arc::from("2"));
        assert!(renewals.refused(&first));
        assert!(renewals.refused(&first), "all who used it may try again");
        assert!(!renewals.refused(&second));
        renewals.worked();
        assert!(renewals.refused(&second));
    }
}
