//! The simulator's memory. One lock, held for a few lines at a time and never over an await.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use homing_core::{clock::Millis, notification::Platform};
use serde::Serialize;

use super::{
    check::{Push, Refusal},
    config::{Faults, SimulatorConfig},
    dice::Dice,
};

/// Ids (and pairs of id and token) that are told apart; later ones only count as deliveries.
const DISTINCT: usize = 16_000_000;

/// One accepted push. Copies are cheap.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) seq: u64,
    pub(super) received_at_ms: Millis,
    pub(super) access_id: u64,
    pub(super) platform: Platform,
    pub(super) message_type: u8,
    pub(super) token: Arc<str>,
    pub(super) message: Arc<str>,
    pub(super) id: Option<Arc<str>>,
    token_hash: u64,
}

/// Counts since the start or the last reset.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Stats {
    /// Push requests begun.
    pub(super) total: u64,
    /// Replies by `ret_code`.
    pub(super) by_code: BTreeMap<i64, u64>,
    /// Pushes accepted, whether their reply arrived or not.
    pub(super) deliveries: u64,
    /// Different ids among them.
    pub(super) distinct_ids: u64,
    /// Deliveries of an id to a token that had it already.
    pub(super) repeats: u64,
    /// Whether `distinct_ids` and `repeats` are whole: their memory is bounded.
    pub(super) distinct_complete: bool,
    /// Connections cut before the body was read.
    pub(super) dropped_before: u64,
    /// Connections cut after the push was accepted.
    pub(super) dropped_after: u64,
    /// Answers with `http_status`.
    pub(super) http_faults: u64,
}

/// What chance and faults have in store for one request.
pub(super) struct Plan {
    pub(super) wait: Duration,
    pub(super) drop_before: bool,
    pub(super) http_status: Option<u16>,
    pub(super) retry_after: Option<u64>,
    /// Seconds that the service's clock is ahead.
    pub(super) skew_s: i64,
    answer: Option<Refusal>,
    drop_after: bool,
}

/// How a request ends.
pub(super) enum Ending {
    Reply(Result<(), Refusal>),
    Cut,
}

pub(super) struct Memory {
    keep: usize,
    initial: Faults,
    inner: Mutex<Inner>,
}

struct Inner {
    faults: Faults,
    dice: Dice,
    deliveries: VecDeque<Delivery>,
    last_seq: u64,
    ids: HashSet<u64>,
    pairs: HashSet<u64>,
    stats: Stats,
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(config: &SimulatorConfig) -> Self {
        let inner = Mutex::new(Inner::new(config.faults.clone()));
        Self { keep: config.keep.max(1), initial: config.faults.clone(), inner }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws the dice for a request: always the same number of throws, so that a seed gives one sequence.
    pub(super) fn plan(&self) -> Plan {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.stats.total += 1;
        let (faults, dice) = (&inner.faults, &mut inner.dice);
        let jitter = dice.up_to(faults.jitter_ms);
        let drop_before = dice.hits(faults.drop_before);
        let drop_after = dice.hits(faults.drop_after);
        let answered = dice.hits(faults.answer_rate);
        let plan = Plan {
            wait: Duration::from_millis(faults.latency_ms.saturating_add(jitter)),
            drop_before,
            drop_after,
            http_status: faults.http_status.filter(|_| answered),
            retry_after: faults.retry_after,
            skew_s: faults.accept_skew_s,
            answer: faults.answer.filter(|_| answered).map(|code| Refusal(code, faults.answer_text.clone())),
        };
        if plan.drop_before {
            inner.stats.dropped_before += 1;
        } else if plan.http_status.is_some() {
            inner.stats.http_faults += 1;
        }
        plan
    }

    /// Takes in what the checks said, and tells how the request ends.
    pub(super) fn settle(&self, checked: Result<Push, Refusal>, plan: &mut Plan, now: Millis) -> Ending {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let outcome = checked.and_then(|push| match plan.answer.take() {
            Some(answer) if answer.0 != 0 => Err(answer),
            _ if inner.faults.is_dead(&push.token) => Err(Refusal(40, "device token is not registered".to_owned())),
            _ => Ok(push),
        });
        match outcome {
            Ok(push) => {
                inner.record(push, now, self.keep);
                if plan.drop_after {
                    inner.stats.dropped_after += 1;
                    return Ending::Cut;
                }
                *inner.stats.by_code.entry(0).or_default() += 1;
                Ending::Reply(Ok(()))
            }
            Err(refusal) => {
                *inner.stats.by_code.entry(refusal.0).or_default() += 1;
                Ending::Reply(Err(refusal))
            }
        }
    }

    pub(super) fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    /// Replaces the whole set and starts its sequence.
    pub(super) fn set_faults(&self, faults: Faults) {
        let mut inner = self.lock();
        inner.dice = Dice::new(faults.seed);
        inner.faults = faults;
    }

    pub(super) fn reset(&self) {
        let fresh = Inner::new(self.initial.clone());
        // The old memory may be large: it is freed after the lock.
        let old = std::mem::replace(&mut *self.lock(), fresh);
        drop(old);
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Up to `limit` deliveries after `seq`, oldest first.
    pub(super) fn after(&self, seq: u64, limit: usize) -> Vec<Delivery> {
        let inner = self.lock();
        let first = inner.deliveries.front().map_or(0, |delivery| delivery.seq);
        // Sequence numbers have no gaps, so the position is a difference.
        let skip = usize::try_from(seq.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        inner.deliveries.iter().skip(skip).take(limit).cloned().collect()
    }

    /// Up to `limit` deliveries to `token`, newest first.
    pub(super) fn of_token(&self, token: &str, limit: usize) -> Vec<Delivery> {
        let hash = hash(&token);
        let inner = self.lock();
        let newest = inner.deliveries.iter().rev();
        newest
            .filter(|delivery| delivery.token_hash == hash && &*delivery.token == token)
            .take(limit)
            .cloned()
            .collect()
    }
}

// === impl Inner ===

impl Inner {
    fn new(faults: Faults) -> Self {
        Self {
            dice: Dice::new(faults.seed),
            faults,
            deliveries: VecDeque::new(),
            last_seq: 0,
            ids: HashSet::new(),
            pairs: HashSet::new(),
            stats: Stats { distinct_complete: true, ..Stats::default() },
        }
    }

    fn record(&mut self, push: Push, now: Millis, keep: usize) {
        self.stats.deliveries += 1;
        if let Some(id) = &push.id {
            self.tell_apart(id, &push.token);
        }
        while self.deliveries.len() >= keep {
            self.deliveries.pop_front();
        }
        self.last_seq += 1;
        self.deliveries.push_back(Delivery {
            seq: self.last_seq,
            received_at_ms: now,
            access_id: push.access_id,
            platform: push.platform,
            message_type: push.message_type,
            token_hash: hash(&push.token),
            token: push.token.into(),
            message: push.message.into(),
            id: push.id.map(Into::into),
        });
    }

    fn tell_apart(&mut self, id: &str, token: &str) {
        if self.pairs.len() >= DISTINCT {
            self.stats.distinct_complete = false;
            return;
        }
        if self.ids.insert(hash(&id)) {
            self.stats.distinct_ids += 1;
        }
        if !self.pairs.insert(hash(&(id, token))) {
            self.stats.repeats += 1;
        }
    }
}

/// 64 bits tell 16 million pairs apart with an error in some 10^5 runs.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
