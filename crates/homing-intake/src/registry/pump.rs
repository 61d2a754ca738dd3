//! Tells the registry's changes as events, and lets go what was not seen for long.
//!
//! A change becomes an event with the id `registry:SEQ` and is acknowledged once that event stands in its entry list. What
//! dies in between offers the same id again, and the list takes it once (for as long as it remembers ids, an hour). So
//! several pumps may run beside one another, too.

use std::{sync::Arc, time::Duration};

use homing_codec::Value;
use homing_core::registry::{Change, Registry};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::show;
use crate::{
    error::{Error, Result},
    intake::Intake,
    keys::Caller,
    meter,
    refusal::Refusal,
};

/// Changes that are told together.
const BATCH: usize = 500;
/// How often the outbox is looked at for changes of other processes.
const LOOK: Duration = Duration::from_secs(1);
/// How often is looked for what was not seen for long.
const SWEEP: Duration = Duration::from_secs(60);
/// Rows of a sweep's transaction.
const ROWS: usize = 500;
/// Transactions of a sweep; what is left waits for the next.
const ROUNDS: usize = 100;
/// The longest pause after a failure.
const PAUSE: Duration = Duration::from_secs(30);

/// Who is told of changes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The lane.
    pub lane: String,
    /// The type, in the catalogue.
    pub kind: String,
    /// The app of the webhook channel's account.
    pub app: String,
    /// The hooks.
    pub hooks: Vec<String>,
}

/// See the module.
pub struct Pump {
    intake: Arc<Intake>,
    registry: Arc<dyn Registry>,
    told: Option<Told>,
    caller: Caller,
}

impl Pump {
    /// A pump that tells changes, if anybody is to be told.
    ///
    /// # Errors
    /// The intake would refuse such events: the lane or the type does not exist.
    pub fn new(intake: Arc<Intake>, registry: Arc<dyn Registry>, told: Option<Told>) -> Result<Self> {
        if let Some(told) = &told {
            intake.accepts(&told.lane, sample(told)).map_err(|what| Error::Registry { what })?;
        }
        Ok(Self { intake, registry, told, caller: Caller::local("registry") })
    }

    /// Works until `stop`. What it fails at it tries again.
    pub async fn run(&self, stop: CancellationToken) {
        let wake = self.registry.wake();
        let (mut swept, mut pause) = (None::<Instant>, LOOK);
        loop {
            let work = async {
                if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                    self.sweep().await?;
                    swept = Some(Instant::now());
                }
                self.tell().await
            };
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = work => done,
            };
            let rest = match done {
                Ok(count) if count >= BATCH => continue,
                Ok(_) => {
                    pause = LOOK;
                    LOOK
                }
                Err(error) => {
                    tracing::warn!(error, "The registry's changes are told later.");
                    pause = (pause * 2).min(PAUSE);
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // After a failure a change is no reason to try sooner.
                () = wake.notified(), if pause == LOOK => {}
                () = sleep(rest) => {}
            }
        }
    }

    /// Tells what waits, up to some hundred changes, and answers how many there were. May be cancelled and repeated.
    ///
    /// # Errors
    /// Says what did not answer; nothing is lost.
    pub async fn tell(&self) -> Result<usize, String> {
        let Some(told) = &self.told else { return Ok(0) };
        let changes = self.registry.changes(0, BATCH).await.map_err(|error| error.to_string())?;
        if changes.is_empty() {
            return Ok(0);
        }
        let events: Vec<Value> = changes.iter().map(|change| event(told, change)).collect();
        let refused = |refusal: Refusal| refusal.to_string();
        self.intake.send_all(&self.caller, events, Some(&told.lane)).await.map_err(refused)?;
        let seqs: Vec<u64> = changes.iter().map(|change| change.seq).collect();
        self.registry.acknowledge(&seqs, self.intake.now()).await.map_err(|error| error.to_string())?;
        meter::registry("told", seqs.len() as u64);
        Ok(seqs.len())
    }

    /// Lets go what was not seen for long, and clears away what is kept long enough.
    ///
    /// # Errors
    /// The registry did not answer.
    pub async fn sweep(&self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let swept = timeout(PAUSE, self.registry.expire(self.intake.now(), ROWS)).await;
            let swept = swept.map_err(|_| format!("no answer within {PAUSE:?}"))?.map_err(|error| error.to_string())?;
            meter::registry("expired", swept.expired);
            meter::registry("removed", swept.removed);
            meter::registry("dropped", swept.dropped);
            if swept == Default::default() {
                break;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("told", &self.told).finish_non_exhaustive()
    }
}

/// The event that tells a change.
fn event(told: &Told, change: &Change) -> Value {
    let hook = |hook: &String| json!({"token": hook, "platform": "webhook", "app": told.app});
    let mut data = json!({
        "change": change.kind.name(),
        "user": change.user,
        "device": change.device,
        "at": show::time(change.at),
        "seq": change.seq,
    });
    if !change.channel.is_empty() {
        data["channel"] = json!(change.channel);
    }
    if !change.why.is_empty() {
        data["why"] = json!(change.why);
    }
    Value::from_json(json!({
        "id": format!("registry:{}", change.seq),
        "type": told.kind,
        "to": {"tokens": told.hooks.iter().map(hook).collect::<serde_json::Value>()},
        "data": data,
    }))
}

/// An event as they will be.
fn sample(told: &Told) -> Value {
    let kind = homing_core::registry::ChangeKind::TokenDied;
    let text = || "x".to_owned();
    event(told, &Change { seq: 1, at: 1, kind, user: text(), device: text(), channel: text(), why: text() })
}
