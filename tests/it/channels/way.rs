//! What a test knows of a channel: its configuration, how tokens are made, what the simulator does to each kind of token,
//! and the fate that the channel's documentation names for it. Nothing here is taken from what Homing does.

use serde_json::{Map, Value, json};

/// App of the devices, unless a kind has one of its own.
pub(super) const APP: &str = "shop";

/// A channel under test.
pub(super) struct Way {
    /// As the figures call it.
    pub(super) name: &'static str,
    /// Its name in the configuration.
    pub(super) channel: &'static str,
    /// Its name for `homing simulate`.
    pub(super) provider: &'static str,
    /// Of the devices.
    pub(super) platform: &'static str,
    /// `[channel.NAME]`, for a simulator that listens there.
    pub(super) section: fn(&Place) -> String,
    pub(super) tokens: Tokens,
    /// The first takes all that the others leave.
    pub(super) kinds: &'static [Kind],
    pub(super) wrong: Wrong,
    /// What the simulator counts a refused throttled call as, if it does.
    pub(super) refusal: Option<&'static str>,
}

/// Where the simulator is.
pub(super) struct Place {
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    /// A folder of the test's own.
    pub(super) folder: std::path::PathBuf,
}

/// How tokens look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// `good-00007`.
    Plain,
    /// 64 hexadecimal digits; the prefixes have to be such.
    Hex,
    /// Subscriptions that the simulated browsers hand out.
    Subscriptions,
    /// The prefix itself: the name of a hook, the same for all users.
    Hooks,
}

/// A kind of device.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Its tokens begin so.
    pub(super) prefix: &'static str,
    pub(super) part: Part,
    pub(super) state: State,
    pub(super) fate: Fate,
    pub(super) app: &'static str,
}

/// How many devices are of a kind.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// What the others leave.
    Rest,
    /// Of hundred.
    Percent(usize),
    /// So many, however many there are in all.
    Few(usize),
}

/// What the simulator does to a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Good,
    Dead,
    /// Another app's, or of the provider's other network.
    Foreign,
    /// The first `n` calls are refused, with `Retry-After: 1`.
    Throttled(u64),
    /// Answered with this code.
    Code(&'static str),
}

/// What becomes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Delivered.
    Told,
    /// Refused at first, and delivered when the provider's wish has passed.
    Later,
    /// Called dead, and removed from the directory.
    Removed,
    /// Ends; the token stays.
    NoDevice,
    /// In the dead list, for this reason; the token stays.
    Buried(&'static str),
    /// Waits until somebody has looked at the configuration; the token stays.
    Parked,
}

/// How an account is wrong for every message.
#[derive(Clone, Copy)]
pub(super) enum Wrong {
    /// Every token is called another app's.
    Foreign,
    /// Every token is answered with this code.
    Code(&'static str),
    /// The script's `own.code` answers every call.
    OwnCode(&'static str),
}

// === impl Kind ===

impl Kind {
    pub(super) const fn new(prefix: &'static str, part: Part, state: State, fate: Fate) -> Self {
        Self { prefix, part, state, fate, app: APP }
    }

    /// The same for devices of another app.
    pub(super) const fn of(self, app: &'static str) -> Self {
        Self { app, ..self }
    }

    /// How many calls of `count` devices are refused for now.
    pub(super) fn refusals(self, way: &Way, count: usize) -> u64 {
        match self.state {
            State::Throttled(times) if way.tokens == Tokens::Hooks => times,
            State::Throttled(times) => times * count as u64,
            _ => 0,
        }
    }
}

// === impl Fate ===

impl Fate {
    /// Its name in the ledger.
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::Told | Self::Later => Some("delivered".to_owned()),
            Self::Removed => Some("bad_token".to_owned()),
            Self::NoDevice => Some("no_device".to_owned()),
            Self::Buried(why) => Some(format!("dead.{why}")),
            Self::Parked => None,
        }
    }

    pub(super) fn arrives(self) -> bool {
        matches!(self, Self::Told | Self::Later)
    }
}

/// How many devices of each kind there are among `total`.
pub(super) fn counts(kinds: &[Kind], total: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = kinds
        .iter()
        .map(|kind| match kind.part {
            Part::Rest => 0,
            Part::Percent(percent) => total * percent / 100,
            Part::Few(few) => few,
        })
        .collect();
    counts[0] = total.checked_sub(counts.iter().sum()).expect("there are fewer events than devices of the kinds");
    counts
}

/// The simulator's script for these kinds; `tokens` names the devices of a kind by its place.
pub(super) fn script(kinds: &[Kind], tokens: impl Fn(usize) -> Vec<String>) -> Value {
    let (mut script, mut codes) = (Map::new(), Map::new());
    for (place, kind) in kinds.iter().enumerate() {
        match kind.state {
            State::Good => {}
            State::Dead => drop(script.insert("dead_prefix".into(), kind.prefix.into())),
            State::Foreign => drop(script.insert("foreign_prefix".into(), kind.prefix.into())),
            State::Throttled(times) => {
                script.insert("throttled_prefix".into(), kind.prefix.into());
                script.insert("throttle_times".into(), times.into());
                script.insert("retry_after".into(), 1.into());
            }
            State::Code(code) => codes.extend(tokens(place).into_iter().map(|token| (token, code.into()))),
        }
    }
    script.insert("codes".into(), codes.into());
    script.into()
}

impl Wrong {
    /// The script that makes it so for these tokens.
    pub(super) fn script(self, tokens: impl Iterator<Item = String>) -> Value {
        match self {
            // Every text begins with nothing.
            Self::Foreign => json!({ "foreign_prefix": "" }),
            Self::Code(code) => json!({ "codes": tokens.map(|token| (token, code.into())).collect::<Map<_, Value>>() }),
            Self::OwnCode(code) => json!({ "own": { "code": code } }),
        }
    }
}
