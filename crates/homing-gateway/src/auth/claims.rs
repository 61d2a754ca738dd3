//! A token's claims, read where they are asked for. Numbers are taken as they were written, of any length.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use homing_core::clock::Millis;
use serde_json::value::RawValue;

use crate::rpc::json::{check_name, is_null, name, text};

/// Most groups of a token.
const MOST_GROUPS: usize = 100;

/// An object of JSON.
pub(super) struct Claims<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Claims<'a> {
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// What stands under a name, or at the end of a dotted path. `null` is nothing.
    pub(super) fn get(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.0.get(path) {
            return Some(*value).filter(|value| !is_null(value));
        }
        // Names may hold dots themselves: `https://example.com/user`.
        path.match_indices('.').find_map(|(at, _)| {
            let (first, rest) = (path.get(..at)?, path.get(at + 1..)?);
            let inner = self.0.get(first)?;
            Claims::read(inner.get().as_bytes())?.get(rest)
        })
    }

    /// A point in time (RFC 7519, section 2: NumericDate), in milliseconds.
    ///
    /// # Errors
    /// It is no number.
    pub(super) fn time(&self, claim: &str) -> Result<Option<Millis>, ()> {
        let Some(raw) = self.get(claim) else { return Ok(None) };
        let seconds: f64 = serde_json::from_str(raw.get()).map_err(|_| ())?;
        #[expect(clippy::cast_possible_truncation, reason = "a number too large is the end of time")]
        Ok(Some((seconds * 1_000.0) as Millis))
    }

    /// A text, or some.
    pub(super) fn texts(&self, claim: &str) -> Result<Option<Vec<Cow<'a, str>>>, ()> {
        let Some(raw) = self.get(claim) else { return Ok(None) };
        if raw.get().starts_with('"') {
            return serde_json::from_str(raw.get()).map(|text| Some(vec![text])).map_err(|_| ());
        }
        serde_json::from_str(raw.get()).map(Some).map_err(|_| ())
    }

    /// The user.
    pub(super) fn user(&self, claim: &str) -> Result<Arc<str>, String> {
        let raw = self.get(claim).ok_or("the token names no user")?;
        name(raw).map_err(|what| format!("the token's user: {what}"))
    }

    /// The groups, each once.
    pub(super) fn groups(&self, claim: &str) -> Result<Vec<Arc<str>>, String> {
        let Some(raw) = self.get(claim) else { return Ok(Vec::new()) };
        let wrong = |what: &str| format!("the token's groups: {what}");
        let list: Vec<&RawValue> = if raw.get().starts_with('[') {
            serde_json::from_str(raw.get()).map_err(|_| wrong("expected a list"))?
        } else {
            vec![raw]
        };
        if list.len() > MOST_GROUPS {
            return Err(wrong("there are more than 100"));
        }
        let mut groups: Vec<Arc<str>> = Vec::with_capacity(list.len());
        for raw in list {
            let group = text(raw).ok_or_else(|| wrong("expected texts or whole numbers"))?;
            check_name(&group).map_err(wrong)?;
            if !groups.iter().any(|known| **known == *group) {
                groups.push(group.into());
            }
        }
        Ok(groups)
    }
}
