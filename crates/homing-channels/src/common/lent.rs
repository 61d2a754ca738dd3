//! An access token that a provider lends for a while: fetched once for all callers, kept until shortly before its end.

use std::sync::Arc;

use homing_core::{channel::Answer, clock::Millis};
use tokio::sync::Mutex;

/// A refusal is not asked about again within this time, however many calls wait for a token.
const REFUSED_FOR: Millis = 1_000;

/// What the provider's token service answered.
pub(crate) struct Fresh {
    pub(crate) token: String,
    /// When to fetch the next one, in milliseconds since 1970: some minutes before its end.
    pub(crate) renew_at: Millis,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    Lent(Arc<str>, Millis),
    Refused(Answer, Millis),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Lent(Mutex<State>);

impl Lent {
    /// The token; `fetch` is called by one of all who wait. What it answers instead of a token is the answer of all of them.
    pub(crate) async fn get(
        &self,
        now: Millis,
        fetch: impl AsyncFnOnce() -> Result<Fresh, Answer>,
    ) -> Result<Arc<str>, Answer> {
        let mut state = self.0.lock().await;
        match &*state {
            State::Lent(token, renew_at) if now < *renew_at => return Ok(Arc::clone(token)),
            State::Refused(answer, since) if (0..REFUSED_FOR).contains(&(now - since)) => return Err(answer.clone()),
            _ => {}
        }
        match fetch().await {
            Ok(fresh) => {
                let token: Arc<str> = fresh.token.into();
                *state = State::Lent(Arc::clone(&token), fresh.renew_at);
                Ok(token)
            }
            Err(answer) => {
                *state = State::Refused(answer.clone(), now);
                Err(answer)
            }
        }
    }

    /// The provider does not take `token` any more; the next call fetches another, unless somebody did already.
    pub(crate) async fn forget(&self, token: &str) {
        let mut state = self.0.lock().await;
        if matches!(&*state, State::Lent(known, _) if &**known == token) {
            *state = State::None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::sync::atomic::{AtomicU32, Ordering};

    use homing_core::channel::Outcome;

    use super::*;

    #[tokio::test]
    async fn one_fetch_serves_all_and_a_refusal_holds_for_a_moment() {
        let (lent, fetches) = (Lent::default(), AtomicU32::new(0));
        let fetch = async || {
            let n = fetches.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Fresh { token: format!("t{n}"), renew_at: 1_000 })
        };
        let all = futures_util::future::join_all((0..9).map(|_| lent.get(0, fetch))).await;
        assert!(all.iter().all(|token| &**token.as_ref().unwrap() == "t0"));
        lent.forget("another").await;
        assert_eq!(&*lent.get(999, fetch).await.unwrap(), "t0");
        assert_eq!(&*lent.get(1_000, fetch).await.unwrap(), "t1", "its end is near");
        lent.forget("t1").await;
        let refuse = async || Err(Answer::new(Outcome::Config, "no"));
        assert!(lent.get(1_000, refuse).await.is_err());
        assert!(lent.get(1_500, fetch).await.is_err(), "the refusal is not asked about again");
        assert_eq!(&*lent.get(2_000, fetch).await.unwrap(), "t2");
    }
}
