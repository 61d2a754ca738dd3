//! [`RedisShard`]: an owned shard.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    queue::{
        Budget, Commit, Destination, Error, Item, Log, LogState, MAX_ITEM, MAX_REMEMBERED, Mark, Opened, Promoted,
        QueueName, Result, Seq, Shard,
    },
    wire,
};
use redis::{Cmd, Value};
use tokio::sync::Notify;

use super::{
    keys::Keys,
    link::Link,
    queue::{Abandoned, Options},
    script::{Scripts, array, number, unavailable, unexpected},
};

/// So much of the head item is compared by a commit, besides its length.
const HEAD_PREFIX: usize = 256;

/// The lease of one shard and the connection that serves it.
pub(super) struct RedisShard {
    pub(super) name: QueueName,
    pub(super) keys: Keys,
    pub(super) link: Link,
    pub(super) scripts: Arc<Scripts>,
    pub(super) options: Options,
    abandoned: Abandoned,
    pub(super) token: String,
    pub(super) opened: Opened,
    pub(super) deadline: Instant,
    /// Head of every log, as of the last confirmed commit.
    pub(super) heads: HashMap<Log, Seq>,
    /// Number of the last confirmed commit of this lease.
    pub(super) commits: u64,
    /// Mean size of a trace entry in bytes.
    trace_mean: u64,
    /// Has a peek of this lease brought items?
    has_read: bool,
    /// The main list reached to here at least when it was peeked at.
    pub(super) reach: Seq,
    released: bool,
}

impl RedisShard {
    #[expect(clippy::too_many_arguments, reason = "called once, from the place that has them all")]
    pub(super) fn new(
        name: QueueName,
        keys: Keys,
        link: Link,
        scripts: Arc<Scripts>,
        options: Options,
        abandoned: Abandoned,
        token: String,
        opened: Opened,
        asked: Instant,
    ) -> Self {
        let heads = opened.logs.iter().map(|l| (l.log.clone(), l.head)).collect();
        let deadline = asked + usable(&options);
        Self {
            name,
            keys,
            link,
            scripts,
            options,
            abandoned,
            token,
            opened,
            deadline,
            heads,
            commits: 0,
            trace_mean: 0,
            has_read: false,
            reach: 0,
            released: false,
        }
    }

    fn head(&self, log: &Log) -> Seq {
        self.heads.get(log).copied().unwrap_or(0)
    }

    pub(super) fn fenced(&self) -> Error {
        Error::Fenced(self.name.clone())
    }

    /// Builds the commit script's call; the layout of keys and arguments is described in `commit.lua`.
    fn commit_call(&mut self, commit: &Commit) -> Result<Cmd> {
        let trace = if commit.records.is_empty() { Vec::new() } else { wire::encode_records(&commit.records) };
        let trace_entries = self.trace_entries(trace.len());
        let remembers = !commit.seen.is_empty() || commit.forget_seen.is_some();
        let keys = 6 + commit.advance.len() + 2 * commit.append.len() + usize::from(remembers);
        let mut cmd = self.scripts.commit.call(keys);
        cmd.arg(self.keys.own()).arg(self.keys.state()).arg(self.keys.delayed());
        cmd.arg(self.keys.dead()).arg(self.keys.ledger()).arg(self.keys.trace());
        for advance in &commit.advance {
            cmd.arg(self.keys.log(&advance.log));
        }
        for append in &commit.append {
            match &append.to {
                Destination::Queue(queue) => {
                    let keys = Keys::new(queue);
                    cmd.arg(keys.log(&Log::MAIN)).arg(keys.ledger());
                }
                Destination::Own(log) => {
                    cmd.arg(self.keys.log(log)).arg(self.keys.ledger());
                }
            }
        }
        if remembers {
            cmd.arg(self.keys.seen());
        }
        cmd.arg(&self.token).arg(self.options.lease.as_millis()).arg(self.commits + 1).arg(trace_entries);
        cmd.arg(commit.advance.len());
        for advance in &commit.advance {
            let prefix = advance.first.get(..HEAD_PREFIX).unwrap_or(&advance.first);
            cmd.arg(advance.log.name()).arg(advance.head).arg(advance.first.len()).arg(prefix);
            cmd.arg(advance.trim).arg(advance.checkpoint.as_ref()).arg(advance.finished);
        }
        cmd.arg(commit.append.len());
        for append in &commit.append {
            let own = match &append.to {
                Destination::Queue(_) => "",
                Destination::Own(log) => log.name(),
            };
            cmd.arg(own).arg(append.high_water).arg(append.items.len());
            for item in &append.items {
                let queue = match &append.to {
                    Destination::Queue(queue) => queue,
                    Destination::Own(_) => &self.name,
                };
                self.fits(queue, item)?;
                cmd.arg(item.as_ref());
            }
            add_counts(&mut cmd, &append.counts);
        }
        cmd.arg(commit.delay.len());
        for (i, delayed) in commit.delay.iter().enumerate() {
            self.fits(&self.name, &delayed.body)?;
            let mut member = format!("{}.{}.{i}:", self.opened.epoch, self.commits + 1).into_bytes();
            member.extend_from_slice(&delayed.body);
            cmd.arg(delayed.due).arg(member);
        }
        cmd.arg(commit.unbury).arg(commit.bury.len());
        for letter in &commit.bury {
            cmd.arg(letter.as_ref());
        }
        add_counts(&mut cmd, &commit.counts);
        cmd.arg(commit.put.len());
        for (name, value) in &commit.put {
            cmd.arg(name).arg(value.as_ref());
        }
        cmd.arg(trace);
        if remembers {
            cmd.arg(commit.forget_seen.map(|t| t.to_string()).unwrap_or_default());
            cmd.arg(MAX_REMEMBERED).arg(commit.seen.len());
            for (id, at) in &commit.seen {
                cmd.arg(at).arg(id);
            }
        }
        Ok(cmd)
    }

    /// How many entries the trace may hold so that it stays within its bytes, after one of `size` bytes.
    fn trace_entries(&mut self, size: usize) -> u64 {
        if size > 0 {
            let size = size as u64;
            // A mean over the latest sixteen or so; a larger one counts at once.
            self.trace_mean = if size > self.trace_mean { size } else { (self.trace_mean * 15 + size) / 16 };
        }
        (self.options.trace_bytes / self.trace_mean.max(1)).clamp(1, self.options.trace_entries.max(1))
    }

    fn fits(&self, queue: &QueueName, item: &Bytes) -> Result<()> {
        // Envelopes add some bytes to an item that was within the bound.
        if item.len() > MAX_ITEM + 64 * 1024 {
            return Err(Error::TooLarge { queue: queue.clone(), size: item.len() });
        }
        Ok(())
    }

    async fn do_commit(&mut self, commit: &Commit) -> Result<()> {
        let cmd = self.commit_call(commit)?;
        let asked = Instant::now();
        let answer = self.link.run(&self.scripts.commit, &cmd).await.map_err(unavailable)?;
        let answer = array("commit", answer)?;
        let code = answer.first().and_then(number);
        let which = answer.get(1).and_then(number).and_then(|i| usize::try_from(i - 1).ok());
        match (code, which) {
            (Some(0 | 1), _) => {}
            (Some(-1), _) => return Err(self.fenced()),
            (Some(-2), Some(i)) if i < commit.advance.len() => {
                let Some(advance) = commit.advance.get(i) else { return Err(self.fenced()) };
                return Err(Error::Foreign {
                    queue: self.name.clone(),
                    log: advance.log.name().to_owned(),
                    expected: advance.head,
                });
            }
            (Some(-3), Some(i)) => {
                let full = match commit.append.get(i).map(|a| &a.to) {
                    Some(Destination::Queue(queue)) => queue.clone(),
                    _ => self.name.clone(),
                };
                return Err(Error::Full(full));
            }
            (Some(-4), _) => return Err(Error::RolledBack(self.name.clone())),
            _ => return Err(unexpected("commit", &Value::Array(answer))),
        }
        self.commits += 1;
        for advance in &commit.advance {
            self.heads.insert(advance.log.clone(), advance.head + advance.trim);
        }
        // "Done before" (1) did not extend the lease now, but the run that did it was at most one call earlier; the
        // next renewal puts it right, so the deadline only moves for the answer 0.
        if code == Some(0) {
            self.deadline = asked + usable(&self.options);
        }
        Ok(())
    }

    async fn do_peek(&mut self, log: &Log, from: Seq, budget: Budget) -> Result<Vec<Item>> {
        let head = self.head(log);
        let index =
            from.checked_sub(head).ok_or_else(|| unavailable(format!("peek at {from}, before the head {head}")))?;
        let bodies = self.read(self.keys.log(log), index, budget, !self.has_read).await?;
        self.has_read |= !bodies.is_empty();
        if *log == Log::MAIN && !bodies.is_empty() {
            self.reach = self.reach.max(from + bodies.len() as Seq);
        }
        Ok((from..).zip(bodies).map(|(seq, body)| Item { seq, body }).collect())
    }

    /// Reads a list of the shard, fenced.
    pub(super) async fn read(&mut self, list: String, index: u64, budget: Budget, note: bool) -> Result<Vec<Bytes>> {
        let mut cmd = self.scripts.peek.call(3);
        cmd.arg(self.keys.own()).arg(list).arg(self.keys.state());
        cmd.arg(&self.token).arg(index).arg(budget.items.max(1)).arg(budget.bytes.max(1));
        cmd.arg(if note { "1" } else { "0" });
        let answer = self.link.run(&self.scripts.peek, &cmd).await.map_err(unavailable)?;
        let mut answer = array("peek", answer)?.into_iter();
        match answer.next().as_ref().and_then(number) {
            Some(0) => {}
            Some(-1) => return Err(self.fenced()),
            _ => return Err(unavailable("unexpected answer to peek")),
        }
        let bytes = |value| match value {
            Value::BulkString(body) => Ok(Bytes::from(body)),
            other => Err(unexpected("peek", &other)),
        };
        answer.map(bytes).collect()
    }

    async fn do_marks(&mut self, ids: &[&str]) -> Result<Vec<Mark>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let cmd = marks_call(&self.scripts, &self.keys, &self.token, ids);
        let answer = self.link.run(&self.scripts.marks, &cmd).await.map_err(unavailable)?;
        read_marks(answer, ids.len())?.ok_or_else(|| self.fenced())
    }

    async fn do_dead(&mut self, n: usize) -> Result<Vec<Bytes>> {
        self.read(self.keys.dead(), 0, Budget { items: n, bytes: 8 << 20 }, false).await
    }

    async fn do_promote(&mut self, now: Millis) -> Result<Promoted> {
        let mut cmd = self.scripts.promote.call(3);
        cmd.arg(self.keys.own()).arg(self.keys.delayed()).arg(self.keys.log(&Log::RETRY));
        cmd.arg(&self.token).arg(now).arg(1_000);
        let answer = self.link.run(&self.scripts.promote, &cmd).await.map_err(unavailable)?;
        let answer = array("promote", answer)?;
        match answer.first().and_then(number) {
            Some(0) => Ok(Promoted {
                moved: answer.get(1).and_then(number).and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                next_due: answer.get(2).and_then(number),
            }),
            Some(-1) => Err(self.fenced()),
            _ => Err(unexpected("promote", &Value::Array(answer))),
        }
    }

    async fn do_renew(&mut self) -> Result<()> {
        let mut cmd = self.scripts.renew.call(1);
        cmd.arg(self.keys.own()).arg(&self.token).arg(self.options.lease.as_millis());
        let asked = Instant::now();
        let answer = self.link.run(&self.scripts.renew, &cmd).await.map_err(unavailable)?;
        if number(&answer) != Some(1) {
            return Err(self.fenced());
        }
        self.deadline = asked + usable(&self.options);
        Ok(())
    }

    async fn do_blame(&mut self, items: bool) -> Result<()> {
        let mut cmd = self.scripts.blame.call(2);
        cmd.arg(self.keys.own()).arg(self.keys.state()).arg(&self.token).arg(if items { 0 } else { 2 });
        let answer = self.link.run(&self.scripts.blame, &cmd).await.map_err(unavailable)?;
        if number(&answer) == Some(1) { Ok(()) } else { Err(self.fenced()) }
    }

    async fn do_release(mut self: Box<Self>) -> Result<()> {
        let mut cmd = self.scripts.release.call(2);
        cmd.arg(self.keys.own()).arg(self.keys.state()).arg(&self.token);
        let answer = self.link.run(&self.scripts.release, &cmd).await.map_err(unavailable)?;
        self.released = true;
        if number(&answer) == Some(1) { Ok(()) } else { Err(self.fenced()) }
    }
}

impl Shard for RedisShard {
    fn name(&self) -> &QueueName {
        &self.name
    }

    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn wake(&self) -> Arc<Notify> {
        self.link.wake()
    }

    fn peek<'a>(&'a mut self, log: &'a Log, from: Seq, budget: Budget) -> BoxFuture<'a, Result<Vec<Item>>> {
        Box::pin(self.do_peek(log, from, budget))
    }

    fn commit<'a>(&'a mut self, commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.do_commit(commit))
    }

    fn marks<'a>(&'a mut self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Mark>>> {
        Box::pin(self.do_marks(ids))
    }

    fn resync(&mut self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.do_resync())
    }

    fn dead(&mut self, n: usize) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        Box::pin(self.do_dead(n))
    }

    fn promote(&mut self, now: Millis) -> BoxFuture<'_, Result<Promoted>> {
        Box::pin(self.do_promote(now))
    }

    fn blame(&mut self, items: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.do_blame(items))
    }

    fn renew(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.do_renew())
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.do_release())
    }
}

impl Drop for RedisShard {
    /// A shard that is dropped without release leaves a lease that runs on; this process may replace it.
    fn drop(&mut self) {
        if !self.released {
            let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, signature)) = self.token.split_once('|') {
                abandoned.insert(self.name.clone(), signature.to_owned());
            }
        }
    }
}

pub(super) fn usable(options: &Options) -> Duration {
    options.lease.saturating_sub(options.margin)
}

pub(super) fn add_counts(cmd: &mut Cmd, counts: &homing_core::ledger::Counts) {
    cmd.arg(counts.iter().count());
    for (field, n) in counts.iter() {
        cmd.arg(field).arg(n);
    }
}

/// The question for the marks of ids, of an owner or (with no token) of anybody.
pub(super) fn marks_call(scripts: &Scripts, keys: &Keys, token: &str, ids: &[&str]) -> Cmd {
    let mut cmd = scripts.marks.call(3);
    cmd.arg(keys.own()).arg(keys.seen()).arg(keys.cancelled()).arg(token).arg(ids);
    cmd
}

/// Reads the answer to [`marks_call`] with `count` ids; `None` when the token is no longer the owner's.
pub(super) fn read_marks(answer: Value, count: usize) -> Result<Option<Vec<Mark>>> {
    let answer = array("marks", answer)?;
    match (answer.first().and_then(number), answer.get(1)) {
        (Some(0), None) => Ok(Some(vec![Mark::default(); count])),
        (Some(0), Some(Value::BulkString(marks))) if marks.len() == count => {
            let mark = |m: &u8| Mark { seen: m & 1 == 1, cancelled: m & 2 == 2 };
            Ok(Some(marks.iter().map(mark).collect()))
        }
        (Some(-1), _) => Ok(None),
        _ => Err(unexpected("marks", &Value::Array(answer))),
    }
}

/// Every log in the state hash; `main` and `retry` always.
pub(super) fn logs_of(state: &HashMap<String, Vec<u8>>) -> Vec<LogState> {
    let mut logs: Vec<Log> = vec![Log::MAIN, Log::RETRY];
    for field in state.keys() {
        if let Some(name) = field.strip_prefix("head:") {
            let log = Log::named(name.to_owned());
            if !logs.contains(&log) {
                logs.push(log);
            }
        }
    }
    logs.into_iter()
        .map(|log| {
            let of = |kind: &str| state.get(&format!("{kind}:{}", log.name()));
            LogState {
                head: of("head").and_then(|v| String::from_utf8_lossy(v).parse().ok()).unwrap_or(0),
                checkpoint: of("done").map(|v| Bytes::copy_from_slice(v)).unwrap_or_default(),
                log,
            }
        })
        .collect()
}

/// What predecessors put.
pub(super) fn values_of(state: &HashMap<String, Vec<u8>>) -> Vec<(String, Bytes)> {
    let put = |(field, value): (&String, &Vec<u8>)| {
        field.strip_prefix("put:").map(|name| (name.to_owned(), Bytes::copy_from_slice(value)))
    };
    state.iter().filter_map(put).collect()
}
