//! Moving devices from one provider to another: which devices take part, who is on which side, and the state that the
//! operator sets.
//!
//! The state stands on the notice board under `migration:NAME`, so that every distributor sees a change with its next
//! batch:
//!
//! ```json
//! {"phase":"live","percent":12.5,"rehearse_percent":100}
//! ```
//!
//! | phase | a device with tokens of both channels |
//! |---|---|
//! | `off` | is told as if there were no migration |
//! | `shadow` | is told by `from`; a copy is rehearsed by `to` |
//! | `live` | of the cohort (`percent` of the users) by `to`, with `from` as fallback; all others by `from` |
//!
//! The cohort is the lower end of a fixed order of all users (a hash), so that who is in it stays in it while it grows.
//! See docs/migrate.md.

mod report;

use std::{collections::BTreeMap, fmt, sync::Arc};

use homing_core::notification::{Arm, Environment, Platform};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use report::{Bounds, Report, Side, Verdict};

/// What stands on the notice board, as the process last saw it.
type Seen = watch::Receiver<Arc<BTreeMap<String, String>>>;

/// A way from one channel to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// Its name, in notices and counters: letters, digits, `-` and `_`.
    pub name: String,
    /// The channel that is left behind.
    pub from: String,
    /// The channel that takes over.
    pub to: String,
    /// Only this lane.
    pub lane: Option<String>,
    /// Only devices of this app.
    pub app: Option<String>,
    /// Only devices of this platform.
    pub platform: Option<Platform>,
    /// Only devices of this network.
    pub environment: Option<Environment>,
}

/// A migration or a state that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Its name would not do as part of a counter's name.
    #[error("migration `{0}`: a name has 1 to 64 letters, digits, `-` and `_`")]
    Name(String),
    /// It leads nowhere.
    #[error("migration.{0}: `from` and `to` are both {1}")]
    Same(String, String),
    /// The notice is no state.
    #[error("migration.{0}: the notice is no state: {1}")]
    State(String, String),
    /// No share of anything.
    #[error("migration.{0}: {1} is not a percentage: 0 to 100")]
    Percent(String, String),
}

impl Migration {
    /// Can it be one at all?
    ///
    /// # Errors
    /// See [`Wrong`].
    pub fn check(&self) -> Result<(), Wrong> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=64).contains(&self.name.len()) || !self.name.chars().all(fits) {
            return Err(Wrong::Name(self.name.clone()));
        }
        if self.from == self.to {
            return Err(Wrong::Same(self.name.clone(), self.from.clone()));
        }
        Ok(())
    }

    /// Where its state stands on the notice board.
    pub fn notice(&self) -> String {
        notice_of(&self.name)
    }

    /// Is it for such devices in this lane?
    pub fn covers(&self, platform: Platform, app: &str, environment: Environment) -> bool {
        self.platform.is_none_or(|own| own == platform)
            && self.app.as_deref().is_none_or(|own| own == app)
            && self.environment.is_none_or(|own| own == environment)
    }

    /// Where a user stands in the migration's order of all users, 0..10,000; of a device without a user its token. The
    /// same always and in every process.
    pub fn place(&self, user: &str) -> u32 {
        let mut hash = crc32fast::Hasher::new();
        hash.update(self.name.as_bytes());
        hash.update(b":");
        hash.update(user.as_bytes());
        hash.finalize() % WHOLE
    }

    /// What a notice board says of it; nothing is "off".
    ///
    /// # Errors
    /// The notice cannot be read: the migration counts as off.
    pub fn state(&self, notices: &BTreeMap<String, String>) -> Result<State, Wrong> {
        match notices.get(&self.notice()) {
            None => Ok(State::default()),
            Some(text) => State::parse(&self.name, text),
        }
    }
}

/// Where the state of migration `name` stands on the notice board.
pub fn notice_of(name: &str) -> String {
    format!("migration:{name}")
}

/// Where the last answer that a side of migration `name` met with, and that was no success, stands there in words.
pub fn error_notice_of(name: &str, arm: Arm) -> String {
    format!("migration-error:{name}:{}", arm.name())
}

/// Places in the order of users: a share is counted in hundredths of a percent.
const WHOLE: u32 = 10_000;

/// How far a migration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not begun, or given up: nothing is different.
    #[default]
    Off,
    /// Rehearsed: everybody is still told by the channel that is left behind.
    Shadow,
    /// A share of the users is told by the channel that takes over.
    Live,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Live => "live",
        })
    }
}

/// What an operator set. As text it is the notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// Live: so many of a hundred users are told by the channel that takes over.
    #[serde(default)]
    pub percent: f64,
    /// Shadow: of so many of a hundred users a copy is rehearsed.
    #[serde(default = "all")]
    pub rehearse_percent: f64,
    /// The counters `ARM.END` as they were when this step began: a [`Report`] is about what came since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<String, i64>,
}

fn all() -> f64 {
    100.0
}

impl Default for State {
    fn default() -> Self {
        Self { phase: Phase::Off, percent: 0.0, rehearse_percent: all(), since: BTreeMap::new() }
    }
}

impl fmt::Display for State {
    /// For people: `off`, `shadow, 100 % rehearsed`, `live, 12.5 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Off => f.write_str("off"),
            Phase::Shadow => write!(f, "shadow, {} % rehearsed", self.rehearse_percent),
            Phase::Live => write!(f, "live, {} %", self.percent),
        }
    }
}

/// The shares that a migration goes through once it is live.
pub const STEPS: [f64; 4] = [1.0, 10.0, 50.0, 100.0];

impl State {
    /// Rehearsed for so many of a hundred users.
    pub fn shadow(rehearse_percent: f64) -> Self {
        Self { phase: Phase::Shadow, rehearse_percent, ..Self::default() }
    }

    /// Live for so many of a hundred users.
    pub fn live(percent: f64) -> Self {
        Self { phase: Phase::Live, percent, ..Self::default() }
    }

    /// Reads the notice of migration `name`.
    ///
    /// # Errors
    /// It is no state, or a percentage is none.
    pub fn parse(name: &str, text: &str) -> Result<Self, Wrong> {
        let state: Self = serde_json::from_str(text).map_err(|e| Wrong::State(name.to_owned(), e.to_string()))?;
        state.check(name)?;
        Ok(state)
    }

    /// Are its percentages such?
    ///
    /// # Errors
    /// Names the one that is not.
    pub fn check(&self, name: &str) -> Result<(), Wrong> {
        for (field, percent) in [("percent", self.percent), ("rehearse_percent", self.rehearse_percent)] {
            if !(0.0..=100.0).contains(&percent) {
                return Err(Wrong::Percent(name.to_owned(), format!("{field} = {percent}")));
            }
        }
        Ok(())
    }

    /// The notice.
    pub fn format(&self) -> String {
        // Numbers, names and texts always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The step that follows: shadow, then live with the next of [`STEPS`]. `None` at the end. `counts` are the counters
    /// `ARM.END` as they are now ([`Report::totals`]).
    pub fn next(&self, counts: BTreeMap<String, i64>) -> Option<Self> {
        let next = match self.phase {
            Phase::Off => Self::shadow(all()),
            Phase::Shadow => Self::live(*STEPS.first()?),
            Phase::Live => Self::live(*STEPS.iter().find(|step| **step > self.percent)?),
        };
        Some(Self { since: counts, ..next })
    }

    /// All steps that are still to come, in their order.
    pub fn plan(&self) -> Vec<Self> {
        std::iter::successors(self.next(BTreeMap::new()), |state| state.next(BTreeMap::new())).collect()
    }

    /// Is the user at `place` ([`Migration::place`]) told by the channel that takes over?
    pub fn is_moved(&self, place: u32) -> bool {
        self.phase == Phase::Live && place < hundredths(self.percent)
    }

    /// Is a copy for the user at `place` rehearsed?
    pub fn is_rehearsed(&self, place: u32) -> bool {
        self.phase == Phase::Shadow && place < hundredths(self.rehearse_percent)
    }
}

fn hundredths(percent: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000")]
    let hundredths = (percent.clamp(0.0, 100.0) * 100.0).round() as u32;
    hundredths
}

/// The migrations of a lane, and where their states are read.
#[derive(Clone, Debug, Default)]
pub struct Migrations {
    all: Vec<Migration>,
    notices: Option<Seen>,
}

/// A migration that is not off.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running<'a> {
    pub(crate) migration: &'a Migration,
    pub(crate) state: State,
}

impl Migrations {
    /// Those of `all` that are for this lane.
    pub fn new(
        lane: &str,
        all: impl IntoIterator<Item = Migration>,
        notices: watch::Receiver<Arc<BTreeMap<String, String>>>,
    ) -> Self {
        let own = all.into_iter().filter(|migration| migration.lane.as_deref().is_none_or(|own| own == lane));
        Self { all: own.collect(), notices: Some(notices) }
    }

    /// All of them, in their order: of several that cover a device the first counts.
    pub fn iter(&self) -> impl Iterator<Item = &Migration> {
        self.all.iter()
    }

    /// Those that are under way, as of now. What cannot be read is off.
    pub(crate) fn running(&self) -> Vec<Running<'_>> {
        let Some(notices) = self.notices.as_ref().filter(|_| !self.all.is_empty()) else { return Vec::new() };
        let notices = Arc::clone(&notices.borrow());
        let running = |migration| {
            let state = Migration::state(migration, &notices).unwrap_or_default();
            (state.phase != Phase::Off).then_some(Running { migration, state })
        };
        self.all.iter().filter_map(running).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn migration(name: &str) -> Migration {
        Migration { name: name.into(), from: "xinge".into(), to: "fcm".into(), ..Migration::default() }
    }

    #[test]
    fn a_state_is_read_as_it_is_written() {
        let state = State { since: [("old.delivered".into(), 5)].into(), ..State::live(12.5) };
        assert_eq!(State::parse("m", &state.format()), Ok(state));
        assert_eq!(State::live(12.5).format(), r#"{"phase":"live","percent":12.5,"rehearse_percent":100.0}"#);
        assert_eq!(State::parse("m", r#"{"phase":"shadow"}"#), Ok(State::shadow(100.0)));
        let wrong = |text: &str| State::parse("m", text).unwrap_err().to_string();
        assert_eq!(
            wrong(r#"{"phase":"live","percent":101}"#),
            "migration.m: percent = 101 is not a percentage: 0 to 100"
        );
        assert!(
            wrong(r#"{"phase":"soon"}"#).starts_with("migration.m: the notice is no state: unknown variant `soon`")
        );
        assert_eq!(State::live(12.5).to_string(), "live, 12.5 %");
    }

    #[test]
    fn a_plan_goes_on_step_by_step() {
        let steps: Vec<String> = State::default().plan().iter().map(State::to_string).collect();
        assert_eq!(steps, ["shadow, 100 % rehearsed", "live, 1 %", "live, 10 %", "live, 50 %", "live, 100 %"]);
        assert_eq!(State::live(12.5).next(BTreeMap::new()).map(|s| s.percent), Some(50.0), "from a step of one's own");
    }

    #[test]
    fn a_cohort_is_its_share_and_only_grows() {
        let migration = migration("xinge-fcm");
        let moved = |percent: f64| -> Vec<u32> {
            let state = State::live(percent);
            (0..10_000).filter(|user: &u32| state.is_moved(migration.place(&user.to_string()))).collect()
        };
        let mut before = Vec::new();
        for percent in [0.0, 1.0, 10.0, 12.5, 50.0, 100.0] {
            let now = moved(percent);
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let share = now.len() as f64 / 100.0;
            assert!((share - percent).abs() <= 1.0, "{share} of {percent} %");
            assert!(before.iter().all(|user| now.contains(user)), "nobody goes back");
            before = now;
        }
        assert_eq!(before.len(), 10_000);
        assert_ne!(migration.place("42"), self::migration("other").place("42"), "each has an order of its own");
        assert_eq!(migration.place("42"), crc32fast::hash(b"xinge-fcm:42") % 10_000, "as others may compute it");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let wrong = |change: fn(&mut Migration)| {
            let mut migration = migration("m");
            change(&mut migration);
            migration.check().unwrap_err().to_string()
        };
        assert_eq!(wrong(|m| m.to = "xinge".into()), "migration.m: `from` and `to` are both xinge");
        assert_eq!(
            wrong(|m| m.name = "a.b".into()),
            "migration `a.b`: a name has 1 to 64 letters, digits, `-` and `_`"
        );
    }

    #[test]
    fn what_runs_follows_the_board() {
        let (tell, notices) = watch::channel(Arc::new(BTreeMap::new()));
        let of = |lane: &str| Migration { lane: Some(lane.into()), ..migration(lane) };
        let migrations = Migrations::new("system", [of("system"), of("group"), migration("any")], notices);
        assert_eq!(migrations.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["system", "any"]);
        assert!(migrations.running().is_empty());
        let post = |name: &str, text: &str| {
            tell.send_modify(|board| drop(Arc::make_mut(board).insert(notice_of(name), text.to_owned())));
        };
        post("any", &State::live(5.0).format());
        post("system", "{garbled");
        assert_eq!(migrations.running().iter().map(|r| r.state.percent).collect::<Vec<_>>(), [5.0]);
        post("any", &State::default().format());
        assert!(migrations.running().is_empty(), "at once");
    }
}
