//! How old the oldest item of a list is, though plain lists carry no time.
//!
//! Once a second the owner of a shard notes how far each of its lists reaches (head + length, which only grows). The item
//! at the head is as old as the first note that reaches beyond it. So an age is right to the second, or, where a backlog
//! is longer than [`NOTES`] notes, to their distance (three minutes in one of a day). What stood in a list before this process
//! took the shard is counted from then.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use homing_core::queue::{Log, Queue, QueueName, Seq, Snapshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::meter;

/// How often a shard is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Most notes per list: a list that grows every second has them for 17 minutes; then they become coarser.
const NOTES: usize = 1_024;

/// The ages of a shard's lists.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    lists: HashMap<Log, Notes>,
}

/// When a list first reached how far, both growing.
#[derive(Debug, Default)]
struct Notes {
    reached: VecDeque<(Instant, Seq)>,
}

// === impl Ages ===

impl Ages {
    /// Sets the shard's gauges once a second until dropped. A server that does not answer is the worker's business.
    pub(crate) async fn watch(&mut self, queue: &QueueName, queues: &Arc<dyn Queue>) -> Infallible {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Ok(snapshot) = queues.inspect(queue).await {
                meter::depth(queue, &snapshot);
                for (log, age) in self.look(Instant::now(), &snapshot) {
                    meter::oldest_age(queue, &log, age);
                }
            }
        }
    }

    /// The shard is not worked here any more: its next owner tells the ages.
    pub(crate) fn fall_silent(&self, queue: &QueueName) {
        for log in self.lists.keys() {
            meter::oldest_age(queue, log, Duration::ZERO);
        }
    }

    fn look(&mut self, now: Instant, snapshot: &Snapshot) -> Vec<(Log, Duration)> {
        let age = |depth: &homing_core::queue::LogDepth| {
            let notes = self.lists.entry(depth.log.clone()).or_default();
            (depth.log.clone(), notes.look(now, depth.head, depth.length))
        };
        snapshot.logs.iter().map(age).collect()
    }
}

// === impl Notes ===

impl Notes {
    /// Notes a look at `now`, and answers the age of the item at the head; zero for an empty list.
    fn look(&mut self, now: Instant, head: Seq, length: u64) -> Duration {
        let tail = head.saturating_add(length);
        match self.reached.back() {
            Some((_, last)) if *last == tail => {}
            // A list that shrank from behind was wiped, restored or taken from: what is known of it is of another list.
            Some((_, last)) if *last > tail => {
                self.reached.clear();
                self.reached.push_back((now, tail));
            }
            _ => self.reached.push_back((now, tail)),
        }
        while self.reached.front().is_some_and(|(_, reached)| *reached <= head) && self.reached.len() > 1 {
            self.reached.pop_front();
        }
        if self.reached.len() > NOTES {
            self.thin();
        }
        match self.reached.front() {
            Some((at, reached)) if length > 0 && *reached > head => now.saturating_duration_since(*at),
            _ => Duration::ZERO,
        }
    }

    /// The note goes whose neighbours are closest, so that those that stay are about evenly spaced.
    fn thin(&mut self) {
        let gaps =
            self.reached.iter().zip(self.reached.iter().skip(2)).map(|((before, _), (after, _))| *after - *before);
        if let Some((i, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) {
            self.reached.remove(i + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at (second, head, length), and what age is told in seconds.
    #[track_caller]
    fn check(looks: &[(u64, Seq, u64, u64)]) {
        let (mut notes, start) = (Notes::default(), Instant::now());
        for (second, head, length, age) in looks {
            let now = start + Duration::from_secs(*second);
            assert_eq!(notes.look(now, *head, *length).as_secs(), *age, "at second {second}");
        }
    }

    #[test]
    fn an_item_is_as_old_as_the_first_look_that_saw_it() {
        check(&[
            (0, 0, 0, 0),
            (1, 0, 0, 0),
            (2, 0, 3, 0), // three items came
            (3, 0, 3, 1),
            (4, 0, 5, 2), // two more
            (5, 3, 2, 1), // the three are worked: the head came at second 4
            (9, 3, 2, 5),
            (10, 5, 0, 0),
            (11, 5, 1, 0),
            (12, 5, 1, 1),
        ]);
    }

    #[test]
    fn a_backlog_that_was_there_before_counts_from_the_first_look() {
        check(&[(0, 700, 50, 0), (5, 700, 50, 5), (6, 720, 30, 6), (7, 749, 40, 7), (8, 750, 39, 1)]);
    }

    #[test]
    fn a_list_that_was_wiped_or_went_back_starts_anew() {
        check(&[(0, 10, 10, 0), (5, 10, 10, 5), (6, 0, 0, 0), (7, 0, 2, 0), (9, 0, 2, 2)]);
    }

    #[test]
    fn hours_of_backlog_keep_their_age_and_few_notes() {
        let (mut notes, start) = (Notes::default(), Instant::now());
        let mut age = Duration::ZERO;
        for second in 0..20_000 {
            age = notes.look(start + Duration::from_secs(second), 0, second + 1);
            assert!(notes.reached.len() <= NOTES);
        }
        assert_eq!(age, Duration::from_secs(19_999), "the head is the first note's for ever");
        // Half of it is worked: its age is right up to the distance of the notes.
        let now = start + Duration::from_secs(20_000);
        let middle = notes.look(now, 10_000, 10_000).as_secs();
        assert!((9_950..=10_000).contains(&middle), "{middle}");
    }

    #[tokio::test]
    async fn every_list_of_a_shard_has_an_age() {
        let depth = |log: Log, length| homing_core::queue::LogDepth { log, head: 0, length, finished: 0 };
        let mut snapshot = Snapshot { logs: vec![depth(Log::MAIN, 1), depth(Log::RETRY, 0)], ..Snapshot::default() };
        let (mut ages, start) = (Ages::default(), Instant::now());
        ages.look(start, &snapshot);
        snapshot.logs.push(depth(Log::wait("higo"), 4));
        let told = ages.look(start + Duration::from_secs(3), &snapshot);
        assert_eq!(
            told,
            [(Log::MAIN, Duration::from_secs(3)), (Log::RETRY, Duration::ZERO), (Log::wait("higo"), Duration::ZERO)]
        );
    }
}
