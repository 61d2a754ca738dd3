//! [`Intake`]: from events that somebody offers to ids of events that stand in their queues.

use std::{collections::BTreeMap, sync::Arc};

use axum::http::StatusCode;
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use homing_codec::Value;
use homing_core::{
    catalogue::Catalogue,
    clock::{Clock, Millis},
    event::{Invalid, Kind},
    ledger::Role,
    queue::{Error as QueueError, NewItem, Queue, QueueName, Receipt},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
    time::{Instant, timeout},
};

use crate::{
    books::{self, Shard, WIDTH},
    brake::Brake,
    check::{Checked, Wrong, check},
    error::{Error, Result},
    gather::{Denied, Gather},
    idempotency::{Claim, Remembered},
    ids,
    keys::{Caller, Capability, Keys},
    lane::Lane,
    meter,
    receipts::{self, Receipts},
    refusal::{AWAY, BRAKED, FULL, Fault, Refusal},
    registry::Desk,
    settings::{MAX_BODY, Settings},
};

/// How long a cancelled id is remembered.
const TOMBSTONE: Millis = 366 * 86_400_000;
/// Bodies in memory at once, in KiB.
const BODIES: usize = 64 << 10;
/// Traces and ledgers that are read at once: each reads every shard.
const READERS: usize = 2;

/// What an intake is made of.
pub struct Parts {
    /// The queue server.
    pub queue: Arc<dyn Queue>,
    /// The types of events.
    pub catalogue: Arc<Catalogue>,
    /// The kinds of traffic.
    pub lanes: Vec<Lane>,
    /// Shards without a list of their own that hold records too: a scanner's.
    pub seats: Vec<QueueName>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// Takes events in, and answers for them.
pub struct Intake {
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    /// Permits are KiB.
    pub(crate) bodies: Arc<Semaphore>,
    queue: Arc<dyn Queue>,
    catalogue: Arc<Catalogue>,
    lanes: Vec<Arc<Lane>>,
    seats: Vec<QueueName>,
    clock: Arc<dyn Clock>,
    gather: Arc<Gather>,
    brake: Brake,
    remembered: Remembered,
    readers: Semaphore,
    pub(crate) registry: Option<Desk>,
    pub(crate) receipts: Receipts,
}

/// Events that somebody offers.
pub(crate) struct Offer<'a, I> {
    pub(crate) caller: &'a Caller,
    /// The lane that was asked for.
    pub(crate) lane: Option<&'a str>,
    /// The idempotency key, and what tells this request from others.
    pub(crate) key: Option<(&'a str, [u8; 16])>,
    /// Is it a list, also of one?
    pub(crate) batch: bool,
    /// The field that holds the list.
    pub(crate) list: &'static str,
    pub(crate) events: I,
}

/// The events of a request that go to one list.
type Share = (Arc<Lane>, Vec<String>, Vec<NewItem>);

/// Events that stand in their queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Their ids in the order in which they were offered.
    pub ids: Vec<String>,
    /// All of them had been accepted before.
    pub replayed: bool,
}

impl Intake {
    /// An intake that has not yet connected to anything.
    ///
    /// # Errors
    /// The settings do not fit together or with the lanes and types.
    pub fn new(parts: Parts, settings: Settings) -> Result<Self> {
        let Parts { queue, catalogue, lanes, seats, clock } = parts;
        if lanes.is_empty() {
            return Err(Error::NoLane);
        }
        if let Some(lane) = lanes.iter().find(|lane| lane.entry.is_empty()) {
            return Err(Error::NoEntry(lane.name.clone()));
        }
        if !(0.1..=1.0).contains(&settings.brake) {
            return Err(Error::Brake(settings.brake));
        }
        if settings.connections == 0 {
            return Err(Error::NoConnection);
        }
        if settings.gorush_app.is_some() || !settings.apps.is_empty() {
            catalogue.find(&Kind::Name(settings.gorush_type.clone())).map_err(Error::GorushType)?;
        }
        let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        Ok(Self {
            keys: Keys::new(&settings, &names)?,
            bodies: Arc::new(Semaphore::new(BODIES.max(MAX_BODY >> 10))),
            gather: Arc::new(Gather::new(Arc::clone(&queue), Arc::clone(&clock))),
            brake: Brake::new(Arc::clone(&queue), settings.brake),
            remembered: Remembered::default(),
            readers: Semaphore::new(READERS),
            lanes: lanes.into_iter().map(Arc::new).collect(),
            settings,
            queue,
            catalogue,
            seats: receipts::seated(seats),
            clock,
            registry: None,
            receipts: Receipts::default(),
        })
    }

    /// With a device registry: `/v1/users/...` is served.
    #[must_use]
    pub fn with_registry(self, desk: Desk) -> Self {
        Self { registry: Some(desk), ..self }
    }

    /// With other receipts than those of callers with a key.
    #[must_use]
    pub fn with_receipts(self, receipts: Receipts) -> Self {
        Self { receipts, ..self }
    }

    /// The key of this name is good for these alone; by default a key is good for everything, and one that is bound to
    /// lanes for their events.
    ///
    /// # Errors
    /// There is no such key.
    pub fn with_access(mut self, key: &str, access: &[Capability]) -> Result<Self> {
        self.keys.restrict(key, access)?;
        Ok(self)
    }

    /// Now.
    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Accepts one event for a caller within this process, as a post of it would be.
    ///
    /// # Errors
    /// What a post would be answered.
    pub async fn send(&self, caller: &Caller, event: Value, lane: Option<&str>) -> Result<Accepted, Refusal> {
        let events = std::iter::once(Ok(event));
        self.accept(Offer { caller, lane, key: None, batch: false, list: "events", events }).await
    }

    /// Accepts events for a caller within this process, as a post of a batch would be.
    ///
    /// # Errors
    /// What a post would be answered.
    pub async fn send_all(&self, caller: &Caller, all: Vec<Value>, lane: Option<&str>) -> Result<Accepted, Refusal> {
        let events = all.into_iter().map(Ok);
        self.accept(Offer { caller, lane, key: None, batch: true, list: "events", events }).await
    }

    /// Checks all events and then appends all. Nothing is appended if one of them is refused; behind that, the events of
    /// one list are accepted together or not at all. The refusal of a batch that went to several lists says what was
    /// accepted.
    pub(crate) async fn accept(
        &self,
        offer: Offer<'_, impl Iterator<Item = Result<Value, Fault>> + Send>,
    ) -> Result<Accepted, Refusal> {
        let now = self.clock.now();
        let Offer { caller, key, .. } = offer;
        let checked = self.check(offer, now).await?;
        caller.spend(checked.len(), Instant::now())?;
        if self.brake.is_closed().await {
            return Err(Refusal::unavailable("the queue server is short of memory").again(BRAKED));
        }
        let Some((key, request)) = key else { return self.append(checked).await };
        let key = ids::half(&[caller.name.as_bytes(), key.as_bytes()]);
        let claim = self.remembered.claim(key, request, now);
        if claim == Claim::Other {
            let message = "was used for another request; a new request needs a new key";
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Idempotency-Key", message));
        }
        let answer = self.append(checked).await;
        if claim == Claim::New
            && let Err(refusal) = &answer
            && refusal.status == StatusCode::TOO_MANY_REQUESTS
            && refusal.accepted.is_empty()
        {
            self.remembered.release(key);
        }
        answer
    }

    /// The lane of that name.
    pub(crate) fn lane(&self, name: &str) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.name == name)
    }

    /// Is there such a type, and may its events come in at this lane?
    pub(crate) fn knows(&self, lane: &str, kind: &Kind) -> Result<(), Invalid> {
        match &self.catalogue.find(kind)?.lane {
            Some(own) if own != lane => {
                Err(Invalid::new("type", format!("{kind} belongs to the lane {own}, not to {lane}")))
            }
            _ => Ok(()),
        }
    }

    /// One event, checked and given an id as if it had been posted for this lane.
    pub(crate) fn look(&self, lane: &str, event: Value) -> Result<Checked, Wrong> {
        let now = self.clock.now();
        check(&self.catalogue, &self.lanes, Some(lane), event, || ids::mint(now), now)
    }

    /// Appends what was checked, in this order. Where it was refused in part, it may be put again: what stands in its
    /// queue is recognised by its id.
    pub(crate) async fn put(&self, checked: Vec<Checked>) -> Result<(), Refusal> {
        if self.brake.is_closed().await {
            return Err(Refusal::unavailable("the queue server is short of memory").again(BRAKED));
        }
        self.append(checked).await.map(drop)
    }

    /// All events checked, or everything that is wrong with them.
    async fn check(
        &self,
        offer: Offer<'_, impl Iterator<Item = Result<Value, Fault>> + Send>,
        now: Millis,
    ) -> Result<Vec<Checked>, Refusal> {
        let Offer { caller, lane, key, batch, list, events } = offer;
        let (mut good, mut faults) = (Vec::new(), Vec::new());
        for (i, event) in events.enumerate() {
            // A long batch is not to keep the others waiting.
            if i % 32 == 31 {
                yield_now().await;
            }
            let index = batch.then_some(i);
            let event = match event {
                Ok(event) => event,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            let id = || match key {
                Some((key, _)) => ids::derive(&caller.name, key, index),
                None => ids::mint(now),
            };
            match check(&self.catalogue, &self.lanes, lane, event, id, now) {
                Ok(event) if !caller.may(&event.lane.name) => {
                    let message = format!("{} may not use the lane {}", caller.name, event.lane.name);
                    return Err(Refusal::new(StatusCode::FORBIDDEN, "lane", message));
                }
                Ok(event) => good.push(event),
                Err(Wrong::Invalid(invalid)) => faults.push(Fault::new(index, invalid)),
                Err(Wrong::TooLarge(invalid)) => faults.push(Fault { too_large: true, ..Fault::new(index, invalid) }),
            }
        }
        if faults.is_empty() {
            return Ok(good);
        }
        // Which lane a wrong event would have had is not known, or not to be trusted as a label.
        meter::events("", "invalid", faults.len());
        Err(Refusal::of(faults, list))
    }

    /// Appends checked events, those of one list together.
    async fn append(&self, checked: Vec<Checked>) -> Result<Accepted, Refusal> {
        let ids: Vec<String> = checked.iter().map(|event| event.id.clone()).collect();
        let mut lists: BTreeMap<QueueName, Share> = BTreeMap::new();
        for Checked { id, lane, queue, item } in checked {
            let (_, ids, items) = lists.entry(queue).or_insert_with(|| (lane, Vec::new(), Vec::new()));
            ids.push(id);
            items.push(item);
        }
        let appends = lists.into_iter().map(|(queue, (lane, ids, items))| async move {
            let append = self.gather.append(&queue, items, lane.high_water);
            let answer = timeout(self.settings.timeout, append)
                .await
                .unwrap_or_else(|_| Err(Denied::Unavailable(format!("no answer within {:?}", self.settings.timeout))));
            (lane, ids, answer)
        });
        let (mut accepted, mut denied, mut replayed) = (Vec::new(), None, true);
        for (lane, ids, answer) in join_all(appends).await {
            match answer {
                Ok(news) => {
                    let new = news.iter().filter(|new| **new).count();
                    replayed &= new == 0;
                    meter::events(&lane.name, "accepted", new);
                    meter::events(&lane.name, "replayed", news.len() - new);
                    accepted.extend(ids);
                }
                Err(why) => {
                    let result = if matches!(why, Denied::Unavailable(_)) { "unavailable" } else { "full" };
                    meter::events(&lane.name, result, ids.len());
                    // One that may or may not have been accepted says more than one that certainly was not.
                    if denied.is_none() || result == "unavailable" {
                        denied = Some(why);
                    }
                }
            }
        }
        match denied {
            None => Ok(Accepted { ids, replayed }),
            Some(why) => Err(Refusal { accepted, ..refusal(why) }),
        }
    }

    /// Takes an event back at every shard that the caller may use, for longer than any may wait. What is under way may still arrive.
    pub(crate) async fn cancel(&self, caller: &Caller, id: &str) -> Result<(), Refusal> {
        let now = self.clock.now();
        let shards = self.shards(caller);
        let calls: Vec<_> =
            shards.iter().map(|shard| self.queue.cancel(&shard.queue, id, now, now + TOMBSTONE)).collect();
        stream::iter(calls).buffer_unordered(WIDTH).try_collect::<Vec<()>>().await.map_err(|error| away(&error))?;
        Ok(())
    }

    /// What is on record about a message in the lanes that the caller may use.
    pub(crate) async fn trace(&self, caller: &Caller, id: &str) -> Result<books::Trace, Refusal> {
        let _reader = self.reader().await?;
        let seats: &[QueueName] = if self.lanes.iter().all(|lane| caller.may(&lane.name)) { &self.seats } else { &[] };
        books::trace(&*self.queue, seats, &self.shards(caller), id).await.map_err(|error| away(&error))
    }

    /// The balance of the lanes that the caller may use.
    pub(crate) async fn ledger(&self, caller: &Caller) -> Result<books::Ledger, Refusal> {
        let _reader = self.reader().await?;
        books::ledger(&*self.queue, &self.shards(caller)).await.map_err(|error| away(&error))
    }

    /// Counts receipts; answers which are new.
    pub(crate) async fn tally(&self, all: &[Receipt]) -> Result<Vec<bool>, Refusal> {
        if self.brake.is_closed().await {
            return Err(Refusal::unavailable("the queue server is short of memory").again(BRAKED));
        }
        let shard = receipts::shard();
        let call = timeout(self.settings.timeout, self.queue.tally(&shard, all, self.clock.now()));
        match call.await {
            Ok(news) => news.map_err(|error| away(&error)),
            Err(_) => Err(Refusal::unavailable(format!("no answer within {:?}", self.settings.timeout))),
        }
    }

    /// Would such an event be accepted at this lane? Says why not.
    pub(crate) fn accepts(&self, lane: &str, event: Value) -> Result<(), String> {
        let now = self.clock.now();
        match check(&self.catalogue, &self.lanes, Some(lane), event, || ids::mint(now), now) {
            Ok(checked) if checked.lane.name != lane => {
                Err(format!("this type belongs to the lane {}, not to {lane}", checked.lane.name))
            }
            Ok(_) => Ok(()),
            Err(Wrong::Invalid(invalid) | Wrong::TooLarge(invalid)) => Err(invalid.to_string()),
        }
    }

    /// Is there this type?
    pub(crate) fn is_type(&self, name: &str) -> bool {
        let kind = name.parse().map_or_else(|_| Kind::Name(name.to_owned()), Kind::Code);
        self.catalogue.find(&kind).is_ok()
    }

    /// Asks the queue server whether it is there.
    ///
    /// # Errors
    /// Says why it did not answer.
    pub async fn probe(&self) -> Result<(), String> {
        match timeout(self.settings.timeout, self.queue.memory()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the queue server did not answer within {:?}", self.settings.timeout)),
        }
    }

    async fn reader(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "books", "too many are reading").again(AWAY);
        timeout(self.settings.timeout, self.readers.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)
    }

    fn shards(&self, caller: &Caller) -> Vec<Shard> {
        let shard =
            |lane: &Lane, role, queue: &QueueName| Shard { lane: lane.name.clone(), role, queue: queue.clone() };
        let of = |lane: &Arc<Lane>| {
            let entry = lane.entry.iter().map(|queue| shard(lane, Role::Entry, queue));
            entry.chain(lane.delivery.iter().map(|queue| shard(lane, Role::Delivery, queue))).collect::<Vec<_>>()
        };
        self.lanes.iter().filter(|lane| caller.may(&lane.name)).flat_map(of).collect()
    }
}

fn refusal(denied: Denied) -> Refusal {
    match denied {
        Denied::Full(queue) => {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "queue", format!("{queue} is full")).again(FULL)
        }
        Denied::Busy(queue) => {
            let message = format!("too much waits for {queue}");
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "queue", message).again(AWAY)
        }
        Denied::Unavailable(why) => {
            Refusal::unavailable(format!("{why}; repeat it with the same id or Idempotency-Key"))
        }
    }
}

fn away(error: &QueueError) -> Refusal {
    Refusal::unavailable(error.to_string())
}
