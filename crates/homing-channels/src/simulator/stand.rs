//! What simulated providers have in common: memory of what was accepted, states of tokens, faults by script, counts.
//!
//! | path | answers |
//! |---|---|
//! | `GET /_sim/deliveries?after=SEQ&limit=N` | what was accepted, oldest first |
//! | `GET /_sim/phones/{token}?limit=N` | what one device was sent, newest first |
//! | `GET /_sim/stats` | counts: calls, answers by code, deliveries, repeats, what a provider adds |
//! | `GET`, `POST /_sim/script` | the faults; a POST replaces the whole set |
//! | `POST /_sim/reset` | forgets deliveries, counts and faults |

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use homing_core::clock::{Clock, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    conn::{Connections, Cut},
    dice::Dice,
};

/// Deliveries that are remembered; the oldest go.
const KEEP: usize = 200_000;

/// Deliveries of one answer at most.
const LIMIT_MAX: usize = 10_000;

/// Faults by script. Prefixes of tokens make states of many devices at once.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Only calls whose path contains this meet latency, `http_status` and drops.
    pub call: Option<String>,
    /// Every answer waits this long.
    pub latency_ms: u64,
    /// And up to this much longer.
    pub jitter_ms: u64,
    /// Calls are answered with this status and not looked at.
    pub http_status: Option<u16>,
    /// `Retry-After` in seconds beside `http_status`, and with throttled tokens.
    pub retry_after: Option<u64>,
    /// Share of the calls that `http_status` meets.
    pub rate: f64,
    /// `http_status` meets so many calls and then no more.
    pub times: Option<u64>,
    /// Share of the calls whose connection is cut before anything is looked at.
    pub drop_before: f64,
    /// Share of the calls that are accepted and whose connection is cut without an answer.
    pub drop_after: f64,
    /// Tokens that begin so, or are named, are dead: since the script was set, where the provider says since when.
    pub dead_prefix: Option<String>,
    /// See `dead_prefix`.
    pub dead: HashSet<String>,
    /// Tokens that begin so belong to another app or the provider's other network.
    pub foreign_prefix: Option<String>,
    /// Tokens that begin so get too much: their first `throttle_times` calls are refused.
    pub throttled_prefix: Option<String>,
    /// See `throttled_prefix`.
    pub throttle_times: u64,
    /// Tokens that are answered with a code of their own.
    pub codes: HashMap<String, String>,
    /// Start of the chance sequence.
    pub seed: u64,
    /// What only one provider has, such as `goaway_every`.
    pub own: serde_json::Map<String, Value>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            call: None,
            latency_ms: 0,
            jitter_ms: 0,
            http_status: None,
            retry_after: None,
            rate: 1.0,
            times: None,
            drop_before: 0.0,
            drop_after: 0.0,
            dead_prefix: None,
            dead: HashSet::new(),
            foreign_prefix: None,
            throttled_prefix: None,
            throttle_times: 1,
            codes: HashMap::new(),
            seed: 0,
            own: serde_json::Map::new(),
        }
    }
}

/// What a call meets before it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meeting {
    /// Wait this long before the answer.
    pub wait: Duration,
    /// Answer with this status and this `Retry-After` in seconds.
    pub status: Option<(u16, Option<u64>)>,
    /// Cut the connection now.
    pub drop_before: bool,
    /// Accept, and cut the connection then.
    pub drop_after: bool,
}

/// State of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// It lives.
    Good,
    /// It is gone, since this time.
    Dead(Millis),
    /// It is another app's, or belongs to the other network.
    Foreign,
    /// It gets too much; `Retry-After` in seconds.
    Throttled(Option<u64>),
    /// It is answered with this code.
    Code(String),
}

/// One accepted push.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// Number in the order of acceptance.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub received_at_ms: Millis,
    /// The device.
    pub token: Arc<str>,
    /// The sender's id of the message, where the provider's form has a place for it.
    pub id: Option<String>,
    /// What was sent, as the device would get it.
    pub push: Arc<Value>,
}

#[derive(Default)]
struct Memory {
    deliveries: VecDeque<Delivery>,
    last_seq: u64,
    pairs: HashSet<u64>,
    counts: BTreeMap<String, u64>,
    codes: BTreeMap<String, u64>,
    script: Script,
    /// When the script was set: its dead devices died then.
    scripted: Option<Millis>,
    dice: Option<Dice>,
    throttled: HashMap<String, u64>,
}

/// See the module.
pub struct Stand {
    clock: Arc<dyn Clock>,
    started: Millis,
    memory: Mutex<Memory>,
}

impl Stand {
    /// A stand without faults.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { started: clock.now(), clock, memory: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time of day.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// A call began: what it meets.
    pub fn meet(&self, path: &str) -> Meeting {
        let mut guard = self.lock();
        let memory = &mut *guard;
        *memory.counts.entry("calls".to_owned()).or_default() += 1;
        let dice = memory.dice.get_or_insert_with(|| Dice::new(memory.script.seed));
        let script = &mut memory.script;
        // Always the same number of throws, so that a seed gives one sequence.
        let (jitter, hit) = (dice.up_to(script.jitter_ms), dice.hits(script.rate));
        let (before, after) = (dice.hits(script.drop_before), dice.hits(script.drop_after));
        if script.call.as_deref().is_some_and(|call| !path.contains(call)) {
            return Meeting::default();
        }
        let mut status = None;
        if let Some(code) = script.http_status.filter(|_| hit && script.times != Some(0)) {
            status = Some((code, script.retry_after));
            script.times = script.times.map(|times| times - 1);
        }
        let wait = Duration::from_millis(script.latency_ms.saturating_add(jitter));
        Meeting { wait, status, drop_before: before, drop_after: after }
    }

    /// The state of a device; asking a throttled one counts as a try.
    pub fn device(&self, token: &str) -> Device {
        let mut guard = self.lock();
        let memory = &mut *guard;
        let script = &memory.script;
        let begins = |prefix: &Option<String>| prefix.as_deref().is_some_and(|prefix| token.starts_with(prefix));
        if let Some(code) = script.codes.get(token) {
            return Device::Code(code.clone());
        }
        if script.dead.contains(token) || begins(&script.dead_prefix) {
            return Device::Dead(memory.scripted.unwrap_or(self.started));
        }
        if begins(&script.foreign_prefix) {
            return Device::Foreign;
        }
        if begins(&script.throttled_prefix) {
            let tries = memory.throttled.entry(token.to_owned()).or_default();
            *tries += 1;
            if *tries <= script.throttle_times {
                return Device::Throttled(script.retry_after);
            }
        }
        Device::Good
    }

    /// A value that only one provider's script has: `own.goaway_every`.
    pub fn own(&self, name: &str) -> Option<Value> {
        self.lock().script.own.get(name).cloned()
    }

    /// A push was accepted.
    pub fn accept(&self, token: &str, id: Option<&str>, push: Arc<Value>) {
        let mut memory = self.lock();
        while memory.deliveries.len() >= KEEP {
            memory.deliveries.pop_front();
        }
        memory.last_seq += 1;
        let delivery = Delivery {
            seq: memory.last_seq,
            received_at_ms: self.clock.now(),
            token: token.into(),
            id: id.map(str::to_owned),
            push,
        };
        memory.deliveries.push_back(delivery);
        *memory.counts.entry("deliveries".to_owned()).or_default() += 1;
        if let Some(id) = id {
            let pair = u64::from(crc32fast::hash(id.as_bytes())) << 32 | u64::from(crc32fast::hash(token.as_bytes()));
            if !memory.pairs.insert(pair) {
                *memory.counts.entry("repeats".to_owned()).or_default() += 1;
            }
        }
    }

    /// An answer with this code was given.
    pub fn answered(&self, code: impl Into<String>) {
        *self.lock().codes.entry(code.into()).or_default() += 1;
    }

    /// Counts something of one provider's: `connections`, `tokens_lent`.
    pub fn count(&self, name: &str) {
        *self.lock().counts.entry(name.to_owned()).or_default() += 1;
    }

    /// Remembers the largest value of something: `most_streams`.
    pub fn peak(&self, name: &str, value: u64) {
        let mut memory = self.lock();
        let known = memory.counts.entry(name.to_owned()).or_default();
        *known = value.max(*known);
    }

    /// Replaces the faults and starts their chance sequence.
    ///
    /// # Errors
    /// A rate is not within 0 to 1.
    pub fn set_script(&self, script: Script) -> Result<(), String> {
        for (name, rate) in
            [("rate", script.rate), ("drop_before", script.drop_before), ("drop_after", script.drop_after)]
        {
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("{name} is {rate}, not within 0 to 1"));
            }
        }
        let now = self.clock.now();
        let mut memory = self.lock();
        memory.scripted = Some(now);
        memory.dice = None;
        memory.throttled.clear();
        memory.script = script;
        Ok(())
    }

    /// Counts so far: `{"calls": .., "deliveries": .., "repeats": .., "by_code": {..}, ..}`.
    pub fn stats(&self) -> Value {
        let memory = self.lock();
        let mut stats = json!({ "calls": 0, "deliveries": 0, "repeats": 0, "by_code": memory.codes });
        for (name, n) in &memory.counts {
            stats[name] = (*n).into();
        }
        stats
    }

    /// Up to `limit` deliveries after `seq`, oldest first.
    pub fn after(&self, seq: u64, limit: usize) -> Vec<Delivery> {
        let memory = self.lock();
        let first = memory.deliveries.front().map_or(0, |delivery| delivery.seq);
        let skip = usize::try_from(seq.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        memory.deliveries.iter().skip(skip).take(limit.min(LIMIT_MAX)).cloned().collect()
    }

    /// The routes under `/_sim`; `nest` them beside the provider's own.
    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/deliveries", get(deliveries))
            .route("/phones/{token}", get(phone))
            .route("/stats", get(async |State(stand): State<Arc<Self>>| Json(stand.stats())))
            .route("/script", get(script).post(set_script))
            .route("/reset", post(reset))
            .with_state(Arc::clone(self))
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    after: u64,
    limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: 0, limit: 100 }
    }
}

async fn deliveries(State(stand): State<Arc<Stand>>, Query(page): Query<Page>) -> Json<Value> {
    let found = stand.after(page.after, page.limit);
    let last = found.last().map_or(page.after, |delivery| delivery.seq);
    Json(json!({ "deliveries": found, "last": last }))
}

async fn phone(State(stand): State<Arc<Stand>>, Path(token): Path<String>, Query(page): Query<Page>) -> Json<Value> {
    let found: Vec<Delivery> = {
        let memory = stand.lock();
        memory.deliveries.iter().rev().filter(|d| *d.token == *token).take(page.limit.min(LIMIT_MAX)).cloned().collect()
    };
    Json(json!({ "token": token, "deliveries": found }))
}

async fn script(State(stand): State<Arc<Stand>>) -> Json<Script> {
    Json(stand.lock().script.clone())
}

/// Takes JSON whatever its Content-Type says, so that `curl -d` will do.
async fn set_script(State(stand): State<Arc<Stand>>, body: Bytes) -> Result<Json<Script>, (StatusCode, String)> {
    let refuse = |problem: String| (StatusCode::BAD_REQUEST, problem);
    let given: Script = serde_json::from_slice(&body).map_err(|error| refuse(error.to_string()))?;
    stand.set_script(given.clone()).map_err(refuse)?;
    Ok(Json(given))
}

async fn reset(State(stand): State<Arc<Stand>>) -> StatusCode {
    let old = std::mem::take(&mut *stand.lock());
    drop(old);
    StatusCode::NO_CONTENT
}

/// Serves plain HTTP/1.1 until `shutdown` completes. Handlers find the [`Hangup`] of their connection as connect info.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = app.into_make_service_with_connect_info::<Cut>();
    axum::serve(Connections(listener), service).with_graceful_shutdown(shutdown).await
}

/// Cuts the connection that a call came on: `ConnectInfo(hangup): ConnectInfo<Hangup>`, then `hangup.now()`.
pub type Hangup = Cut;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
    use homing_core::clock::SystemClock;

    use super::*;

    #[test]
    fn devices_have_states_and_deliveries_are_counted() {
        let stand = Stand::new(Arc::new(SystemClock::default()));
        let script = json!({ "dead_prefix": "dead", "foreign_prefix": "other", "throttled_prefix": "slow",
            "retry_after": 2, "codes": { "x": "40" }, "http_status": 503, "times": 1, "call": "/send" });
        stand.set_script(serde_json::from_value(script).unwrap()).unwrap();
        assert!(matches!(stand.device("dead-1"), Device::Dead(_)));
        assert_eq!(stand.device("other-1"), Device::Foreign);
        assert_eq!(stand.device("slow-1"), Device::Throttled(Some(2)));
        assert_eq!(stand.device("slow-1"), Device::Good, "the second try passes");
        assert_eq!(stand.device("x"), Device::Code("40".to_owned()));
        assert_eq!(stand.meet("/auth").status, None);
        assert_eq!(stand.meet("/send").status, Some((503, Some(2))));
        assert_eq!(stand.meet("/send").status, None, "once was asked for");
        for id in ["a", "b", "a"] {
            stand.accept("t", Some(id), Arc::new(json!({})));
        }
        let stats = stand.stats();
        assert_eq!((&stats["calls"], &stats["deliveries"], &stats["repeats"]), (&json!(3), &json!(3), &json!(1)));
        assert_eq!(stand.after(1, 9).iter().map(|d| d.seq).collect::<Vec<_>>(), [2, 3]);
        assert!(stand.set_script(Script { rate: 1.5, ..Script::default() }).is_err());
    }
}
