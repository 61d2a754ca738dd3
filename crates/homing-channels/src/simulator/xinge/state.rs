//! The simulator's memory. One lock, held for the length of a page at most and never over an await.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use homing_core::clock::Millis;
use serde::Serialize;
use serde_json::Value;

use super::super::dice::Dice;
use super::{
    config::{Faults, Flavour, SimulatorConfig},
    fields::Fault,
    order::{Content, Order, Refusal, Reply, To},
    shelf::{Delivery, Shelf},
    tasks::{Tasks, Unusable},
};

/// Counts since the start or the last reset.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Stats {
    /// Requests begun.
    pub(super) total: u64,
    /// The same by path.
    pub(super) calls: BTreeMap<String, u64>,
    /// Replies by `ret_code`.
    pub(super) by_code: BTreeMap<i64, u64>,
    /// Pushes accepted, one per device, whether their reply arrived or not.
    pub(super) deliveries: u64,
    /// Devices of accepted pages that got nothing: they are not registered.
    pub(super) unreached: u64,
    /// Accepted calls whose devices the simulator does not know: accounts, tags, everybody.
    pub(super) nobody: u64,
    /// Devices of the largest accepted page.
    pub(super) largest_page: usize,
    /// Tasks made.
    pub(super) tasks: u64,
    /// Accepted pages of the task that had most.
    pub(super) most_pages_of_a_task: u64,
    /// Different ids among the deliveries.
    pub(super) distinct_ids: u64,
    /// Deliveries of an id to a token that had it already.
    pub(super) repeats: u64,
    /// Whether `distinct_ids` and `repeats` are whole: their memory is bounded.
    pub(super) distinct_complete: bool,
    /// Connections cut before the body was read.
    pub(super) dropped_before: u64,
    /// Connections cut after the request was accepted.
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
    answer: Option<(i64, String, Option<Value>)>,
    drop_after: bool,
}

/// How a request ends.
pub(super) enum Ending {
    Reply(Reply),
    Cut,
}

/// When a request is settled.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// Milliseconds on the machine's clock.
    pub(super) received: Millis,
    /// Unix seconds on the service's clock.
    pub(super) server: i64,
}

pub(super) struct Memory {
    config: SimulatorConfig,
    inner: Mutex<Inner>,
}

struct Inner {
    faults: Faults,
    dice: Dice,
    shelf: Shelf,
    tasks: Tasks,
    distinct: usize,
    ids: HashSet<u64>,
    pairs: HashSet<u64>,
    stats: Stats,
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(config: SimulatorConfig) -> Self {
        let inner = Mutex::new(Inner::new(&config));
        Self { config, inner }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws the dice for a request: always the same number of throws, so that a seed gives one sequence.
    pub(super) fn plan(&self, path: &str) -> Plan {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.stats.total += 1;
        match inner.stats.calls.get_mut(path) {
            Some(calls) => *calls += 1,
            // Only known paths come here.
            None => drop(inner.stats.calls.insert(path.to_owned(), 1)),
        }
        let (faults, dice) = (&inner.faults, &mut inner.dice);
        let met = faults.meet(path);
        let jitter = dice.up_to(faults.jitter_ms);
        let drop_before = dice.hits(faults.drop_before) && met;
        let drop_after = dice.hits(faults.drop_after) && met;
        let answered = dice.hits(faults.answer_rate) && met;
        let wait = if met { faults.latency_ms.saturating_add(jitter) } else { 0 };
        let answer = faults.answer.filter(|code| answered && *code != 0);
        let plan = Plan {
            wait: Duration::from_millis(wait),
            drop_before,
            drop_after,
            http_status: faults.http_status.filter(|_| answered),
            retry_after: faults.retry_after,
            skew_s: faults.accept_skew_s,
            answer: answer.map(|code| (code, faults.answer_text.clone(), faults.answer_result.clone())),
        };
        if plan.drop_before {
            inner.stats.dropped_before += 1;
        } else if plan.http_status.is_some() {
            inner.stats.http_faults += 1;
        }
        plan
    }

    /// Takes in what the checks said, and tells how the request ends.
    pub(super) fn settle(&self, checked: Result<Order, Refusal>, plan: &mut Plan, time: Time) -> Ending {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let outcome = checked.and_then(|order| match plan.answer.take() {
            Some((code, text, result)) => Err(Refusal { flavour: order.flavour(), code, text, result }),
            None => inner.accept(order, time),
        });
        let accepted = outcome.is_ok();
        let reply = outcome.unwrap_or_else(Reply::from);
        if accepted && plan.drop_after {
            inner.stats.dropped_after += 1;
            return Ending::Cut;
        }
        *inner.stats.by_code.entry(reply.code).or_default() += 1;
        Ending::Reply(reply)
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
        let fresh = Inner::new(&self.config);
        // The old memory may be large: it is freed after the lock.
        let old = std::mem::replace(&mut *self.lock(), fresh);
        drop(old);
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Up to `limit` deliveries after `seq`, oldest first.
    pub(super) fn after(&self, seq: u64, limit: usize) -> Vec<Delivery> {
        self.lock().shelf.after(seq, limit)
    }

    /// Up to `limit` deliveries to `token`, newest first.
    pub(super) fn of_token(&self, token: &str, limit: usize) -> Vec<Delivery> {
        self.lock().shelf.of_token(token, limit)
    }
}

// === impl Inner ===

impl Inner {
    fn new(config: &SimulatorConfig) -> Self {
        Self {
            dice: Dice::new(config.faults.seed),
            faults: config.faults.clone(),
            shelf: Shelf::new(config.keep, config.keep_per_token),
            tasks: Tasks::new(config.tasks),
            distinct: config.distinct,
            ids: HashSet::new(),
            pairs: HashSet::new(),
            stats: Stats { distinct_complete: true, ..Stats::default() },
        }
    }

    fn accept(&mut self, order: Order, time: Time) -> Result<Reply, Refusal> {
        match order {
            Order::Push { content, to: To::One(token), .. } => self.one(&Arc::new(content), token, time),
            Order::Push { content, to: To::Page { tokens, skip_invalid }, expire_s } => {
                self.first_page(Arc::new(content), tokens, skip_invalid, expire_s, time)
            }
            Order::Create { content, expire_s } => {
                let reply = Reply::accepted(content.app.flavour, content.environment);
                let id = self.make_task(&Arc::new(content), expire_s, time);
                Ok(Reply { push_id: Some(id), ..reply })
            }
            Order::Page { app, push_id, tokens } => {
                let found = self.tasks.find(&push_id, app.flavour, &app.access_id, time.server);
                let (id, task) = found.map_err(|problem| unusable(app.flavour, &problem))?;
                task.pages += 1;
                let pages = task.pages;
                let content = Arc::clone(&task.content);
                self.stats.most_pages_of_a_task = self.stats.most_pages_of_a_task.max(pages);
                self.page(&content, tokens, Some(id), time);
                let mut reply = Reply::accepted(app.flavour, content.environment);
                // v2 answers a list with nothing but its code.
                reply.push_id = (app.flavour != Flavour::V2).then_some(id);
                Ok(reply)
            }
            Order::Nobody { app, environment } => {
                self.stats.nobody += 1;
                let id = self.tasks.id();
                Ok(Reply { push_id: Some(id), ..Reply::accepted(app.flavour, environment) })
            }
            Order::Query { app, result } => {
                self.stats.nobody += 1;
                Ok(Reply { result: Some(result), query: true, ..Reply::accepted(app.flavour, "product") })
            }
        }
    }

    fn one(&mut self, content: &Arc<Content>, token: String, time: Time) -> Result<Reply, Refusal> {
        let flavour = content.app.flavour;
        if let Some(code) = self.code_of(flavour, &token) {
            return Err(Refusal::new(flavour, code, "device token is not registered"));
        }
        let id = (flavour != Flavour::V2).then(|| self.tasks.id());
        self.record(content, token, 1, id, time);
        let mut reply = Reply::accepted(flavour, content.environment);
        reply.push_id = id;
        reply.result = id.map(|_| Value::from("[0]"));
        Ok(reply)
    }

    /// A list that comes with its message: v3 makes a task of it, TPNS answers for each device.
    fn first_page(
        &mut self,
        content: Arc<Content>,
        tokens: Vec<String>,
        skip_invalid: bool,
        expire_s: i64,
        time: Time,
    ) -> Result<Reply, Refusal> {
        let flavour = content.app.flavour;
        let mut reply = Reply::accepted(flavour, content.environment);
        if flavour != Flavour::Tpns {
            let id = self.make_task(&content, expire_s, time);
            self.page(&content, tokens, Some(id), time);
            return Ok(Reply { push_id: Some(id), ..reply });
        }
        let id = self.tasks.id();
        let codes = self.page(&content, tokens, Some(id), time);
        let bad = codes.iter().filter(|code| **code != 0).count();
        reply.push_id = Some(id);
        reply.result = Some(Value::from(serde_json::json!(codes).to_string()));
        if bad == codes.len() {
            reply.code = 1_008_027;
            reply.text = "every token of the batch failed".to_owned();
        } else if bad > 0 && !skip_invalid {
            reply.code = 1_008_026;
            reply.text = format!("{bad} tokens of the batch failed");
        }
        Ok(reply)
    }

    /// Delivers to every registered device, and answers the code of each.
    fn page(&mut self, content: &Arc<Content>, tokens: Vec<String>, id: Option<u64>, time: Time) -> Vec<i64> {
        let size = tokens.len();
        self.stats.largest_page = self.stats.largest_page.max(size);
        let mut codes = Vec::with_capacity(size);
        for token in tokens {
            let code = self.code_of(content.app.flavour, &token);
            codes.push(code.unwrap_or(0));
            if code.is_some() {
                self.stats.unreached += 1;
            } else {
                self.record(content, token, size, id, time);
            }
        }
        codes
    }

    fn make_task(&mut self, content: &Arc<Content>, expire_s: i64, time: Time) -> u64 {
        self.stats.tasks += 1;
        self.tasks.make(Arc::clone(content), time.server.saturating_add(expire_s))
    }

    /// Why a device gets nothing.
    fn code_of(&self, flavour: Flavour, token: &str) -> Option<i64> {
        let dead = match flavour {
            Flavour::V2 => 40,
            Flavour::V3 => 10_110,
            Flavour::Tpns => 1_008_006,
        };
        if flavour == Flavour::Tpns && !(1..=36).contains(&token.len()) {
            return Some(dead);
        }
        self.faults.of_token(token, dead)
    }

    fn record(&mut self, content: &Arc<Content>, token: String, page: usize, push_id: Option<u64>, time: Time) {
        self.stats.deliveries += 1;
        if let Some(id) = &content.id {
            self.tell_apart(id, &token);
        }
        self.shelf.put(content, token, page, push_id, time.received);
    }

    fn tell_apart(&mut self, id: &str, token: &str) {
        if self.pairs.len() >= self.distinct {
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

// === impl Order ===

impl Order {
    fn flavour(&self) -> Flavour {
        match self {
            Self::Push { content, .. } | Self::Create { content, .. } => content.app.flavour,
            Self::Page { app, .. } | Self::Nobody { app, .. } | Self::Query { app, .. } => app.flavour,
        }
    }
}

fn unusable(flavour: Flavour, problem: &Unusable) -> Refusal {
    match (flavour, problem) {
        (Flavour::V2, Unusable::Unknown) => Refusal::new(flavour, 19, "push_id is unknown"),
        (Flavour::V2, Unusable::Expired) => Refusal::new(flavour, 19, "push_id has expired"),
        (_, Unusable::Unknown) => Fault::Bad.of(flavour, "push_id is unknown"),
        (_, Unusable::Expired) => Refusal::new(flavour, 10_205, "the task has expired"),
    }
}

/// 64 bits tell 4 million pairs apart with an error in some 10^6 runs.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
