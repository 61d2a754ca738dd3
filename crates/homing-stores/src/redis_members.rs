//! An enumerator in Redis.
//!
//! A set cannot be resumed (SSCAN repeats members and its cursor dies with a rehash), so it is read whole, once per listing, up to
//! `max` members, and its pages are cut from that reading in the order of the bytes.
//!
//! A sorted set is read in pages by rank. A page begins with score and member of the last one (`1.5:` and the member in
//! hex), because ranks move when members come and go: the rank is found again, read from one before it, and the page is
//! taken only if what stands there is not behind the last member. So nobody is skipped. A member whose own score changes
//! meanwhile is one that went and came.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use homing_core::lookup::Page;
use redis::{RedisResult, Value, pipe};
use tokio::time::Instant;

use crate::config::{MembersConfig, MembersType, StoreKind};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::redis_store::RedisStore;
use crate::template::Template;

const DEFAULT_MAX: usize = 100_000;

/// How long a set that was read whole is good for the pages behind the first.
const FRESH: Duration = Duration::from_secs(10);

/// Sets that are remembered at once.
const MAX_SETS: usize = 4;

/// Tries to find a place in a sorted set that is being changed.
const TRIES: usize = 20;

/// The provider of one enumerator.
pub(crate) struct RedisMembers {
    store: Arc<RedisStore>,
    kind: MembersType,
    key: Template,
    max: usize,
    /// Sets that were read, by key.
    sets: Mutex<HashMap<String, ReadSet>>,
}

/// When a set was read, and its members in order.
type ReadSet = (Instant, Arc<Vec<String>>);

/// A member of a sorted set.
#[derive(Clone, Debug, PartialEq)]
struct Ranked {
    score: f64,
    member: Vec<u8>,
}

// === impl RedisMembers ===

impl RedisMembers {
    pub(crate) fn new(name: &str, config: &MembersConfig, store: Arc<RedisStore>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::members(name, key, reason);
        config.only_for(StoreKind::Redis, name)?;
        let kind = config.kind.ok_or_else(|| wrong("type", "is missing: set or zset"))?;
        let key = config.key.as_deref().ok_or_else(|| wrong("key", "is missing: a template such as group:{id}"))?;
        let key = Template::parse(key).map_err(|at| ConfigError::misplaced_members(name, "key", at))?;
        let max = config.max.unwrap_or(DEFAULT_MAX);
        if max == 0 || (config.max.is_some() && kind == MembersType::Zset) {
            return Err(wrong("max", "is above 0, and for sets"));
        }
        Ok(Self { store, kind, key, max, sets: Mutex::default() })
    }

    pub(crate) fn store_name(&self) -> &str {
        self.store.name()
    }

    pub(crate) fn has_of(&self) -> bool {
        self.key.has_id()
    }

    /// A page; `limit` is at least 1.
    pub(crate) async fn page(&self, of: &str, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let Some(key) = self.key.render(of) else { return Ok(Page::default()) };
        match self.kind {
            MembersType::Set => self.of_a_set(&key, after, limit).await,
            MembersType::Zset => self.of_a_sorted_set(&key, after, limit).await,
        }
    }

    /// What lies at the key, if it is there and of another type. `None` where the key depends on a group.
    pub(crate) async fn check(&self) -> Result<Option<String>, Failure> {
        let Some(key) = (!self.has_of()).then(|| self.key.render("")).flatten() else { return Ok(None) };
        let expected = match self.kind {
            MembersType::Set => "set",
            MembersType::Zset => "zset",
        };
        let found = self.one(pipe().cmd("TYPE").arg(&key).ignore_errors()).await?;
        Ok(match found {
            Value::SimpleString(found) if found != expected && found != "none" => {
                Some(format!("the key {key} holds a {found}, but type = \"{expected}\" reads a {expected}"))
            }
            _ => None,
        })
    }

    async fn of_a_set(&self, key: &str, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let members = match after.and_then(|_| self.remembered(key)) {
            Some(members) => members,
            None => self.read_set(key).await?,
        };
        let start = after.map_or(0, |after| members.partition_point(|member| member.as_str() <= after));
        let page: Vec<String> = members.iter().skip(start).take(limit).cloned().collect();
        let next = page.last().filter(|_| start + page.len() < members.len()).cloned();
        if next.is_none() {
            self.sets.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
        Ok(Page { members: page, next })
    }

    fn remembered(&self, key: &str) -> Option<Arc<Vec<String>>> {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, members) = sets.get(key)?;
        (read.elapsed() < FRESH).then(|| Arc::clone(members))
    }

    async fn read_set(&self, key: &str) -> Result<Arc<Vec<String>>, Failure> {
        let size = self.one(pipe().cmd("SCARD").arg(key).ignore_errors()).await?;
        match size {
            Value::Int(size) if usize::try_from(size).is_ok_and(|size| size <= self.max) => {}
            Value::Int(size) => {
                let reason = format!(
                    "the set {key} has {size} members, and a set is read whole, up to {}: keep them in SQL, in MongoDB or \
                     in a sorted set, which are read in pages",
                    self.max
                );
                return Err(Failure::contradiction(self.store_name(), reason));
            }
            other => return Err(self.strange(key, &other)),
        }
        let found = self.one(pipe().cmd("SMEMBERS").arg(key).ignore_errors()).await?;
        let (Value::Array(values) | Value::Set(values)) = found else { return Err(self.strange(key, &found)) };
        let texts = values.into_iter().filter_map(|value| match value {
            Value::BulkString(bytes) => String::from_utf8(bytes).ok().filter(|text| !text.is_empty()),
            Value::SimpleString(text) => Some(text),
            Value::Int(n) => Some(n.to_string()),
            _ => None,
        });
        let mut members: Vec<String> = texts.collect();
        members.sort_unstable();
        let members = Arc::new(members);
        let now = Instant::now();
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|_, (read, _)| now.duration_since(*read) < FRESH);
        if sets.len() >= MAX_SETS
            && let Some(oldest) = sets.iter().min_by_key(|(_, (read, _))| *read).map(|(key, _)| key.clone())
        {
            sets.remove(&oldest);
        }
        sets.insert(key.to_owned(), (now, Arc::clone(&members)));
        Ok(members)
    }

    async fn of_a_sorted_set(&self, key: &str, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let Some(after) = after else {
            let members = self.range(key, 0, limit).await?;
            let next = members.last().filter(|_| members.len() == limit).map(Ranked::next);
            return Ok(Page { members: members.iter().filter_map(Ranked::text).collect(), next });
        };
        let after = Ranked::parse(after).ok_or_else(|| {
            Failure::contradiction(self.store_name(), format!("no page of {key} begins at `{after}`"))
        })?;
        for _ in 0..TRIES {
            // From one before the place of the first member behind the last one.
            let from = self.place(key, &after).await?.saturating_sub(1);
            let members = self.range(key, from, limit + 1).await?;
            let Some(last) = members.last().filter(|_| members.len() > limit) else {
                return Ok(Page { members: behind(&members, &after), next: None });
            };
            // What stands there is not behind the last member: nobody lies between. Else members went, and what comes
            // next has moved up.
            let whole = from == 0 || members.first().is_some_and(|before| before.cmp(&after) != Ordering::Greater);
            if whole && last.cmp(&after) == Ordering::Greater {
                return Ok(Page { members: behind(&members, &after), next: Some(last.next()) });
            }
        }
        Err(Failure::contradiction(
            self.store_name(),
            format!("the sorted set {key} changes faster than it can be read"),
        ))
    }

    /// How many members are not behind this one: its rank and one more, while it is there; else where it would stand.
    async fn place(&self, key: &str, after: &Ranked) -> Result<usize, Failure> {
        let score = after.score.to_string();
        let mut pipe = pipe();
        pipe.cmd("ZRANK").arg(key).arg(&after.member);
        pipe.cmd("ZSCORE").arg(key).arg(&after.member);
        pipe.cmd("ZCOUNT").arg(key).arg("-inf").arg(format!("({score}"));
        pipe.cmd("ZCOUNT").arg(key).arg("-inf").arg(&score);
        let mut answers = self.store.ask(pipe.ignore_errors()).await?.into_iter();
        let mut next = || self.read(answers.next());
        let (rank, now, below, up_to) = (next()?, next()?, next()?, next()?);
        if let (Value::Int(rank), Some(now)) = (&rank, number(&now))
            && now.total_cmp(&after.score) == Ordering::Equal
        {
            return Ok(usize::try_from(*rank).unwrap_or(0) + 1);
        }
        let count = |value: &Value| match value {
            Value::Int(n) => usize::try_from(*n).map_err(|_| self.strange(key, value)),
            other => Err(self.strange(key, other)),
        };
        // It is gone. Among those of its score the members stand in the order of their bytes.
        let (mut low, mut high) = (count(&below)?, count(&up_to)?);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.range(key, middle, 1).await?.first() {
                Some(found) if found.cmp(after) != Ordering::Greater => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    async fn range(&self, key: &str, from: usize, count: usize) -> Result<Vec<Ranked>, Failure> {
        let mut pipe = pipe();
        pipe.cmd("ZRANGE").arg(key).arg(from).arg(from + count - 1).arg("WITHSCORES");
        let answer = self.one(pipe.ignore_errors()).await?;
        let Value::Array(values) = answer else { return Err(self.strange(key, &answer)) };
        // RESP3 pairs them, RESP2 puts one behind the other.
        let mut flat = values.into_iter().flat_map(|value| match value {
            Value::Array(pair) => pair,
            other => vec![other],
        });
        let mut members = Vec::with_capacity(count.min(16_384));
        while let (Some(member), Some(score)) = (flat.next(), flat.next()) {
            let Value::BulkString(member) = member else { return Err(self.strange(key, &member)) };
            let score = number(&score).ok_or_else(|| self.strange(key, &score))?;
            members.push(Ranked { score, member });
        }
        Ok(members)
    }

    async fn one(&self, pipe: &redis::Pipeline) -> Result<Value, Failure> {
        let answer = self.store.ask(pipe).await?.into_iter().next();
        self.read(answer)
    }

    fn read(&self, answer: Option<RedisResult<Value>>) -> Result<Value, Failure> {
        answer.unwrap_or(Ok(Value::Nil)).map_err(|error| Failure::driver(self.store_name(), error))
    }

    fn strange(&self, key: &str, value: &Value) -> Failure {
        let reason = match value {
            Value::ServerError(error) => error.to_string(),
            _ => format!("answers strangely about the {:?} {key}", self.kind).to_lowercase(),
        };
        Failure::contradiction(self.store_name(), reason)
    }
}

// === impl Ranked ===

impl Ranked {
    /// The order of a sorted set.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| self.member.cmp(&other.member))
    }

    /// One that is no text is nobody's id.
    fn text(&self) -> Option<String> {
        String::from_utf8(self.member.clone()).ok().filter(|text| !text.is_empty())
    }

    /// Where a page begins that comes behind it.
    fn next(&self) -> String {
        let hex: String = self.member.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{hex}", self.score)
    }

    fn parse(text: &str) -> Option<Self> {
        let (score, hex) = text.split_once(':').filter(|(_, hex)| hex.len() % 2 == 0)?;
        let digits = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        Some(Self { score: score.parse().ok()?, member: digits.collect::<Option<_>>()? })
    }
}

/// Those behind a place, as text.
fn behind(members: &[Ranked], after: &Ranked) -> Vec<String> {
    let behind = members.iter().filter(|member| member.cmp(after) == Ordering::Greater);
    behind.filter_map(Ranked::text).collect()
}

/// Minus zero is zero.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Double(n) => Some(*n),
        Value::Int(n) => n.to_string().parse().ok(),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        Value::SimpleString(text) => text.parse().ok(),
        _ => None,
    };
    number.map(|n: f64| n + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text() {
        for (score, member) in [(0.0, "a"), (-1.5, ""), (f64::INFINITY, "x:y"), (f64::NEG_INFINITY, "ü"), (1e300, "1")]
        {
            let ranked = Ranked { score, member: member.into() };
            assert_eq!(Ranked::parse(&ranked.next()), Some(ranked));
        }
        let bytes = Ranked { score: 0.1 + 0.2, member: vec![0xff, 0] };
        assert_eq!(Ranked::parse(&bytes.next()), Some(bytes));
        for text in ["", "1", "x:61", "1:6", "1:zz"] {
            assert_eq!(Ranked::parse(text), None, "{text}");
        }
    }
}
