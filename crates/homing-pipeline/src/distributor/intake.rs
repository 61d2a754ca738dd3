//! The items of a batch become events, or dead letters that say why not.

use homing_codec::decode;
use homing_core::{
    clock::Millis,
    event::Event,
    queue::{Log, MAX_ITEM, Opened, QueueName, Seq},
    window::Window,
    wire::{DeadLetter, Envelope},
};

use super::{Lane, Place};

/// From so many owners in a row that died at the same item on, items are worked one at a time.
pub(super) const CAREFUL: u32 = 3;
/// From so many on, the item that was being worked is taken for the cause and buried.
pub(super) const GUILTY: u32 = 6;

/// An event in hand.
pub(super) struct Entry {
    /// The message's id, the same on every try.
    pub(super) id: String,
    pub(super) event: Event,
    /// When it was first seen: its time to live counts from here.
    pub(super) first_at: Millis,
    /// Did it come back from the delayed set?
    pub(super) returned: bool,
    /// Its bytes as the producer wrote them.
    pub(super) body: bytes::Bytes,
    pub(super) seq: Seq,
}

/// Where an item came from, for the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The main list.
    Main,
    /// An own list, where we had put it.
    Returned,
    /// An own list, where somebody else had put it: it never came in.
    Foreign,
}

/// What a peek brought.
#[derive(Default)]
pub(super) struct Batch {
    /// The entry queue, for dead letters.
    pub(super) queue: String,
    pub(super) entries: Vec<Entry>,
    pub(super) invalid: Vec<(DeadLetter, Origin)>,
    /// Items that were taken from the main list, and from the shard's own lists.
    pub(super) main: i64,
    pub(super) own: i64,
}

/// A batch ends with the event that brings it to so many recipients: what is looked up and committed at once is bounded.
const RECIPIENTS: usize = 5_000;

impl Batch {
    /// How many items it took.
    pub(super) fn items(&self) -> usize {
        usize::try_from(self.main + self.own).unwrap_or(0)
    }
}

/// Reads the items at `places`, from the first on, as many as fit a batch.
pub(super) fn read(
    lane: &Lane,
    opened: &Opened,
    queue: &QueueName,
    windows: &[Window],
    places: &[Place],
    guilty: bool,
    now: Millis,
) -> Batch {
    let mut batch = Batch { queue: queue.to_string(), ..Batch::default() };
    let mut recipients = 0;
    for (i, seq) in places {
        if recipients >= RECIPIENTS {
            break;
        }
        let Some(window) = windows.get(*i) else { continue };
        let Some(item) = window.body(*seq) else { continue };
        let returned = *window.log() != Log::MAIN;
        *(if returned { &mut batch.own } else { &mut batch.main }) += 1;
        let (body, first_at, known_id, tries) = match returned.then(|| Envelope::decode(item)) {
            None => (item.clone(), now, None, 0),
            Some(Ok(envelope)) => (envelope.body.into(), envelope.first_at, Some(envelope.id), envelope.tries),
            Some(Err(error)) => {
                let id = anonymous(queue, opened, *seq, item);
                batch.invalid.push((
                    DeadLetter {
                        id,
                        reason: "invalid".to_owned(),
                        error: error.to_string(),
                        at: now,
                        tries: 0,
                        queue: queue.to_string(),
                        seq: *seq,
                        body: item.to_vec(),
                    },
                    Origin::Foreign,
                ));
                continue;
            }
        };
        let origin = if returned { Origin::Returned } else { Origin::Main };
        let id = known_id.unwrap_or_else(|| anonymous(queue, opened, *seq, &body));
        let letter = |id: String, error: String| DeadLetter {
            id,
            reason: "invalid".to_owned(),
            error,
            at: now,
            tries,
            queue: queue.to_string(),
            seq: *seq,
            body: body.to_vec(),
        };
        if guilty && batch.main + batch.own == 1 {
            let error = format!("{} workers in a row died with this item at the head", opened.suspicion);
            batch.invalid.push((DeadLetter { reason: "suspect".to_owned(), ..letter(id, error) }, origin));
            continue;
        }
        if body.len() > MAX_ITEM {
            let error = format!("the item has {} bytes, the limit is {MAX_ITEM}", body.len());
            batch.invalid.push((letter(id, error), origin));
            continue;
        }
        let mut own_id = None;
        let event = match decode(&body, lane.codec) {
            Ok(value) => Event::read(&value, &lane.map).map_err(|e| {
                // An event that is wrong elsewhere is found by its own id all the same.
                own_id = value.path(&lane.map.id).and_then(|id| id.text().map(std::borrow::Cow::into_owned));
                e.to_string()
            }),
            Err(error) => Err(error.to_string()),
        };
        let id = own_id.filter(|id| (1..=256).contains(&id.len())).unwrap_or(id);
        match event {
            Ok(event) => {
                recipients += event.to.recipients();
                let id = event.id.clone().unwrap_or(id);
                batch.entries.push(Entry { id, event, first_at, returned, body, seq: *seq });
            }
            Err(error) => batch.invalid.push((letter(id, error), origin)),
        }
    }
    batch
}

/// The identity of an item that carries none: its place and its bytes, the same on every redelivery. The hash keeps a
/// position that is used again after the server lost its tail from being taken for the earlier item.
fn anonymous(queue: &QueueName, opened: &Opened, seq: Seq, body: &[u8]) -> String {
    format!("{queue}:{}:{seq}:{:08x}", opened.first_epoch, crc32fast::hash(body))
}
