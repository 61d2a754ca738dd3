//! One connection to a broker, kept by a task of its own.
//!
//! Every connection begins with a client of its own and ends at the first error: what was under way is then unknown, and
//! nothing of it is sent again by itself. So a message is published once per attempt, and the sender decides about the
//! next one.
//!
//! ```text
//! publish ─► permit (inflight) ─► client of the connection ─► PUBACK = delivered
//!               │ none in time          │ no connection          │ none in time, connection lost
//!               └─► retry               └─► retry, config        └─► ambiguous
//! ```

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use homing_core::channel::{Answer, Outcome};
use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, EventLoop, NoticeFailureReason, Packet,
    PublishNotice, PublishOptions, QoS,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use super::settings::{Link, Party};

/// First pause before another connection; it doubles.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);
/// The same after a refusal: it will not change by itself within moments.
const REFUSED: Duration = Duration::from_secs(1);
/// Longest pause after refusals.
const REFUSED_LONGEST: Duration = Duration::from_secs(30);
/// A connection that lasted so long is followed by another at once.
const LASTING: Duration = Duration::from_secs(5);
/// Time to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection, present or coming.
pub(super) struct Line {
    state: watch::Receiver<State>,
    /// Messages that may be under way. The permit goes when the broker has answered or the connection has ended, not when
    /// the caller stops waiting.
    permits: Arc<Semaphore>,
    timeout: Duration,
    _stop: DropGuard,
}

#[derive(Clone)]
enum State {
    /// The first connection is being made.
    Coming,
    Up(AsyncClient),
    Down(Answer),
}

/// Why a connection ended or could not be made.
pub(super) struct Loss {
    /// The broker itself refuses us: name, password, rights, client id, version.
    pub(super) refused: bool,
    pub(super) why: String,
}

// === impl Line ===

impl Line {
    /// A line that begins to connect at once. Called within a runtime.
    pub(super) fn start(party: Arc<Party>) -> Self {
        let stop = CancellationToken::new();
        let (tx, state) = watch::channel(State::Coming);
        let permits = Arc::new(Semaphore::new(party.broker.inflight.into()));
        let timeout = Duration::from_millis(party.broker.request_timeout_ms);
        tokio::spawn(keep(party, tx, stop.clone()));
        Self { state, permits, timeout, _stop: stop.drop_guard() }
    }

    /// Publishes once and waits for the PUBACK.
    pub(super) async fn publish(&self, topic: String, payload: Bytes) -> Answer {
        let deadline = Instant::now() + self.timeout;
        // What needs not wait does not: so calls that come one after the other are published in this order.
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                _ => return retry("not sent: too many messages wait for the broker's PUBACK"),
            },
        };
        let present = self.state.borrow().clone();
        let client = match present {
            State::Up(client) => client,
            State::Down(answer) => return answer,
            State::Coming => match self.first(deadline).await {
                Ok(client) => client,
                Err(answer) => return answer,
            },
        };
        let sent = client.try_publish_tracked(topic, payload, PublishOptions::new(QoS::AtLeastOnce));
        // What is still in the client's queue ends with the last client.
        drop(client);
        let notice: PublishNotice = match sent {
            Ok(notice) => notice,
            Err(ClientError::InvalidRequest(_)) => {
                return Answer::new(Outcome::Payload, "not sent: no such topic may be");
            }
            Err(_) => return retry("not sent: the connection has just ended"),
        };
        let acked = tokio::spawn(async move {
            let acked = notice.wait_async().await;
            drop(permit);
            acked
        });
        match timeout_at(deadline, acked).await {
            Ok(Ok(Ok(_))) => Answer::new(Outcome::Delivered { provider_id: None }, "PUBACK"),
            Ok(_) => Answer::new(Outcome::Ambiguous, "the connection ended before the PUBACK"),
            Err(_) => Answer::new(Outcome::Ambiguous, format!("no PUBACK within {:?}", self.timeout)),
        }
    }

    /// The client of the first connection.
    async fn first(&self, deadline: Instant) -> Result<AsyncClient, Answer> {
        let mut state = self.state.clone();
        let state = timeout_at(deadline, state.wait_for(|state| !matches!(state, State::Coming))).await;
        match state.as_ref().map(|state| state.as_deref()) {
            Ok(Ok(State::Up(client))) => Ok(client.clone()),
            Ok(Ok(State::Down(answer))) => Err(answer.clone()),
            _ => Err(retry("not sent: no connection to the broker yet")),
        }
    }
}

fn retry(why: &str) -> Answer {
    Answer::new(Outcome::Retry { after: None }, why)
}

/// Connects, and connects again, until `stop`.
async fn keep(party: Arc<Party>, tx: watch::Sender<State>, stop: CancellationToken) {
    let (mut pause, mut failures) = (FIRST, 0_u32);
    loop {
        let began = Instant::now();
        let loss = match party.link() {
            Ok(link) => {
                let Some(loss) = connection(&party, link, &tx, &stop).await else { return };
                loss
            }
            Err(error) => Loss { refused: false, why: error.to_string() },
        };
        if began.elapsed() >= LASTING {
            (pause, failures) = (FIRST, 0);
        }
        if loss.refused {
            pause = pause.max(REFUSED);
        }
        let (broker, why) = (&party.address, &loss.why);
        if failures == 0 {
            warn!(broker, why, channel = "mqtt", "The broker is away.");
        } else {
            debug!(broker, why, failures, channel = "mqtt", "The broker is still away.");
        }
        failures = failures.saturating_add(1);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(jitter(pause)) => {}
        }
        pause = (pause * 2).min(if loss.refused { REFUSED_LONGEST } else { LONGEST });
    }
}

/// One connection from its beginning to its end; `None` when it was ended by `stop`.
async fn connection(party: &Party, link: Link, tx: &watch::Sender<State>, stop: &CancellationToken) -> Option<Loss> {
    let (client, mut events) = match open(link, party.broker.inflight) {
        Ok(opened) => opened,
        Err(why) => {
            tx.send_replace(State::Down(retry(&format!("not sent: {why}"))));
            return Some(Loss { refused: false, why });
        }
    };
    let error = loop {
        let event = tokio::select! {
            event = events.poll() => event,
            () = stop.cancelled() => {
                goodbye(&client, &mut events).await;
                return None;
            }
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                info!(broker = party.address, channel = "mqtt", "Connected to the broker.");
                tx.send_replace(State::Up(client.clone()));
            }
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let loss = loss(&error);
    let outcome = if loss.refused { Outcome::Config } else { Outcome::Retry { after: None } };
    let answer = Answer::new(outcome, format!("not sent: no connection to {}: {}", party.address, loss.why));
    tx.send_replace(State::Down(answer));
    // Who waits for a PUBACK is told now, and not when the next connection stands.
    events.clean();
    events.drain_pending_as_failed(NoticeFailureReason::SessionReset);
    Some(loss)
}

/// A client that has not yet connected. `queue` = requests that wait for the connection.
pub(super) fn open(link: Link, queue: u16) -> Result<(AsyncClient, EventLoop), String> {
    let (client, mut events) =
        AsyncClient::builder(link.options).capacity(queue.into()).try_build().map_err(|error| error.to_string())?;
    let seconds = link.connect_timeout.as_millis().div_ceil(1_000);
    events.network_options.set_connection_timeout(u64::try_from(seconds).unwrap_or(1)).set_tcp_nodelay(true);
    Ok((client, events))
}

/// Tells the broker that we go, if it listens.
pub(super) async fn goodbye(client: &AsyncClient, events: &mut EventLoop) {
    if client.try_disconnect_now().is_ok() {
        let gone = async { while events.poll().await.is_ok() {} };
        // A broker that does not listen finds out by itself.
        timeout(GOODBYE, gone).await.ok();
    }
}

/// What an error says about the broker.
pub(super) fn loss(error: &ConnectionError) -> Loss {
    let ConnectionError::ConnectionRefused(code) = error else {
        return Loss { refused: false, why: error.to_string() };
    };
    // MQTT 3.1.1, 3.2.2.3.
    let (number, words) = match code {
        ConnectReturnCode::Success => (0, "accepted"),
        ConnectReturnCode::RefusedProtocolVersion => (1, "it does not speak MQTT 3.1.1"),
        ConnectReturnCode::BadClientId => (2, "it does not take the client id"),
        ConnectReturnCode::ServiceUnavailable => (3, "it is not available"),
        ConnectReturnCode::BadUserNamePassword => (4, "name or password is malformed or wrong"),
        ConnectReturnCode::NotAuthorized => (5, "name and password are not allowed to connect"),
    };
    Loss { refused: number != 3, why: format!("CONNACK {number}: {words}") }
}

/// Half of the pause to all of it, so that many daemons do not come back together.
fn jitter(pause: Duration) -> Duration {
    let most = u64::try_from(pause.as_millis() / 2).unwrap_or(0);
    let chance = RandomState::new().hash_one(0_u8) % (most + 1);
    pause / 2 + Duration::from_millis(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broker_that_is_busy_is_tried_again_soon() {
        let refused = |code| loss(&ConnectionError::ConnectionRefused(code)).refused;
        assert!(refused(ConnectReturnCode::RefusedProtocolVersion));
        assert!(refused(ConnectReturnCode::BadClientId));
        assert!(!refused(ConnectReturnCode::ServiceUnavailable));
        assert!(refused(ConnectReturnCode::BadUserNamePassword));
        assert!(refused(ConnectReturnCode::NotAuthorized));
        assert!(!loss(&ConnectionError::NetworkTimeout).refused);
    }

    #[test]
    fn a_pause_is_cut_by_half_at_most() {
        for _ in 0..100 {
            let pause = jitter(LONGEST);
            assert!((LONGEST / 2..=LONGEST).contains(&pause), "{pause:?}");
        }
    }
}
