//! What a call meets at a simulated provider before and after it is looked at: the faults of the script.

use axum::{extract::ConnectInfo, http::Request, response::Response};

use super::stand::{Hangup, Meeting, Stand};

/// The handle of a call's connection; none where the server is not [`serve`](super::stand::serve).
pub(crate) fn hangup<B>(request: &Request<B>) -> Option<Hangup> {
    request.extensions().get::<ConnectInfo<Hangup>>().map(|ConnectInfo(hangup)| hangup.clone())
}

/// Answers a call as the script wants it: `refuse` where a status is scripted (with `Retry-After` in seconds), `look`
/// where the call is looked at. A connection that is cut gives no answer.
pub(crate) async fn through(
    stand: &Stand,
    path: &str,
    hangup: Option<Hangup>,
    refuse: impl FnOnce(u16, Option<u64>) -> Response,
    look: impl FnOnce() -> Response,
) -> Response {
    let Meeting { wait, status, drop_before, drop_after } = stand.meet(path);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let cut = |why: &str| {
        stand.count(why);
        if let Some(hangup) = &hangup {
            hangup.now();
        }
        Response::default()
    };
    if drop_before {
        return cut("dropped_before");
    }
    if let Some((status, retry_after)) = status {
        return refuse(status, retry_after);
    }
    let answer = look();
    if drop_after { cut("dropped_after") } else { answer }
}
