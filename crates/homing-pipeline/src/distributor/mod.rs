//! The distributor: entry queue → audience → rules → address → delivery queue.
//!
//! It works a batch at a time: [`intake`] reads the items, [`plan`] sorts out what needs no lookup, [`audience`] finds
//! the recipients, [`decide`] looks up what all of them need in one round trip per lookup and decides, [`choose`] finds
//! each device's way, [`address`] makes the notifications, [`draft`] is the commit as it grows. That one commit hands them
//! over, so that this hop is exactly-once. A large audience goes through the shard's `fanout` list, a page of recipients
//! per batch, in turns with other work.

mod address;
mod audience;
mod choose;
mod decide;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod decide_tests;
mod draft;
mod intake;
mod php;
mod plan;
mod presence;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod sockets_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod ways_tests;

pub use choose::{Told, ways};
pub use intake::codec_of;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use homing_codec::Codec;
use homing_core::{
    catalogue::Catalogue,
    clock::Millis,
    event::Map,
    live::Inbox,
    lookup::{Lookup, Members, StoreDown},
    notification::Platform,
    queue::{self, Commit, Destination, Log, LogState, Mark, Opened, QueueName, Seq, Shard},
    receipt::Prover,
    rules::{ProfileDefaults, Rule},
    steps::Step,
    window::{Limits, Window},
};
use tokio::time::sleep;

use self::decide::Gathered;
use crate::{context::Context, keeper::Worker, lane::Shards, meter, migration::Migrations, routes::Routes};

/// What a lane's distributors know; shared by its shards.
pub struct Lane {
    /// Name of the lane.
    pub name: String,
    /// How entry items are encoded.
    pub codec: Codec,
    /// Where producers keep the fields.
    pub map: Map,
    /// The types of events.
    pub catalogue: Arc<Catalogue>,
    /// In their order.
    pub rules: Vec<Arc<dyn Rule>>,
    /// The lookups that the rules read, each once.
    pub facts: Vec<Arc<dyn Lookup>>,
    /// Group → its owner (column `user_id` or `value`). `None` where the lane has no groups.
    pub owners: Option<Arc<dyn Lookup>>,
    /// Who belongs to a group, follows a topic, or is a user at all: by `members`, `topic`, `everyone`.
    pub enumerators: HashMap<&'static str, Arc<dyn Members>>,
    /// User → devices (columns `token`, `platform`, `app`; `env` where there are two networks, `channel` and `device` where
    /// there are several channels, `focus` and `clean`).
    pub tokens: Arc<dyn Lookup>,
    /// Which of a user's devices are told.
    pub devices: Devices,
    /// Name of the lookup of profiles among `facts` (columns `locale`, `time_zone`, `quiet_from`, `quiet_to`).
    pub profile: Option<Arc<str>>,
    /// What a profile does not say.
    pub defaults: ProfileDefaults,
    /// Is there a rule of quiet hours? Then notifications carry them, for what is sent late.
    pub has_quiet: bool,
    /// What was held back for a night is released over this span.
    pub release: Duration,
    /// The delivery queues, by channel.
    pub deliveries: BTreeMap<String, Delivery>,
    /// Which of them a device is told by.
    pub routes: Routes,
    /// The channel by which a message to all members of a group is also sent once to the group itself (`group/ID`), and by
    /// sockets a message to everyone once to everyone (`everyone`).
    pub announce: Option<String>,
    /// The channel by which a user is told who has no device that fits, or is not to be woken (`user/ID`).
    pub otherwise: Option<String>,
    /// The channel of sockets by which every recipient is told beside the devices (`user/ID`).
    pub sockets: Option<String>,
    /// Name of the lookup among `facts` that the rule [`Presence`](homing_core::rules::Presence) reads, where there is one.
    pub presence: Option<Arc<str>>,
    /// Where it is known what was read on a socket: who was held back and has read the message there is not woken.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// Name of the lookup among `facts` whose column `muted` has the types that a user does not want.
    pub preferences: Option<Arc<str>>,
    /// Moves from one channel to another.
    pub migrations: Migrations,
    /// Makes the proof by which a device's receipt for a message is known as such; without it notifications carry none.
    pub prover: Option<Arc<Prover>>,
    /// Targets per notification of a large audience; a channel may take fewer.
    pub page: usize,
    /// Bound of a delivery queue in items.
    pub high_water: u64,
    /// Most items per batch.
    pub batch: usize,
}

/// The delivery queues of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Their names.
    pub lists: Shards,
    /// How their items are written.
    pub codec: DeliveryCodec,
    /// How many targets an item has at most.
    pub page: usize,
    /// Which devices the channel can tell; empty = all.
    pub platforms: Vec<Platform>,
}

/// Which of a user's devices are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// Every device that fits.
    #[default]
    All,
    /// The first that fits, in the order of the lookup.
    First,
}

/// How the items of delivery lists are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryCodec {
    /// Homing's own notifications.
    #[default]
    Own,
    /// HIGO's PHP arrays, one per device, for a sender of HIGO's.
    Php,
}

impl Lane {
    fn members(&self, kind: &str) -> Option<&Arc<dyn Members>> {
        self.enumerators.get(kind)
    }
}

/// What would become of `bodies` if they stood in the entry list `queue` now: the commit that a distributor would make.
/// Nothing is written. A large audience is looked at up to its first page.
///
/// # Errors
/// A store could not answer.
pub async fn preview(
    lane: &Lane,
    cx: &Context,
    queue: &QueueName,
    bodies: Vec<bytes::Bytes>,
) -> Result<Commit, StoreDown> {
    foresee(lane, cx.clock.now(), queue, bodies).await
}

async fn foresee(lane: &Lane, now: Millis, queue: &QueueName, bodies: Vec<bytes::Bytes>) -> Result<Commit, StoreDown> {
    let items = bodies.into_iter().zip(0..).map(|(body, seq)| queue::Item { seq, body }).collect();
    let mut window = Window::open(&LogState { log: Log::MAIN, head: 0, checkpoint: Default::default() });
    let mut places: Vec<Place> = window.accept(items).into_iter().map(|seq| (0, seq)).collect();
    let windows = [window];
    let mut whole = Commit::default();
    while !places.is_empty() {
        let batch = intake::read(lane, &unowned(), queue, &windows, &places, false, now);
        places.drain(..batch.items().min(places.len()));
        let commit = decide::gather(lane, &batch, &[], now).await?.decide(lane);
        whole.records.extend(commit.records);
        whole.append.extend(commit.append);
        whole.delay.extend(commit.delay);
        whole.bury.extend(commit.bury);
        whole.counts.merge(&commit.counts);
    }
    Ok(whole)
}

/// A shard that nobody opened.
fn unowned() -> Opened {
    Opened {
        epoch: 0,
        first_epoch: 0,
        birth: String::new(),
        suspicion: 0,
        logs: Vec::new(),
        next_due: None,
        values: Vec::new(),
    }
}

/// The worker of one entry shard.
pub struct Distributor {
    /// The entry shard.
    pub queue: QueueName,
    /// Its lane.
    pub lane: Arc<Lane>,
    /// Shared.
    pub cx: Context,
}

impl Worker for Distributor {
    fn shard(&self) -> &QueueName {
        &self.queue
    }

    fn work<'a>(&'a mut self, shard: &'a mut dyn Shard) -> BoxFuture<'a, queue::Result<()>> {
        Box::pin(self.distribute(shard))
    }
}

/// An item in hand: which window, and where.
type Place = (usize, Seq);

/// Places of the windows.
const RETRY: usize = 0;
const MAIN: usize = 1;
const FANOUT: usize = 2;

/// What is known of the ids of a batch: of those that producers gave, whether they were dealt with; of what waited,
/// whether it was taken back. A batch without either asks nothing.
async fn marks(shard: &mut dyn Shard, batch: &intake::Batch) -> queue::Result<Vec<Mark>> {
    if batch.entries.iter().all(|entry| entry.task == intake::Task::New && !entry.has_own_id()) {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = batch.entries.iter().map(|entry| entry.id.as_str()).collect();
    shard.marks(&ids).await
}

impl Distributor {
    async fn distribute(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        let opened = shard.opened().clone();
        let mut windows: Vec<Window> = [Log::RETRY, Log::MAIN, Log::FANOUT]
            .into_iter()
            .map(|log| match opened.logs.iter().find(|state| state.log == log) {
                Some(state) => Window::open(state),
                None => Window::open(&LogState { log, head: 0, checkpoint: Default::default() }),
            })
            .collect();
        let wake = shard.wake();
        let mut next_due = opened.next_due;
        // An own list is only looked at while it may have something.
        let (mut retry_has_items, mut fanout_has_items) = (true, true);
        let mut turn = 0;
        // Peeked and not worked yet.
        let mut places: Vec<Place> = Vec::new();
        // Something at the head kills its owners: one item at a time shows which it is.
        let mut careful = opened.suspicion >= intake::CAREFUL;
        let mut guilty = opened.suspicion >= intake::GUILTY;
        let mut watched = opened.suspicion > 0;
        while !self.cx.stop.is_cancelled() {
            if next_due.is_some_and(|due| due <= self.cx.clock.now()) {
                let promoted = self.promote(shard).await?;
                next_due = promoted.next_due;
                retry_has_items |= promoted.moved > 0;
            }
            // What is due, what is new and a page of a large audience take turns: none is kept behind the others' backlog.
            turn = (turn + 1) % 3;
            for i in [[RETRY, MAIN, FANOUT], [MAIN, RETRY, FANOUT], [FANOUT, RETRY, MAIN]][turn] {
                // What a batch of many recipients left over comes before anything else.
                if !places.is_empty() {
                    break;
                }
                let has_items = match i {
                    RETRY => &mut retry_has_items,
                    FANOUT => &mut fanout_has_items,
                    _ => &mut true,
                };
                let Some(window) = windows.get_mut(i).filter(|_| *has_items) else { continue };
                let items = if careful || i == FANOUT { 1 } else { self.lane.batch };
                let Some(budget) = window.room(Limits { items, bytes: 4 << 20 }) else { continue };
                let items = shard.peek(window.log(), window.next(), budget).await?;
                *has_items = !items.is_empty();
                places.extend(window.accept(items).into_iter().map(|seq| (i, seq)));
            }
            if places.is_empty() && windows.iter().all(|w| w.advance().is_none()) {
                self.wait(shard, &wake, next_due).await?;
                continue;
            }
            self.cx.steps.at(Step::Peeked);
            let batch = intake::read(&self.lane, &opened, &self.queue, &windows, &places, guilty, self.cx.clock.now());
            let taken = batch.items();
            let marks = marks(shard, &batch).await?;
            // Who may be dying of an item does not die of it while a store keeps it waiting.
            if watched {
                shard.blame(false).await?;
            }
            let Some(gathered) = self.until_gathered(shard, &batch, &marks).await? else { return Ok(()) };
            self.cx.steps.at(Step::LookedUp);
            if watched {
                shard.blame(true).await?;
            }
            let mut commit = gathered.decide(&self.lane);
            for (i, seq) in places.drain(..taken.min(places.len())) {
                if let Some(window) = windows.get_mut(i) {
                    window.finish(seq);
                }
            }
            commit.advance = windows.iter().filter_map(Window::advance).collect();
            self.cx.steps.at(Step::Decided);
            self.cx.commit(shard, &commit).await?;
            self.cx.steps.at(Step::Committed);
            meter::committed("entry", taken);
            for advance in &commit.advance {
                if let Some(window) = windows.iter_mut().find(|w| *w.log() == advance.log) {
                    window.applied(advance);
                }
            }
            if let Some(due) = commit.delay.iter().map(|d| d.due).min() {
                next_due = Some(next_due.map_or(due, |known| known.min(due)));
            }
            fanout_has_items |= commit.append.iter().any(|a| a.to == Destination::Own(Log::FANOUT));
            if !commit.bury.is_empty() {
                self.cx.spill(shard).await?;
            }
            (careful, guilty, watched) = (false, false, false);
        }
        Ok(())
    }

    async fn promote(&self, shard: &mut dyn Shard) -> queue::Result<queue::Promoted> {
        let promoted = shard.promote(self.cx.clock.now()).await?;
        if promoted.moved > 0 {
            self.cx.steps.at(Step::Promoted);
        }
        Ok(promoted)
    }

    /// Asks the stores about a batch until they answer. `None` when the process stops first.
    async fn until_gathered<'a>(
        &'a self,
        shard: &mut dyn Shard,
        batch: &'a intake::Batch,
        marks: &'a [Mark],
    ) -> queue::Result<Option<Gathered<'a>>> {
        let part = format!("lookups of {}", self.lane.name);
        let gather = || -> BoxFuture<'a, _> { Box::pin(decide::gather(&self.lane, batch, marks, self.cx.clock.now())) };
        self.cx.until_answered(shard, &part, gather).await
    }

    /// Waits for a producer, for due work, or to be stopped. A look every second covers a wake-up that was lost with
    /// its connection.
    async fn wait(
        &self,
        shard: &mut dyn Shard,
        wake: &tokio::sync::Notify,
        next_due: Option<i64>,
    ) -> queue::Result<()> {
        let until_due =
            next_due.map(|due| Duration::from_millis(u64::try_from(due - self.cx.clock.now()).unwrap_or(0)));
        let pause = until_due.unwrap_or(Duration::MAX).min(Duration::from_secs(1));
        let quiet = async {
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(pause) => {}
                () = self.cx.stop.cancelled() => {}
            }
        };
        quiet.await;
        if shard.deadline().saturating_duration_since(std::time::Instant::now()) < 2 * self.cx.renew {
            shard.renew().await?;
        }
        Ok(())
    }
}
