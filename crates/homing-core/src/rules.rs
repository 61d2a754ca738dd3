//! Who may be told: pure functions over facts, in order; the first that refuses ends it.

use std::{collections::HashMap, sync::Arc};

use crate::{
    clock::Millis,
    lookup::{Lookup, Row, Verdict},
    quiet::QuietHours,
};

/// What the lookups answered for one user, by the lookup's name.
pub type Facts = HashMap<Arc<str>, Vec<Row>>;

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The message goes on.
    Pass,
    /// The recipient is not told.
    Skip,
    /// Not now; it is judged again at this time.
    Defer(Millis),
}

/// What a rule says of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// What was seen, for records and explain: `value=1`, `missing`.
    pub seen: String,
}

impl From<Verdict> for Ruling {
    fn from(verdict: Verdict) -> Self {
        Self { decision: if verdict.pass { Decision::Pass } else { Decision::Skip }, seen: verdict.seen }
    }
}

/// One rule. It reads facts and the time that it is given, and nothing else.
pub trait Rule: Send + Sync {
    /// Its name in records, counters and explain: `login`, `online`, `account`, `dnd`, `quiet`.
    fn name(&self) -> &str;

    /// The lookup whose rows it reads; `None` where it needs none.
    fn lookup(&self) -> Option<&Arc<str>>;

    /// May the user be told, and what was seen.
    fn judge(&self, rows: &[Row], now: Millis) -> Ruling;

    /// Does it hold back live ways (MQTT, sockets), too? Those that only keep from waking somebody do not: by their names `online`,
    /// `focus`, `dnd` and `quiet`.
    fn holds_live(&self) -> bool {
        !matches!(self.name(), "online" | "focus" | "dnd" | "quiet")
    }
}

/// Passes where the lookup's `accept` expression holds.
pub struct Accepts {
    name: String,
    key: Arc<str>,
    lookup: Arc<dyn Lookup>,
}

impl Accepts {
    /// The rule `name` over `lookup`.
    pub fn new(name: impl Into<String>, lookup: Arc<dyn Lookup>) -> Self {
        Self { name: name.into(), key: lookup.name().into(), lookup }
    }
}

impl Rule for Accepts {
    fn name(&self) -> &str {
        &self.name
    }

    fn lookup(&self) -> Option<&Arc<str>> {
        Some(&self.key)
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Ruling {
        self.lookup.judge(rows, now).into()
    }
}

/// Passes where the lookup has a row at all: the account exists.
pub struct Exists {
    name: String,
    key: Arc<str>,
}

impl Exists {
    /// The rule `name` over the lookup `key`.
    pub fn new(name: impl Into<String>, key: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), key: key.into() }
    }
}

impl Rule for Exists {
    fn name(&self) -> &str {
        &self.name
    }

    fn lookup(&self) -> Option<&Arc<str>> {
        Some(&self.key)
    }

    fn judge(&self, rows: &[Row], _now: Millis) -> Ruling {
        let (decision, seen) = if rows.is_empty() { (Decision::Skip, "missing") } else { (Decision::Pass, "present") };
        Ruling { decision, seen: seen.to_owned() }
    }
}

/// Where users live and when they sleep: what a profile does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileDefaults {
    /// Language of the texts.
    pub locale: String,
    /// Time zone.
    pub zone: String,
    /// Quiet hours, in texts as a profile has them: from, to.
    pub quiet: Option<(String, String)>,
}

/// Defers while it is night where the recipient lives.
pub struct Quiet {
    lookup: Option<Arc<str>>,
    defaults: ProfileDefaults,
}

impl Quiet {
    /// Over the lookup of profiles (columns `time_zone`, `quiet_from`, `quiet_to`), where there is one.
    pub fn new(lookup: Option<Arc<str>>, defaults: ProfileDefaults) -> Self {
        Self { lookup, defaults }
    }
}

impl Rule for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }

    fn lookup(&self) -> Option<&Arc<str>> {
        self.lookup.as_ref()
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Ruling {
        let hours = quiet_hours(rows, &self.defaults);
        match hours.as_ref().and_then(|hours| hours.ends(now)) {
            Some(until) => Ruling { decision: Decision::Defer(until), seen: seen(hours.as_ref()) },
            None => Ruling { decision: Decision::Pass, seen: seen(hours.as_ref()) },
        }
    }
}

fn seen(hours: Option<&QuietHours>) -> String {
    match hours {
        None => "no quiet hours".to_owned(),
        Some(QuietHours { from, to, zone }) => {
            format!("quiet from {}:{:02} to {}:{:02} {zone}", from / 60, from % 60, to / 60, to % 60)
        }
    }
}

/// The column of a [`Presence`] row with the time of the first judgement, where this one is a later one.
pub const JUDGED_AT: &str = "judged_at";

/// Keeps from waking who is on a socket, and gives one who has just gone a moment to come back.
///
/// Over a lookup of the gateway's presence: `sessions` (and `nodes`, to be shown) on nodes that are alive, `gone_at` = when
/// the last one ended, in milliseconds since 1970. Whoever it knows nothing of is not there. A message that was read on a
/// socket never comes here again; the distributor ends it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    key: Arc<str>,
    grace: Millis,
    confirm: Option<Millis>,
}

impl Presence {
    /// Over the lookup `key`. Who has gone within `grace` is judged again when that is over. With `confirm`, who is there is
    /// judged again that long after the first judgement, and then passes: the message was not read, the socket may be half
    /// dead. Without it, who is there is skipped.
    pub fn new(key: impl Into<Arc<str>>, grace: Millis, confirm: Option<Millis>) -> Self {
        Self { key: key.into(), grace, confirm }
    }
}

impl Rule for Presence {
    /// As every rule that says who is there.
    fn name(&self) -> &'static str {
        "online"
    }

    fn lookup(&self) -> Option<&Arc<str>> {
        Some(&self.key)
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Ruling {
        let number = |column: &str| rows.first().and_then(|row| row.get(column)?.parse::<Millis>().ok());
        let sessions = number("sessions").unwrap_or(0);
        // A clock that was set back makes nobody wait for longer.
        let first = number(JUDGED_AT).map_or(now, |first| first.min(now));
        if sessions > 0 {
            let there = match number("nodes") {
                Some(nodes) => format!("{sessions} session(s) on {nodes} node(s)"),
                None => format!("{sessions} session(s)"),
            };
            let Some(confirm) = self.confirm else { return Ruling { decision: Decision::Skip, seen: there } };
            let until = first.saturating_add(confirm);
            return if now < until {
                Ruling { decision: Decision::Defer(until), seen: format!("{there}, not read yet") }
            } else {
                Ruling { decision: Decision::Pass, seen: format!("{there}, not read within {confirm} ms") }
            };
        }
        let Some(gone) = number("gone_at") else {
            return Ruling { decision: Decision::Pass, seen: "no session".to_owned() };
        };
        // The gateway's clock may be ahead of ours.
        let gone = gone.min(now);
        let until = gone.saturating_add(self.grace);
        let seen = format!("no session, the last one ended {} ms ago", now - gone);
        // Who comes and goes all the time is waited for once.
        let waited = now - first >= self.grace;
        Ruling { decision: if now < until && !waited { Decision::Defer(until) } else { Decision::Pass }, seen }
    }
}

/// A recipient's quiet hours: what the profile says, for what it does not say the defaults. What cannot be read there (a
/// time zone that nobody knows) counts as not said.
pub fn quiet_hours(rows: &[Row], defaults: &ProfileDefaults) -> Option<QuietHours> {
    let own = |column: &str| rows.first().and_then(|row| row.get(column)).map(String::as_str).filter(|s| !s.is_empty());
    let time = |column: &str| own(column).filter(|time| QuietHours::parse(time, time, "UTC").is_ok());
    let zone = own("time_zone").filter(|zone| QuietHours::parse("0", "0", zone).is_ok()).unwrap_or(&defaults.zone);
    let usual = defaults.quiet.as_ref();
    let from = time("quiet_from").or(usual.map(|(from, _)| from.as_str()))?;
    let to = time("quiet_to").or(usual.map(|(_, to)| to.as_str()))?;
    QuietHours::parse(from, to, zone).ok()
}

/// A rule that did not say yes, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's name.
    pub rule: String,
    /// What it saw.
    pub seen: String,
    /// It is only for now: judge again at this time.
    pub until: Option<Millis>,
}

/// The first refusal of a user, in the order of the rules; `None` when all pass. A lookup without an answer counts as
/// one without rows. A rule that defers ends it only if no later one refuses for good.
pub fn first_refusal(rules: &[Arc<dyn Rule>], facts: &Facts, now: Millis) -> Option<Refusal> {
    let mut deferred: Option<Refusal> = None;
    for rule in rules {
        let Ruling { decision, seen } = rule.judge(rows_of(rule, facts), now);
        let refusal = |until| Refusal { rule: rule.name().to_owned(), seen, until };
        match decision {
            Decision::Pass => {}
            Decision::Skip => return Some(refusal(None)),
            Decision::Defer(until) if deferred.as_ref().is_none_or(|d| d.until < Some(until)) => {
                deferred = Some(refusal(Some(until)));
            }
            Decision::Defer(_) => {}
        }
    }
    deferred
}

/// Does every rule let the user be told by a way that wakes nobody?
pub fn passes_live(rules: &[Arc<dyn Rule>], facts: &Facts, now: Millis) -> bool {
    let mut holding = rules.iter().filter(|rule| rule.holds_live());
    holding.all(|rule| rule.judge(rows_of(rule, facts), now).decision == Decision::Pass)
}

fn rows_of<'a>(rule: &Arc<dyn Rule>, facts: &'a Facts) -> &'a [Row] {
    rule.lookup().and_then(|lookup| facts.get(lookup)).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, Arc<str>, Decision);

    impl Rule for Fixed {
        fn name(&self) -> &str {
            self.0
        }
        fn lookup(&self) -> Option<&Arc<str>> {
            Some(&self.1)
        }
        fn judge(&self, rows: &[Row], _: Millis) -> Ruling {
            let decision = if rows.is_empty() { Decision::Skip } else { self.2 };
            Ruling { decision, seen: format!("{} rows", rows.len()) }
        }
    }

    fn rule(name: &'static str, decision: Decision) -> Arc<dyn Rule> {
        Arc::new(Fixed(name, "facts".into(), decision))
    }

    fn refused(rule: &str, seen: &str, until: Option<Millis>) -> Option<Refusal> {
        Some(Refusal { rule: rule.into(), seen: seen.into(), until })
    }

    #[test]
    fn the_first_refusal_ends_it() {
        use Decision::{Defer, Pass, Skip};
        let facts: Facts = [("facts".into(), vec![Row::new()])].into_iter().collect();
        let judge = |rules: &[Arc<dyn Rule>]| first_refusal(rules, &facts, 0);
        assert_eq!(judge(&[rule("a", Pass), rule("b", Pass)]), None);
        assert_eq!(judge(&[rule("a", Pass), rule("b", Skip), rule("c", Skip)]), refused("b", "1 rows", None));
        assert_eq!(first_refusal(&[rule("a", Pass)], &Facts::new(), 0), refused("a", "0 rows", None));
        let deferred = [rule("a", Defer(5)), rule("b", Defer(9)), rule("c", Pass)];
        assert_eq!(judge(&deferred), refused("b", "1 rows", Some(9)), "until the last of them lets it pass");
        assert_eq!(judge(&[rule("a", Defer(5)), rule("b", Skip)]), refused("b", "1 rows", None));
    }

    #[test]
    fn live_ways_are_held_back_only_by_what_is_no_matter_of_waking() {
        use Decision::{Defer, Pass, Skip};
        let facts: Facts = [("facts".into(), vec![Row::new()])].into_iter().collect();
        let passes = |rules: &[Arc<dyn Rule>]| passes_live(rules, &facts, 0);
        assert!(passes(&[rule("login", Pass), rule("online", Skip), rule("dnd", Skip), rule("quiet", Defer(5))]));
        assert!(!passes(&[rule("online", Skip), rule("account", Skip)]));
        assert!(!passes(&[rule("mine", Defer(5))]));
        assert!(!passes_live(&[rule("login", Pass)], &Facts::new(), 0));
    }

    #[track_caller]
    fn presence(rule: &Presence, row: &[(&str, Millis)], now: Millis, decision: Decision, seen: &str) {
        let row: Row = row.iter().map(|(column, value)| ((*column).to_owned(), value.to_string())).collect();
        assert_eq!(rule.judge(&[row], now), Ruling { decision, seen: seen.into() });
    }

    #[test]
    fn who_is_on_a_socket_is_not_woken() {
        use Decision::{Defer, Pass, Skip};
        let rule = Presence::new("presence", 5_000, None);
        assert!(!rule.holds_live());
        assert_eq!(rule.judge(&[], 0).decision, Pass, "nobody knows of a socket");
        presence(&rule, &[("sessions", 2), ("nodes", 1)], 9_000, Skip, "2 session(s) on 1 node(s)");
        presence(&rule, &[("sessions", 1), (JUDGED_AT, 1_000)], 90_000, Skip, "1 session(s)");
        presence(&rule, &[("sessions", 0)], 9_000, Pass, "no session");
        let confirm = Presence::new("presence", 5_000, Some(10_000));
        let there = [("sessions", 1), ("nodes", 1), ("gone_at", 8_000)];
        presence(&confirm, &there, 9_000, Defer(19_000), "1 session(s) on 1 node(s), not read yet");
        let again = |now, decision, seen| {
            presence(&confirm, &[("sessions", 1), (JUDGED_AT, 9_000)], now, decision, seen);
        };
        again(14_000, Defer(19_000), "1 session(s), not read yet");
        again(19_000, Pass, "1 session(s), not read within 10000 ms");
        again(8_000, Defer(18_000), "1 session(s), not read yet");
    }

    #[test]
    fn who_has_just_gone_is_waited_for_once() {
        use Decision::{Defer, Pass};
        let rule = Presence::new("presence", 5_000, None);
        let gone = |at, first: Option<Millis>, now, decision, ago: i64| {
            let row = [("sessions", 0), ("gone_at", at), (JUDGED_AT, first.unwrap_or(now))];
            let row = &row[..if first.is_some() { 3 } else { 2 }];
            presence(&rule, row, now, decision, &format!("no session, the last one ended {ago} ms ago"));
        };
        gone(8_000, None, 9_000, Defer(13_000), 1_000);
        gone(8_000, Some(9_000), 13_000, Pass, 5_000);
        gone(4_000, None, 9_000, Pass, 5_000);
        gone(60_000, None, 9_000, Defer(14_000), 0);
        gone(60_000, Some(9_000), 14_000, Pass, 0);
        gone(12_500, Some(9_000), 13_000, Defer(17_500), 500);
        gone(17_000, Some(9_000), 17_500, Pass, 500);
        let none = Presence::new("presence", 0, None);
        assert_eq!(none.judge(&[[("gone_at".to_owned(), "5".to_owned())].into()], 5).decision, Pass);
    }

    #[test]
    fn quiet_hours_come_from_the_profile_or_the_lane() {
        let night = Some(("23:00".to_owned(), "08:00".to_owned()));
        let defaults = ProfileDefaults { locale: "zh".into(), zone: "Asia/Shanghai".into(), quiet: night };
        let profile = |fields: &[(&str, &str)]| -> Vec<Row> {
            vec![fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()]
        };
        let hours = |rows: &[Row]| quiet_hours(rows, &defaults).map(|h| (h.from, h.to, h.zone));
        assert_eq!(hours(&[]), Some((1380, 480, "Asia/Shanghai".into())));
        assert_eq!(hours(&profile(&[("time_zone", "Europe/Berlin")])), Some((1380, 480, "Europe/Berlin".into())));
        assert_eq!(hours(&profile(&[("quiet_from", "22:30"), ("quiet_to", "")])).map(|h| h.0), Some(1350));
        assert_eq!(hours(&profile(&[("time_zone", "Mars")])), Some((1380, 480, "Asia/Shanghai".into())));
        let mars = profile(&[("time_zone", "Mars"), ("quiet_from", "12:00"), ("quiet_to", "13:00")]);
        assert_eq!(
            hours(&mars),
            Some((720, 780, "Asia/Shanghai".into())),
            "the hours are the recipient's all the same"
        );
        let typo = profile(&[("time_zone", "UTC"), ("quiet_from", "noon"), ("quiet_to", "13:00")]);
        assert_eq!(hours(&typo), Some((1380, 780, "UTC".into())));
        let none = ProfileDefaults { quiet: None, ..defaults.clone() };
        assert_eq!(quiet_hours(&[], &none), None);
        assert_eq!(quiet_hours(&typo, &none), None);
        assert_eq!(quiet_hours(&mars, &none).map(|h| h.zone), Some("Asia/Shanghai".into()), "a night without a zone");
        let midnight = 1_795_190_400_000; // 2026-11-21T00:00+08:00
        let ruling = Quiet::new(None, defaults).judge(&[], midnight);
        assert_eq!(ruling.decision, Decision::Defer(midnight + 8 * 3_600_000));
        assert_eq!(ruling.seen, "quiet from 23:00 to 8:00 Asia/Shanghai");
    }
}
