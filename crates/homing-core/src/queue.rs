//! The port of the numbered queues: lists that are read like a log and lose nothing.
//!
//! A *shard* is one numbered list (`message_queue_1`) and what belongs to it: its owner's lease, own lists
//! (`retry`, ...), a delayed set, a dead list, a ledger and a trace. Anyone may append to the main list; only the
//! owner of the lease works and commits.
//!
//! ```text
//! acquire ─► peek ─► work ─► commit ─► ... ─► release
//!              ▲                │
//!              └──── wake ◄─────┘   promote: what is due moves from the delayed set to the `retry` list
//! ```
//!
//! Every effect of finished work is one [`Commit`]: it trims what is finished, hands results to the next queues, delays,
//! buries, counts and traces. Either all of it happened or none. See `docs/queue.md` for the keys of the Redis backend.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::{clock::Millis, ledger::Counts, record::Record};

/// Absolute position of an item in a list: 0 is the first item that the shard ever saw.
pub type Seq = u64;

/// Name of a numbered list, e.g. `message_queue_1`. For Redis it is the key itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Wraps a list's name as it stands in the configuration, its number filled in.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of a shard's lists. The main list is the one that producers write; the others are the shard's own and carry
/// [`Envelope`](crate::wire::Envelope)s.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Log(Cow<'static, str>);

impl Log {
    /// The numbered list itself.
    pub const MAIN: Self = Self(Cow::Borrowed("main"));
    /// Work that came back from the delayed set.
    pub const RETRY: Self = Self(Cow::Borrowed("retry"));

    /// Events with a large audience, worked off in chunks.
    pub const FANOUT: Self = Self(Cow::Borrowed("fanout"));

    /// Rehearsals of a migration that make way for real messages.
    pub const REHEARSALS: Self = Self(Cow::Borrowed("wait:rehearsals"));

    /// The list where items of a blocked application wait (`wait:higo`).
    pub fn wait(app: &str) -> Self {
        Self(Cow::Owned(format!("wait:{app}")))
    }

    /// The log called `name`, as [`Log::name`] gave it.
    pub fn named(name: String) -> Self {
        Self(Cow::Owned(name))
    }

    /// `main`, `retry`, `wait:...`.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An item that is offered to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Its identity, where it has one of its own: the same id is accepted once within [`REMEMBERED`].
    pub id: Option<String>,
    /// Its bytes.
    pub body: Bytes,
}

/// How long an accepted id is remembered, in milliseconds.
pub const REMEMBERED: Millis = 3_600_000;

/// At most so many ids are remembered per shard and purpose; the oldest go first.
pub const MAX_REMEMBERED: usize = 1_000_000;

/// The name of the notice board, where one is needed beside those of lists.
pub const BOARD: &str = "homing:board";

/// The longest key, and the longest text, of a notice in bytes.
pub const MAX_NOTICE: usize = 16 << 10;

/// Most notices on the board.
pub const MAX_NOTICES: usize = 1_000;

/// What is known of an id at a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// An owner of this shard committed it with [`Commit::seen`].
    pub seen: bool,
    /// It was taken back with [`Queue::cancel`].
    pub cancelled: bool,
}

/// One item, still standing in its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub seq: Seq,
    /// Its bytes, untouched.
    pub body: Bytes,
}

/// How much one peek may return. At least one item is returned if there is one, however large it is.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// At most this many items.
    pub items: usize,
    /// Stop after the item that passes this many bytes.
    pub bytes: usize,
}

/// Finished work at the front of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Which list.
    pub log: Log,
    /// The head that the owner believes in; another one is refused.
    pub head: Seq,
    /// The item that the owner holds at that head; another one means a foreign consumer.
    pub first: Bytes,
    /// How many finished items leave the front.
    pub trim: u64,
    /// What is finished behind the new head, for a successor ([`Window`](crate::window::Window) writes and reads it).
    /// Empty when nothing is.
    pub checkpoint: Bytes,
    /// How many whole items that checkpoint marks finished.
    pub finished: u64,
}

/// Items for a list: another shard's main list (hand-over to the next stage) or one of the shard's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub to: Destination,
    /// The items in order, each at most [`MAX_ITEM`] bytes.
    pub items: Vec<Bytes>,
    /// Refuse the whole commit with [`Error::Full`] if the list would become longer than this. 0 = no bound.
    pub high_water: u64,
    /// Counts for the *destination's* ledger.
    pub counts: Counts,
}

/// See [`Append`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// The main list of a queue.
    Queue(QueueName),
    /// A list of the committing shard.
    Own(Log),
}

/// Work that is due later. The backend gives each a unique identity, so that equal bodies do not merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delayed {
    /// When it returns to the `retry` list, in milliseconds since 1970.
    pub due: Millis,
    /// An encoded [`Envelope`](crate::wire::Envelope).
    pub body: Bytes,
}

/// The largest item that Homing writes, in bytes. A larger one is refused at append, and buried when a foreign
/// producer wrote it.
pub const MAX_ITEM: usize = 1 << 20;

/// One atomic step of a shard's owner. Build it, commit it, and on [`Error::Unavailable`] commit *the same* again:
/// a commit whose reply was lost is recognised and does not run twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Finished work per log.
    pub advance: Vec<Advance>,
    /// Hand-overs.
    pub append: Vec<Append>,
    /// Retries and deferrals.
    pub delay: Vec<Delayed>,
    /// Encoded [`DeadLetter`](crate::wire::DeadLetter)s.
    pub bury: Vec<Bytes>,
    /// So many letters leave the front of the dead list: they were spilled or redriven.
    pub unbury: u64,
    /// Counts for this shard's ledger.
    pub counts: Counts,
    /// Named values kept beside the shard (a scanner's cursor); they are in [`Opened::values`] for the successor.
    pub put: Vec<(String, Bytes)>,
    /// Ids that this shard has dealt with, each with the time that it is remembered by; see [`Shard::marks`].
    pub seen: Vec<(String, Millis)>,
    /// Forget the ids that were remembered by an earlier time than this.
    pub forget_seen: Option<Millis>,
    /// The fates, for the trace.
    pub records: Vec<Record>,
}

impl Commit {
    /// Nothing to do?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a record and counts it, so that trace and ledger cannot disagree. `units` is how many events, recipients
    /// or targets it stands for.
    pub fn record(&mut self, record: Record, units: i64) {
        self.counts.add(record.stage.field(&record.fate), units);
        self.records.push(record);
    }
}

/// Where one log stood when the lease was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Which list.
    pub log: Log,
    /// Sequence of its first item.
    pub head: Seq,
    /// The predecessor's checkpoint ([`Advance::checkpoint`]).
    pub checkpoint: Bytes,
}

/// What an owner finds when it takes a shard.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The fencing token's number; grows with every owner, also over a failover.
    pub epoch: u64,
    /// The epoch of the shard's first owner: part of the identity of items that carry none.
    pub first_epoch: u64,
    /// Made when the shard was first opened on this server. Another one means that the server was wiped.
    pub birth: String,
    /// How many owners in a row died (did not release) with the same item at the head. 0 = none.
    pub suspicion: u32,
    /// Every log that was ever used, `main` and `retry` always.
    pub logs: Vec<LogState>,
    /// When the earliest delayed work is due.
    pub next_due: Option<Millis>,
    /// What predecessors [`put`](Commit::put).
    pub values: Vec<(String, Bytes)>,
}

/// Answer of [`Shard::promote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// How many moved to the `retry` list in this call.
    pub moved: u64,
    /// When the earliest of the rest is due; in the past if a call's bound was reached.
    pub next_due: Option<Millis>,
}

/// Why a queue call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lease is another's now: drop everything in hand; the successor repeats it.
    #[error("the lease of {0} was lost to another owner")]
    Fenced(QueueName),
    /// The lease is held.
    #[error("{queue} is owned by {owner} for another {left_ms} ms")]
    Held {
        /// Which shard.
        queue: QueueName,
        /// The owner's token.
        owner: String,
        /// How long the lease still runs if it is not renewed.
        left_ms: u64,
    },
    /// Somebody else took from or pushed to the front of the list. Nothing was committed.
    #[error("a foreign consumer changed the front of {queue} ({log}): expected item {expected} there")]
    Foreign {
        /// Which shard.
        queue: QueueName,
        /// Which of its lists.
        log: String,
        /// The sequence that was expected at the head.
        expected: Seq,
    },
    /// A destination is at its bound. Nothing was committed; the same work may be committed later.
    #[error("{0} is full")]
    Full(QueueName),
    /// The server went back to an older state (failover, restored backup): take the shard anew.
    #[error("{0} went back to an older state than the one already confirmed")]
    RolledBack(QueueName),
    /// The item is larger than [`MAX_ITEM`], or the notice than [`MAX_NOTICE`].
    #[error("{size} bytes for {queue} are over the limit of {}", if queue.as_str() == BOARD { MAX_NOTICE } else { MAX_ITEM })]
    TooLarge {
        /// Which queue.
        queue: QueueName,
        /// The item's size in bytes.
        size: usize,
    },
    /// The server could not be reached or could not answer; the call may or may not have happened.
    #[error("the queue server is unavailable: {0}")]
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}

/// Result of queue calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The queues of one server.
///
/// All methods may be called from any task. Cancelling a call (dropping its future) leaves its outcome unknown.
pub trait Queue: Send + Sync {
    /// Takes the lease of a shard, or answers [`Error::Held`]. A lease whose process is provably dead on this host is
    /// taken at once; a released or expired one too. Retry freely.
    fn acquire<'a>(&'a self, shard: &'a QueueName) -> BoxFuture<'a, Result<Box<dyn Shard>>>;

    /// Appends items to a main list, as any producer would, in one atomic step: all of them that are new, or none.
    /// Answers for each whether it is new; an item whose id was accepted within [`REMEMBERED`] is not appended again.
    /// Refuses all with [`Error::Full`] if the list would become longer than `high_water` (0 = no bound). `now` is the
    /// time that ids are remembered by. An answer of `Unavailable` may have appended: only items with an id may be
    /// repeated.
    fn append<'a>(
        &'a self,
        queue: &'a QueueName,
        items: &'a [NewItem],
        high_water: u64,
        now: Millis,
    ) -> BoxFuture<'a, Result<Vec<bool>>>;

    /// Takes message `id` back: a tombstone that the owner reads ([`Shard::marks`]), kept until `until` and at most
    /// [`MAX_REMEMBERED`] of them. Repeat freely.
    fn cancel<'a>(&'a self, shard: &'a QueueName, id: &'a str, now: Millis, until: Millis)
    -> BoxFuture<'a, Result<()>>;

    /// What is known of each id at a shard, in their order, as [`Shard::marks`] answers, without its lease. Changes
    /// nothing; repeat freely.
    fn marks<'a>(&'a self, shard: &'a QueueName, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Mark>>>;

    /// A consistent picture of one shard for operators; changes nothing.
    fn inspect<'a>(&'a self, shard: &'a QueueName) -> BoxFuture<'a, Result<Snapshot>>;

    /// The oldest items of a main list, at most `n`, without a lease: for operators who want to see what producers write.
    /// Changes nothing; repeat freely.
    fn sample<'a>(&'a self, queue: &'a QueueName, n: usize) -> BoxFuture<'a, Result<Vec<Bytes>>>;

    /// How full the server is. Scanners stop before it is full.
    fn memory(&self) -> BoxFuture<'_, Result<Memory>>;

    /// What stands on the notice board that all processes of an installation share: pauses that a provider asked for,
    /// states of migrations. Changes nothing; repeat freely.
    fn notices(&self) -> BoxFuture<'_, Result<BTreeMap<String, String>>>;

    /// Puts a notice up in place of an older one, or takes it down. A key or text longer than [`MAX_NOTICE`] is refused
    /// with [`Error::TooLarge`], a new key on a board that has [`MAX_NOTICES`] with [`Error::Full`]. Repeat freely.
    fn post<'a>(&'a self, key: &'a str, notice: Option<&'a str>) -> BoxFuture<'a, Result<()>>;

    /// Ends when the board may have changed since the last [`notices`](Queue::notices), from whatever process. One task
    /// per handle waits here. It may end without a reason, and a change may be missed with a connection: look at least
    /// once a second.
    fn noticed(&self) -> BoxFuture<'_, ()>;

    /// Counts and traces receipts at a shard, whoever owns it, all in one step; one whose key was counted within
    /// [`REMEMBERED`] is left out. `now` is the time that keys are remembered by. Answers which were new, in their order.
    /// Repeat freely.
    fn tally<'a>(
        &'a self,
        shard: &'a QueueName,
        receipts: &'a [Receipt],
        now: Millis,
    ) -> BoxFuture<'a, Result<Vec<bool>>>;

    /// The records of message `id` that this shard's trace still holds, oldest first.
    fn trace<'a>(&'a self, shard: &'a QueueName, id: &'a str) -> BoxFuture<'a, Result<Vec<Record>>>;
}

/// What a device said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What is counted once: message, user and what was said.
    pub key: String,
    /// Its line in the trace; the counter is that of its fate.
    pub record: Record,
}

/// An owned shard. Its calls are made one after another by the one worker that holds it.
///
/// After `Fenced`, `Foreign` or `RolledBack` the shard is of no more use: drop it and start over with `acquire`.
pub trait Shard: Send {
    /// Its name.
    fn name(&self) -> &QueueName;

    /// What was found when the lease was taken.
    fn opened(&self) -> &Opened;

    /// Until when work may be *started*: the lease's end minus a margin, by this process's own monotonic clock, as of
    /// the last answer of `commit` or `renew`.
    fn deadline(&self) -> Instant;

    /// Signalled when a producer (any client) appended to the main list or something else changed a list of this
    /// shard. A wake-up may be spurious and may be lost with the connection: look at least once a second.
    fn wake(&self) -> Arc<Notify>;

    /// Items of `log` from position `from` on (at or behind the head). Changes nothing; repeat freely.
    fn peek<'a>(&'a mut self, log: &'a Log, from: Seq, budget: Budget) -> BoxFuture<'a, Result<Vec<Item>>>;

    /// Does all of `commit` or nothing, and extends the lease. On `Unavailable` call it again *with the same commit*
    /// until another answer comes, or drop the shard: if it had run, the answer is Ok and nothing happens twice.
    fn commit<'a>(&'a mut self, commit: &'a Commit) -> BoxFuture<'a, Result<()>>;

    /// What is known of each id, in their order, in one round trip. Changes nothing; repeat freely.
    fn marks<'a>(&'a mut self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Mark>>>;

    /// Acknowledges what somebody else did to the lists (an alarm of [`Error::Foreign`]): every list is taken as it
    /// stands now, checkpoints are dropped, heads and counters are set so that the ledger balances. Answers how many
    /// items of the main list were taken away behind Homing's back, as far as the counters tell.
    fn resync(&mut self) -> BoxFuture<'_, Result<u64>>;

    /// The oldest letters of the dead list, at most `n`. Changes nothing; repeat freely.
    fn dead(&mut self, n: usize) -> BoxFuture<'_, Result<Vec<Bytes>>>;

    /// Moves what is due at `now` from the delayed set to the `retry` list, at most 1,000 a call. Repeat freely.
    fn promote(&mut self, now: Millis) -> BoxFuture<'_, Result<Promoted>>;

    /// Is the owner's death from now on to be held against the items that it has read ([`Opened::suspicion`])? The first
    /// peek says yes; a careful worker says no while it waits for somebody else, who may be what keeps it until it is
    /// killed. Repeat freely.
    fn blame(&mut self, items: bool) -> BoxFuture<'_, Result<()>>;

    /// Extends the lease. Repeat freely.
    fn renew(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Gives the lease back at once, so that a successor need not wait. Work that was not committed is repeated there.
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// How full the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that it may use; 0 = no bound.
    pub limit: u64,
}

/// A consistent picture of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Token of the owner, if a lease runs.
    pub owner: Option<String>,
    /// See [`Opened::birth`]; empty if the shard was never opened.
    pub birth: String,
    /// Per log: name, head, length, finished behind the head.
    pub logs: Vec<LogDepth>,
    /// Items in the delayed set.
    pub delayed: u64,
    /// When the earliest of them is due.
    pub next_due: Option<Millis>,
    /// Items in the dead list.
    pub dead: u64,
    /// The ledger's counters.
    pub counts: Counts,
    /// What owners [`put`](Commit::put).
    pub values: Vec<(String, Bytes)>,
}

/// See [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDepth {
    /// Which list.
    pub log: Log,
    /// Sequence of the first item.
    pub head: Seq,
    /// Items in the list.
    pub length: u64,
    /// Of these, finished already (they stand behind one that is not).
    pub finished: u64,
}
