//! What the simulator is told: the apps it knows and the faults it plays.

use std::{collections::HashSet, fmt, sync::Arc};

use homing_core::{
    clock::{Clock, SystemClock},
    notification::Platform,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Deliveries that are remembered when nothing else is said.
const KEEP: usize = 1_000_000;

/// Settings of the simulator.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// The apps it knows.
    pub apps: Vec<App>,
    /// How many deliveries it remembers.
    pub keep: usize,
    /// The faults it begins with, and returns to at a reset.
    pub faults: Faults,
    /// Its time of day.
    pub clock: Arc<dyn Clock>,
}

/// One registered app. Its Debug does not show the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The application's id.
    pub access_id: u64,
    /// Its secret key.
    pub secret: SecretString,
    /// Its platform.
    pub platform: Platform,
}

/// What goes wrong on purpose. Rates are shares of all push requests, 0 to 1; the same seed gives the same sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Every answer waits this long. The delivery is recorded before the wait: who gives up meanwhile does not know.
    pub latency_ms: u64,
    /// And up to this much longer.
    pub jitter_ms: u64,
    /// Requests that passed every check are answered with this code instead and not delivered.
    pub answer: Option<i64>,
    /// The text that goes with `answer`.
    pub answer_text: String,
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
    /// Tokens that are not registered (code 40).
    pub dead_tokens: HashSet<String>,
    /// Tokens that begin so are not registered (code 40).
    pub dead_prefix: Option<String>,
    /// The service's clock is ahead by this many seconds; its `Date` header says so.
    pub accept_skew_s: i64,
    /// Start of the chance sequence.
    pub seed: u64,
}

// === impl SimulatorConfig ===

impl SimulatorConfig {
    /// A service without faults on the machine's clock.
    pub fn new(apps: Vec<App>) -> Self {
        Self { apps, keep: KEEP, faults: Faults::default(), clock: Arc::new(SystemClock::default()) }
    }
}

impl fmt::Debug for SimulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorConfig")
            .field("apps", &self.apps)
            .field("keep", &self.keep)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

// === impl Faults ===

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            jitter_ms: 0,
            answer: None,
            answer_text: String::new(),
            answer_rate: 1.0,
            drop_before: 0.0,
            drop_after: 0.0,
            http_status: None,
            retry_after: None,
            dead_tokens: HashSet::new(),
            dead_prefix: None,
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

    pub(super) fn is_dead(&self, token: &str) -> bool {
        self.dead_tokens.contains(token) || self.dead_prefix.as_deref().is_some_and(|prefix| token.starts_with(prefix))
    }
}
