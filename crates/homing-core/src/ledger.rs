//! Counters per shard, and the balances that must hold between them at every instant.

use std::{borrow::Cow, collections::BTreeMap};

/// A set of named counters, or of changes to them. Fields are made by
/// [`Stage::field`](crate::record::Stage::field) and the constants in [`field`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Cow<'static, str>, i64>);

impl Counts {
    /// Adds `n` to `field`.
    pub fn add(&mut self, field: impl Into<Cow<'static, str>>, n: i64) {
        if n != 0 {
            *self.0.entry(field.into()).or_default() += n;
        }
    }

    /// Adds every counter of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (field, n) in &other.0 {
            self.add(field.clone(), *n);
        }
    }

    /// The counter's value; 0 if it was never counted.
    pub fn get(&self, field: &str) -> i64 {
        self.0.get(field).copied().unwrap_or(0)
    }

    /// Sum of the counters whose names begin with `prefix`.
    pub fn sum(&self, prefix: &str) -> i64 {
        self.0.iter().filter(|(f, _)| f.starts_with(prefix)).map(|(_, n)| n).sum()
    }

    /// All counters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(f, n)| (f.as_ref(), *n))
    }

    /// No counter at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, i64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(f, n)| (Cow::Owned(f), n)).collect())
    }
}
