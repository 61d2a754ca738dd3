//! The one connection of a key or certificate to one environment: made when it is needed, and again when it is gone.
//! Apple takes rapid connecting and disconnecting for an attack, so a failure holds for a second, for all who wait; so does
//! a connection that was closed before it served anybody.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::channel::{Answer, Outcome};
use hyper::Request;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::link::{Link, Lost, Pass, Place, Unmade};
use crate::common::http::Reply;

/// A request that the server surely did not look at moves to the next connection, so often in one attempt at most.
const MOVES: usize = 5;

/// A failure to connect is the answer of all who come within this.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Limits of a line.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Requests under way at once.
    pub(crate) streams: usize,
    pub(crate) connect: Duration,
    /// From the request's first byte to the end of its answer.
    pub(crate) request: Duration,
}

/// See the module.
pub(crate) struct Line {
    place: Place,
    limits: Limits,
    state: Mutex<State>,
}

enum State {
    None,
    Made(Arc<Link>),
    Failed(Answer, Instant),
}

impl Line {
    pub(crate) fn new(place: Place, limits: Limits) -> Self {
        Self { place, limits, state: Mutex::new(State::None) }
    }

    /// One request and its whole answer. `head` makes the request when its turn has come; `authenticated` says whether an
    /// answer shows that the server accepted who we are.
    pub(crate) async fn exchange(
        &self,
        head: impl Fn() -> Result<Request<()>, Answer>,
        body: &Bytes,
        authenticated: impl Fn(&Reply) -> bool,
    ) -> Result<Reply, Answer> {
        // Waiting is bounded, so that nobody hangs behind a server that takes one request after another, slowly.
        let patience = Instant::now() + self.limits.request * 3;
        let mut moves = 0;
        while moves < MOVES {
            let link = self.link().await?;
            let pass = timeout_at(patience, link.enter()).await;
            let pass: Pass<'_> = match pass {
                Ok(Some(pass)) => pass,
                // It was closed: on to the next one. Nothing was sent, so this is no move.
                Ok(None) => continue,
                Err(_) => {
                    let detail = "not sent: no turn on the connection in time";
                    return Err(Answer::new(Outcome::Retry { after: None }, detail));
                }
            };
            let sent = link.exchange(head()?, body.clone(), self.limits.request).await;
            match sent {
                Ok(reply) => {
                    if authenticated(&reply) {
                        link.warmed();
                    }
                    drop(pass);
                    return Ok(reply);
                }
                Err(Lost::Unseen) => moves += 1,
                Err(Lost::Refused(why)) => {
                    return Err(Answer::new(Outcome::Retry { after: None }, format!("not accepted: {why}")));
                }
                Err(Lost::Open(why)) => return Err(Answer::new(Outcome::Ambiguous, why)),
            }
        }
        let detail = format!("not accepted: the connection was closed {MOVES} times");
        Err(Answer::new(Outcome::Retry { after: None }, detail))
    }

    /// The connection; one of all who wait makes it.
    async fn link(&self) -> Result<Arc<Link>, Answer> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Made(link) if !link.is_closed() => return Ok(Arc::clone(link)),
            State::Made(link) if !link.is_warm() && link.age() < FAILED_FOR => {
                let detail = "connection failed: it was closed before it served anybody";
                return Err(Answer::new(Outcome::Retry { after: None }, detail));
            }
            State::Failed(answer, at) if at.elapsed() < FAILED_FOR => return Err(answer.clone()),
            _ => {}
        }
        let answer = match Link::make(&self.place, self.limits.streams, self.limits.connect).await {
            Ok(link) => {
                *state = State::Made(Arc::clone(&link));
                return Ok(link);
            }
            Err(Unmade::Unreached(why)) => {
                Answer::new(Outcome::Retry { after: None }, format!("connection failed: {why}"))
            }
            Err(Unmade::Refused(why)) => Answer::new(Outcome::Config, format!("connection refused: {why}")),
        };
        *state = State::Failed(answer.clone(), Instant::now());
        Err(answer)
    }
}
