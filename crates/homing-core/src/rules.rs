//! Who may be told: pure functions over facts, in order; the first that refuses ends it.

use std::{collections::HashMap, sync::Arc};

use crate::{
    clock::Millis,
    lookup::{Lookup, Row, Verdict},
};

/// What the lookups answered for one user, by the lookup's name.
pub type Facts = HashMap<Arc<str>, Vec<Row>>;

/// One rule. It reads facts and the time that it is given, and nothing else.
pub trait Rule: Send + Sync {
    /// Its name in records, counters and explain: `login`, `online`, `account`, `dnd`.
    fn name(&self) -> &str;

    /// The lookup whose rows it reads.
    fn lookup(&self) -> &Arc<str>;

    /// May the user be told, and what was seen.
    fn judge(&self, rows: &[Row], now: Millis) -> Verdict;
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

    fn lookup(&self) -> &Arc<str> {
        &self.key
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Verdict {
        self.lookup.judge(rows, now)
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

    fn lookup(&self) -> &Arc<str> {
        &self.key
    }

    fn judge(&self, rows: &[Row], _now: Millis) -> Verdict {
        let seen = if rows.is_empty() { "missing" } else { "present" };
        Verdict { pass: !rows.is_empty(), seen: seen.to_owned() }
    }
}

/// A rule that said no, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's name.
    pub rule: String,
    /// What it saw.
    pub seen: String,
}

/// The first refusal of a user, in the order of the rules; `None` when all pass. A lookup without an answer counts as
/// one without rows.
pub fn first_refusal(rules: &[Arc<dyn Rule>], facts: &Facts, now: Millis) -> Option<Refusal> {
    rules.iter().find_map(|rule| {
        let rows = facts.get(rule.lookup()).map(Vec::as_slice).unwrap_or_default();
        let verdict = rule.judge(rows, now);
        (!verdict.pass).then(|| Refusal { rule: rule.name().to_owned(), seen: verdict.seen })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, Arc<str>, bool);

    impl Rule for Fixed {
        fn name(&self) -> &str {
            self.0
        }
        fn lookup(&self) -> &Arc<str> {
            &self.1
        }
        fn judge(&self, rows: &[Row], _: Millis) -> Verdict {
            Verdict { pass: self.2 && !rows.is_empty(), seen: format!("{} rows", rows.len()) }
        }
    }

    #[test]
    fn the_first_refusal_ends_it() {
        let rule = |name, pass| Arc::new(Fixed(name, "facts".into(), pass)) as Arc<dyn Rule>;
        let facts: Facts = [("facts".into(), vec![Row::new()])].into_iter().collect();
        assert_eq!(first_refusal(&[rule("a", true), rule("b", true)], &facts, 0), None);
        let refusal = first_refusal(&[rule("a", true), rule("b", false), rule("c", false)], &facts, 0);
        assert_eq!(refusal, Some(Refusal { rule: "b".into(), seen: "1 rows".into() }));
        let missing = first_refusal(&[rule("a", true)], &Facts::new(), 0);
        assert_eq!(missing, Some(Refusal { rule: "a".into(), seen: "0 rows".into() }));
    }
}
