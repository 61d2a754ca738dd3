//! One timing wheel for all timeouts of a shard, instead of a timer each: to the tenth of a second. Nothing is taken out
//! of it; whoever is woken looks whether it is still time.

/// One turn: 41 s. What is later goes round.
const BUCKETS: u64 = 2_048;
/// Length of a tick in milliseconds. A wake is late by up to two of them; the suites of Engine.IO have heartbeats of 300 ms
/// and give 200 ms for the answer.
pub(super) const TICK: u64 = 20;

#[derive(Debug)]
pub(super) struct Wheel<T> {
    buckets: Vec<Vec<(u64, T)>>,
    now: u64,
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// The tick at which so many milliseconds of the shard's clock have surely passed.
    pub(super) fn tick(at: u64) -> u64 {
        at.div_ceil(TICK)
    }

    /// `item` is due at this tick, or the next one if it has passed.
    pub(super) fn add(&mut self, tick: u64, item: T) {
        let tick = tick.max(self.now + 1);
        if let Some(bucket) = self.buckets.get_mut((tick % BUCKETS) as usize) {
            bucket.push((tick, item));
        }
    }

    /// It is `tick` now: appends what is due.
    pub(super) fn turn(&mut self, tick: u64, due: &mut Vec<T>) {
        let from = self.now.max(tick.saturating_sub(BUCKETS)) + 1;
        for bucket in from..=tick {
            let Some(bucket) = self.buckets.get_mut((bucket % BUCKETS) as usize) else { continue };
            // Taken whole, so that the memory of a crowd goes with it.
            for (at, item) in std::mem::take(bucket) {
                if at <= tick {
                    due.push(item);
                } else {
                    bucket.push((at, item));
                }
            }
        }
        self.now = self.now.max(tick);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn everything_is_due_once_and_in_its_tick() {
        let mut wheel = Wheel::new();
        let times = [1, 2, 2, 500, 511, 512, 513, 700, 5_000, 5_001];
        for time in times {
            wheel.add(time, time);
        }
        let mut seen = Vec::new();
        for now in 1..6_000 {
            let mut due = Vec::new();
            wheel.turn(now, &mut due);
            assert!(due.iter().all(|item| *item == now), "{due:?} at {now}");
            seen.extend(due);
        }
        assert_eq!(seen, times);
    }

    #[test]
    fn a_thread_that_slept_misses_nothing() {
        let mut wheel = Wheel::new();
        for time in [3, 40, 1_000, 9_000] {
            wheel.add(time, time);
        }
        let mut due = Vec::new();
        wheel.turn(2_000, &mut due);
        due.sort_unstable();
        assert_eq!(due, [3, 40, 1_000]);
        wheel.add(7, 7);
        due.clear();
        wheel.turn(2_001, &mut due);
        assert_eq!(due, [7]);
        wheel.turn(20_000, &mut due);
        assert_eq!(due, [7, 9_000]);
        assert_eq!(Wheel::<u8>::tick(0), 0);
        assert_eq!(Wheel::<u8>::tick(TICK + 1), 2);
    }
}
