//! What a scanner keeps in its seat beside the cursor and the ids: how far the sweeps have come, and how far back the
//! record of ids reaches.

use std::collections::VecDeque;

use bytes::Bytes;
use homing_core::{chat::Cursor, clock::Millis, queue::MAX_REMEMBERED};
use serde::{Deserialize, Serialize};

/// Name of the value that holds the cursor; empty = from the beginning.
pub(super) const CURSOR: &str = "cursor";
/// Name of the value that holds a [`Progress`].
const PROGRESS: &str = "progress";
/// The time of the ids is known in so many stretches.
const PARTS: usize = 32;
/// Where the backend forgets the oldest ids by itself, less some room.
const MAX_RECORD: u64 = (MAX_REMEMBERED / 10 * 9) as u64;

/// Kept as JSON in the value `progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Where the cursor stood at the last finished sweep, or our clock if that was earlier: whatever was older than this
    /// by the overlap when it appeared is not found any more.
    pub(super) swept: Option<Millis>,
    /// Every chat of this time or later that was taken in is among the ids.
    pub(super) reach: Millis,
    /// CRC-32 of the cursor that this belongs to: an operator may have set another one.
    cursor: u32,
    /// Stretches of time, each with its first millisecond and the number of its ids: they tell when a bound is reached.
    parts: VecDeque<(Millis, u64)>,
    /// Length of a stretch.
    #[serde(skip)]
    width: Millis,
}

impl Progress {
    /// Of a scanner that has taken nothing in; its record begins at `reach`.
    pub(super) fn new(reach: Millis, retention: Millis) -> Self {
        Self { swept: None, reach, cursor: crc32fast::hash(b""), parts: VecDeque::new(), width: width(retention) }
    }

    /// From the values of a seat.
    pub(super) fn read(values: &[(String, Bytes)], retention: Millis) -> Option<Self> {
        let (_, text) = values.iter().find(|(name, _)| name == PROGRESS)?;
        let read: Self = serde_json::from_slice(text).ok()?;
        Some(Self { width: width(retention), ..read })
    }

    /// As a value of the seat.
    pub(super) fn put(&self) -> (String, Bytes) {
        // Numbers only: nothing here can fail.
        (PROGRESS.to_owned(), serde_json::to_vec(self).unwrap_or_default().into())
    }

    /// The cursor stands here now.
    pub(super) fn at(&mut self, cursor: &Cursor) {
        self.cursor = crc32fast::hash(cursor.0.as_bytes());
    }

    /// Does it belong to this stored cursor?
    pub(super) fn belongs_to(&self, cursor: &str) -> bool {
        self.cursor == crc32fast::hash(cursor.as_bytes())
    }

    /// The first message of all was read: there is nothing before it to sweep.
    pub(super) fn begin(&mut self, at: Millis) {
        if self.swept.is_none() {
            self.swept = Some(at);
        }
    }

    /// An id of this time becomes part of the record.
    pub(super) fn note(&mut self, at: Millis, now: Millis) {
        // Times of the future are junk, and junk must not make stretches.
        let at = at.min(now);
        match self.parts.back_mut() {
            None => self.parts.push_back((at, 1)),
            Some((start, _)) if at >= start.saturating_add(self.width) => self.parts.push_back((at, 1)),
            Some(_) => {
                let part = self.parts.iter_mut().rev().find(|(start, _)| *start <= at);
                if let Some((_, count)) = part {
                    *count += 1;
                } else if let Some((start, count)) = self.parts.front_mut() {
                    (*start, *count) = (at, *count + 1);
                }
            }
        }
        while self.parts.len() > PARTS {
            self.merge_first();
        }
        while self.parts.len() > 1 && self.parts.iter().map(|(_, count)| count).sum::<u64>() > MAX_RECORD {
            self.parts.pop_front();
            if let Some((start, _)) = self.parts.front() {
                self.reach = self.reach.max(*start);
            }
        }
    }

    /// Ids before this are forgotten.
    pub(super) fn forget(&mut self, before: Millis) {
        self.reach = self.reach.max(before);
        while self.parts.get(1).is_some_and(|(start, _)| *start <= before) {
            self.parts.pop_front();
        }
    }

    fn merge_first(&mut self) {
        if let (Some((start, a)), Some((_, b))) = (self.parts.pop_front(), self.parts.pop_front()) {
            self.parts.push_front((start, a + b));
        }
    }
}

fn width(retention: Millis) -> Millis {
    (retention / 16).max(1_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const HOUR: Millis = 3_600_000;

    #[test]
    fn it_survives_as_a_value() {
        let mut progress = Progress::new(5, HOUR);
        progress.note(7, 100);
        progress.swept = Some(6);
        assert!(progress.belongs_to(""));
        progress.at(&Cursor("x".to_owned()));
        assert!(progress.belongs_to("x") && !progress.belongs_to("y"));
        let values = [("cursor".to_owned(), Bytes::new()), progress.put()];
        assert_eq!(Progress::read(&values, HOUR).unwrap(), progress);
        assert_eq!(Progress::read(&values[..1], HOUR), None);
    }

    #[test]
    fn the_record_reaches_back_as_far_as_the_ids_are_kept() {
        let mut progress = Progress::new(0, HOUR);
        let mut taken = 0_u64;
        let (mut at, rate) = (0, 400); // one each 2.5 ms: 1.4 million an hour, more than are kept
        while taken < 2_000_000 {
            at += 1_000;
            (0..rate).for_each(|_| progress.note(at, at));
            taken += rate;
            progress.forget(at - HOUR);
        }
        let reaches_back = (at - progress.reach) / 1_000;
        let ids = u64::try_from(reaches_back).unwrap() * rate;
        assert!((700_000..=MAX_RECORD).contains(&ids), "{ids}");
        assert!(progress.parts.len() <= PARTS);
    }

    #[test]
    fn odd_times_do_not_grow_it() {
        let mut progress = Progress::new(0, HOUR);
        for n in 0..100_000 {
            progress.note(n * HOUR, 50_000 * HOUR);
            progress.note(-n, 0);
        }
        assert!(progress.parts.len() <= PARTS);
        assert!(progress.put().1.len() < 1_500, "{}", progress.put().1.len());
        let total: u64 = progress.parts.iter().map(|(_, count)| count).sum();
        assert_eq!(total, 200_000);
    }
}
