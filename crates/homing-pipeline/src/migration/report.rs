//! How the sides of a migration fare, from the ledger's counters `cohort.NAME.ARM.END`, and whether to go on. An end is the
//! name of a fate; of a rehearsal it is what the provider would have said (`delivered`, `token_invalid`, `config`, ...).

use std::collections::BTreeMap;

use homing_core::{ledger::Counts, notification::Arm};
use serde::Serialize;

use super::{Phase, State};

/// What one side came to, in targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Every end, as the ledger names it.
    pub ends: BTreeMap<String, i64>,
    /// The provider took it (or would have).
    pub delivered: i64,
    /// The token is dead.
    pub bad_token: i64,
    /// The credentials were refused.
    pub config: i64,
    /// Whatever else ended it: a bad message, an answer that never came.
    pub failed: i64,
    /// Says nothing of the channel: it ended before it was tried, there was no answer, or the channel cannot rehearse.
    pub untried: i64,
}

impl Side {
    fn add(&mut self, end: &str, n: i64) {
        if n == 0 {
            return;
        }
        *self.ends.entry(end.to_owned()).or_default() += n;
        let class = match end {
            "delivered" => &mut self.delivered,
            "bad_token" | "token_invalid" | "no_device" => &mut self.bad_token,
            "rerouted" | "config" => &mut self.config,
            "expired" | "cancelled" | "unknown" | "corrected" | "retry" | "rate_limited" | "ambiguous" | "paused"
            | "untried" => &mut self.untried,
            _ => &mut self.failed,
        };
        *class += n;
    }

    /// Targets that were tried.
    pub fn tried(&self) -> i64 {
        self.delivered + self.bad_token + self.config + self.failed
    }

    fn share(&self, n: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = n as f64 / self.tried().max(1) as f64;
        share
    }
}

/// Where "safe" ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// So many targets must have been tried on the side that takes over.
    pub enough: i64,
    /// Its share of delivered targets may be lower by this.
    pub delivered: f64,
    /// Its share of dead tokens may be higher by this.
    pub bad_token: f64,
    /// The share of refused credentials that is still no reason to stop.
    pub config: f64,
}

impl Default for Bounds {
    /// 100 targets; one in a hundred less delivered or more dead; no refused credentials at all.
    fn default() -> Self {
        Self { enough: 100, delivered: 0.01, bad_token: 0.01, config: 0.0 }
    }
}

/// May the next step be taken?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// It may.
    pub safe: bool,
    /// `safe to advance`, or `do not advance: ` and why.
    pub text: String,
}

impl Verdict {
    fn safe() -> Self {
        Self { safe: true, text: "safe to advance".to_owned() }
    }

    fn stop(why: &str) -> Self {
        Self { safe: false, text: format!("do not advance: {why}") }
    }
}

/// The sides of one migration, since its step began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By the channel that is left behind.
    pub old: Side,
    /// By the channel that takes over.
    pub new: Side,
    /// Rehearsed on it.
    pub shadow: Side,
    /// The counters `ARM.END` of all time: what the next step begins with ([`State::next`]).
    pub totals: BTreeMap<String, i64>,
}

impl Report {
    /// Of migration `name` in its `state`, from the ledgers of all delivery shards.
    pub fn new<'a>(name: &str, state: &State, ledgers: impl IntoIterator<Item = &'a Counts>) -> Self {
        let prefix = format!("cohort.{name}.");
        let mut report = Self::default();
        for (field, n) in ledgers.into_iter().flat_map(Counts::iter) {
            if let Some(counter) = field.strip_prefix(&prefix) {
                *report.totals.entry(counter.to_owned()).or_default() += n;
            }
        }
        for (counter, n) in &report.totals {
            let Some((arm, end)) = counter.split_once('.') else { continue };
            let side = match arm {
                _ if arm == Arm::Old.name() => &mut report.old,
                _ if arm == Arm::New.name() => &mut report.new,
                _ if arm == Arm::Shadow.name() => &mut report.shadow,
                _ => continue,
            };
            // A server that lost its counters has fewer than there were: then all that it has is new.
            let before = state.since.get(counter).copied().filter(|before| before <= n).unwrap_or(0);
            side.add(end, n - before);
        }
        report
    }

    /// May the step after `state` be taken?
    pub fn verdict(&self, state: &State, bounds: &Bounds) -> Verdict {
        let (side, words) = match state.phase {
            // To rehearse shows nobody anything.
            Phase::Off => return Verdict::safe(),
            Phase::Shadow => (&self.shadow, "rehearsals"),
            Phase::Live => (&self.new, "targets of the new side"),
        };
        let (tried, percent) = (side.tried(), |share: f64| format!("{:.1} %", share * 100.0));
        if side.share(side.config) > bounds.config {
            let what = format!("{} of {tried} {words} met credentials that are refused", side.config);
            return Verdict::stop(&what);
        }
        if tried < bounds.enough {
            let blind = if side.untried > 0 { format!(" ({} said nothing)", side.untried) } else { String::new() };
            return Verdict::stop(&format!("only {tried} {words} were tried{blind}, {} are wanted", bounds.enough));
        }
        // Without anybody on the old side all that is not delivered counts.
        let old = &self.old;
        let (delivered, bad) =
            if old.tried() > 0 { (old.share(old.delivered), old.share(old.bad_token)) } else { (1.0, 0.0) };
        // What is exactly at the bound is within it.
        const HAIR: f64 = 1e-9;
        if side.share(side.bad_token) > bad + bounds.bad_token + HAIR {
            let (new, old) = (percent(side.share(side.bad_token)), percent(bad));
            return Verdict::stop(&format!("{new} of the {words} have dead tokens, {old} on the old side"));
        }
        if side.share(side.delivered) < delivered - bounds.delivered - HAIR {
            let (new, old) = (percent(side.share(side.delivered)), percent(delivered));
            return Verdict::stop(&format!("{new} of the {words} are delivered, {old} on the old side"));
        }
        Verdict::safe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(fields: &[(&str, i64)]) -> Counts {
        fields.iter().map(|(field, n)| (format!("cohort.m.{field}"), *n)).collect()
    }

    #[track_caller]
    fn check(state: &State, fields: &[(&str, i64)], expected: &str) {
        let report = Report::new("m", state, &[counts(fields)]);
        assert_eq!(report.verdict(state, &Bounds::default()).text, expected);
    }

    #[test]
    fn shards_are_summed_and_other_migrations_left_out() {
        let mut one = counts(&[("old.delivered", 5), ("shadow.config", 1), ("new.dead", 2)]);
        one.add("cohort.mm.old.delivered", 100);
        one.add("send.delivered", 7);
        let two = counts(&[("old.delivered", 6), ("old.bad_token", 1), ("old.expired", 3)]);
        let report = Report::new("m", &State::default(), [&one, &two]);
        assert_eq!((report.old.delivered, report.old.bad_token, report.old.untried), (11, 1, 3));
        assert_eq!((report.shadow.config, report.new.failed), (1, 2));
        assert_eq!(report.totals.get("old.delivered"), Some(&11));
    }

    #[test]
    fn a_step_is_judged_by_what_came_since_it_began() {
        let bad = [("shadow.config", 500), ("old.delivered", 500)];
        let shadow = State::shadow(100.0);
        check(&shadow, &bad, "do not advance: 500 of 500 rehearsals met credentials that are refused");
        let most = [("shadow.config", 20), ("shadow.paused", 480), ("shadow.untried", 9), ("old.delivered", 500)];
        check(&shadow, &most, "do not advance: 20 of 20 rehearsals met credentials that are refused");
        let before = Report::new("m", &shadow, &[counts(&bad)]).totals;
        let repaired = State { since: before, ..shadow };
        let later = [("shadow.config", 500), ("shadow.delivered", 200), ("old.delivered", 700)];
        check(&repaired, &later, "safe to advance");
        check(&repaired, &bad, "do not advance: only 0 rehearsals were tried, 100 are wanted");
    }

    #[test]
    fn the_sides_are_compared() {
        check(&State::default(), &[], "safe to advance");
        let live = State::live(10.0);
        let old = ("old.delivered", 990);
        check(&live, &[old, ("old.bad_token", 10), ("new.delivered", 99), ("new.bad_token", 1)], "safe to advance");
        check(
            &live,
            &[old, ("old.bad_token", 10), ("new.delivered", 90), ("new.bad_token", 10)],
            "do not advance: 10.0 % of the targets of the new side have dead tokens, 1.0 % on the old side",
        );
        check(
            &live,
            &[old, ("new.delivered", 95), ("new.dead", 5)],
            "do not advance: 95.0 % of the targets of the new side are delivered, 100.0 % on the old side",
        );
        check(
            &live,
            &[old, ("new.delivered", 500), ("new.rerouted", 1)],
            "do not advance: 1 of 501 targets of the new side met credentials that are refused",
        );
        check(
            &live,
            &[old, ("new.delivered", 99)],
            "do not advance: only 99 targets of the new side were tried, 100 are wanted",
        );
        check(
            &State::shadow(100.0),
            &[old, ("shadow.unknown", 990)],
            "do not advance: only 0 rehearsals were tried (990 said nothing), 100 are wanted",
        );
        check(&State::live(100.0), &[("new.delivered", 200)], "safe to advance");
    }
}
