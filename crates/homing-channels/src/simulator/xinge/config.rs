//! What the simulator is told: the apps it knows, its bounds, and the faults it plays.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use homing_core::{
    clock::{Clock, SystemClock},
    notification::Platform,
};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Deliveries that are remembered when nothing else is said.
const KEEP: usize = 1_000_000;

/// Deliveries that one device remembers when nothing else is said.
const KEEP_PER_TOKEN: usize = 1_000;

/// Tasks that are remembered when nothing else is said.
const TASKS: usize = 10_000;

/// Ids, and pairs of id and token, that are told apart when nothing else is said.
const DISTINCT: usize = 4_000_000;

/// Settings of the simulator.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// The apps it knows; more may be added while it runs.
    pub apps: Vec<App>,
    /// How many deliveries it remembers; the oldest go. Counts stay exact.
    pub keep: usize,
    /// How many of them one device shows.
    pub keep_per_token: usize,
    /// How many tasks (`push_id`) it remembers; the oldest go.
    pub tasks: usize,
    /// How many ids, and pairs of id and token, it tells apart; later ones only count as deliveries.
    pub distinct: usize,
    /// The faults it begins with, and returns to at a reset.
    pub faults: Faults,
    /// Its time of day.
    pub clock: Arc<dyn Clock>,
}

/// One registered app. Its Debug does not show the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The generation of the service that it is registered with.
    #[serde(default)]
    pub flavour: Flavour,
    /// The application's id, a number or a text.
    #[serde(deserialize_with = "number_or_text")]
    pub access_id: String,
    /// Its secret key.
    pub secret: SecretString,
    /// Its platform.
    pub platform: Platform,
}

/// Generation of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Xinge v2.
    #[default]
    V2,
    /// Xinge v3.
    V3,
    /// TPNS.
    Tpns,
}

/// What goes wrong on purpose. Rates are shares of the requests that `call` lets through, 0 to 1; the same seed gives
/// the same sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Only requests whose path ends so are met by the faults that are not about tokens or the clock:
    /// `create_multipush`.
    pub call: Option<String>,
    /// Every answer waits this long. The delivery is recorded before the wait: who gives up meanwhile does not know.
    pub latency_ms: u64,
    /// And up to this much longer.
    pub jitter_ms: u64,
    /// Requests that passed every check are answered with this code instead and not delivered.
    pub answer: Option<i64>,
    /// The text that goes with `answer`.
    pub answer_text: String,
    /// The `result` that goes with `answer`.
    pub answer_result: Option<Value>,
    /// The share of requests that `answer` or `http_status` meets.
    pub answer_rate: f64,
    /// The connection is cut before the body is read.
    pub drop_before: f64,
    /// The delivery is accepted and the connection cut without a reply.
    pub drop_after: f64,
    /// Requests are answered with this status and not looked at.
    pub http_status: Option<u16>,
    /// `Retry-After` in seconds, beside `http_status`.
    pub retry_after: Option<u64>,
    /// Tokens that are not registered: 40 under v2, 10110 under v3, 1008006 under TPNS. A page of v2 or v3 is accepted all
    /// the same and does not reach them.
    pub dead_tokens: HashSet<String>,
    /// Tokens that begin so are not registered.
    pub dead_prefix: Option<String>,
    /// Tokens that are refused with a code of their own, in the same places.
    pub token_codes: HashMap<String, i64>,
    /// The service's clock is ahead by this many seconds; its `Date` header says so.
    pub accept_skew_s: i64,
    /// Start of the chance sequence.
    pub seed: u64,
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(serde::de::Error::custom("access_id: expected a whole number or a text")),
    }
}

// === impl SimulatorConfig ===

impl SimulatorConfig {
    /// A service without faults on the machine's clock.
    pub fn new(apps: Vec<App>) -> Self {
        Self {
            apps,
            keep: KEEP,
            keep_per_token: KEEP_PER_TOKEN,
            tasks: TASKS,
            distinct: DISTINCT,
            faults: Faults::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl fmt::Debug for SimulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorConfig")
            .field("apps", &self.apps)
            .field("keep", &self.keep)
            .field("keep_per_token", &self.keep_per_token)
            .field("tasks", &self.tasks)
            .field("distinct", &self.distinct)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

// === impl Faults ===

impl Default for Faults {
    fn default() -> Self {
        Self {
            call: None,
            latency_ms: 0,
            jitter_ms: 0,
            answer: None,
            answer_text: String::new(),
            answer_result: None,
            answer_rate: 1.0,
            drop_before: 0.0,
            drop_after: 0.0,
            http_status: None,
            retry_after: None,
            dead_tokens: HashSet::new(),
            dead_prefix: None,
            token_codes: HashMap::new(),
            accept_skew_s: 0,
            seed: 0,
        }
    }
}

impl Faults {
    pub(super) fn validate(&self) -> Result<(), String> {
        let rates =
            [("answer_rate", self.answer_rate), ("drop_before", self.drop_before), ("drop_after", self.drop_after)];
        for (name, rate) in rates {
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("{name} is {rate}, not within 0 to 1"));
            }
        }
        match self.http_status {
            Some(status) if !(200..=599).contains(&status) => {
                Err(format!("http_status {status} is not within 200 to 599"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the faults meet a call.
    pub(super) fn meet(&self, path: &str) -> bool {
        self.call.as_deref().is_none_or(|call| path.ends_with(call))
    }

    /// The code of a token that gets nothing.
    pub(super) fn of_token(&self, token: &str, dead: i64) -> Option<i64> {
        if let Some(code) = self.token_codes.get(token) {
            return Some(*code).filter(|code| *code != 0);
        }
        let is_dead = self.dead_tokens.contains(token)
            || self.dead_prefix.as_deref().is_some_and(|prefix| token.starts_with(prefix));
        is_dead.then_some(dead)
    }
}
