//! Days in China: vendors ration messages per day, and a day ends at midnight in China, which is UTC+8 without summer
//! time. Who goes on asking after the quota is used up has it cut, so a used-up ration is remembered until then.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use homing_core::clock::Millis;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
const CHINA: Millis = 8 * HOUR;

/// The wait from `now` until the next `hour` o'clock in China; a whole day when it is that hour just now.
pub(super) fn until(hour: Millis, now: Millis) -> Millis {
    let since_midnight = now.saturating_add(CHINA).rem_euclid(DAY);
    let wait = (hour * HOUR - since_midnight).rem_euclid(DAY);
    if wait == 0 { DAY } else { wait }
}

/// The wait until the next midnight in China.
pub(super) fn until_midnight(now: Millis) -> Millis {
    until(0, now)
}

/// The rations of one account that are used up. There are as many as kinds of message in its settings.
#[derive(Default)]
pub(super) struct Rations(Mutex<HashMap<String, Millis>>);

impl Rations {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Millis>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long this ration is still used up.
    pub(super) fn left(&self, ration: &str, now: Millis) -> Option<Millis> {
        let until = *self.lock().get(ration)?;
        (until > now).then(|| until - now)
    }

    /// It is used up for so long.
    pub(super) fn used_up(&self, ration: &str, now: Millis, wait: Millis) {
        self.lock().insert(ration.to_owned(), now.saturating_add(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-28T16:00:00Z, midnight between two days in China.
    const MIDNIGHT: Millis = 1_709_136_000_000;

    #[test]
    fn a_day_ends_at_midnight_in_china() {
        for (since, expected) in [(0, DAY), (1, DAY - 1), (DAY - 1, 1), (12 * HOUR, 12 * HOUR), (DAY, DAY)] {
            assert_eq!(until_midnight(MIDNIGHT + since), expected, "{since} ms after midnight");
        }
        // 23:30 in Shanghai is 15:30 in London: half an hour is left of the day, whatever the day is elsewhere.
        assert_eq!(until_midnight(MIDNIGHT - HOUR / 2), HOUR / 2);
        assert_eq!(until(7, MIDNIGHT - HOUR), 8 * HOUR, "at 23:00 it is eight hours to 7:00");
        assert_eq!(until(7, MIDNIGHT + 6 * HOUR), HOUR);
        assert!((1..=DAY).contains(&until_midnight(-1)) && (1..=DAY).contains(&until_midnight(Millis::MAX)));
    }

    #[test]
    fn a_used_up_ration_comes_back_with_the_day() {
        let rations = Rations::default();
        rations.used_up("campaign", MIDNIGHT - 10, 10);
        assert_eq!(rations.left("campaign", MIDNIGHT - 10), Some(10));
        assert_eq!(rations.left("campaign", MIDNIGHT), None);
        assert_eq!(rations.left("order", MIDNIGHT - 10), None);
    }
}
