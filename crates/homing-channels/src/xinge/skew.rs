//! The offset of the service's clock. The service refuses a timestamp that is too far from its own clock and tells that
//! clock in the HTTP `Date` of the refusal, so one refusal is enough to learn it.
//!
//! Many requests may be under way with the old offset when the first refusal comes. A request remembers the generation it
//! was stamped in: refusals of older generations say "try again", a refusal of the newest, unproven one says that the
//! correction did not help.

use std::sync::{Mutex, MutexGuard, PoisonError};

use homing_core::clock::Millis;

#[derive(Debug, Default)]
pub(crate) struct Skew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    offset: Millis,
    generation: u64,
    /// Learnt, and no request stamped with it was accepted yet.
    trial: bool,
}

/// The time that one request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Unix seconds on the service's clock.
    pub(crate) seconds: i64,
    generation: u64,
}

/// What a refused timestamp leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This refusal taught the offset.
    Learnt(Millis),
    /// An earlier refusal did, after this request was stamped.
    Known,
    /// The learnt offset is refused too.
    Again,
    /// The refusal carried no readable `Date`.
    NoDate,
}

// === impl Stamp ===

impl Stamp {
    /// Whether the service's clock is too far from this stamp to be without blame for a refusal that does not say what it
    /// is about. How far TPNS lets a clock be is not documented.
    pub(crate) fn is_off(self, date: Option<Millis>) -> bool {
        const BLAMELESS: i64 = 30;
        date.is_some_and(|date| date.div_euclid(1000).saturating_sub(self.seconds).saturating_abs() > BLAMELESS)
    }
}

// === impl Skew ===

impl Skew {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stamp(&self, now: Millis) -> Stamp {
        let state = self.lock();
        Stamp { seconds: now.saturating_add(state.offset).div_euclid(1000), generation: state.generation }
    }

    /// The service took the timestamp.
    pub(crate) fn accepted(&self, stamp: Stamp) {
        let mut state = self.lock();
        if state.generation == stamp.generation {
            state.trial = false;
        }
    }

    /// The service refused the timestamp and told `date`.
    pub(crate) fn refused(&self, stamp: Stamp, now: Millis, date: Option<Millis>) -> Refused {
        let mut state = self.lock();
        if state.generation != stamp.generation {
            return Refused::Known;
        }
        let Some(date) = date else { return Refused::NoDate };
        state.offset = date.saturating_sub(now);
        if state.trial {
            return Refused::Again;
        }
        state.trial = true;
        state.generation += 1;
        Refused::Learnt(state.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_teaches_the_offset_once() {
        let skew = Skew::default();
        let first = skew.stamp(1_000_000);
        let beside = skew.stamp(1_000_500);
        assert_eq!((first.seconds, beside.seconds), (1000, 1000));
        assert_eq!(skew.refused(first, 1_000_000, Some(5_000_000)), Refused::Learnt(4_000_000));
        assert_eq!(skew.refused(beside, 1_001_000, Some(5_001_000)), Refused::Known);
        let second = skew.stamp(1_002_000);
        assert_eq!(second.seconds, 5002);
        assert_eq!(skew.refused(second, 1_002_000, Some(5_002_000)), Refused::Again);
    }

    #[test]
    fn a_proven_offset_may_be_corrected_again() {
        let skew = Skew::default();
        let first = skew.stamp(0);
        assert_eq!(skew.refused(first, 0, Some(700_000)), Refused::Learnt(700_000));
        skew.accepted(first);
        let second = skew.stamp(0);
        assert_eq!(
            skew.refused(second, 0, Some(700_000)),
            Refused::Again,
            "an answer to an older stamp proves nothing"
        );
        skew.accepted(second);
        let third = skew.stamp(0);
        assert_eq!(skew.refused(third, 0, Some(0)), Refused::Learnt(0));
    }

    #[test]
    fn a_stamp_is_off_when_the_date_is_far() {
        let stamp = Skew::default().stamp(1_000_000_000);
        assert!(stamp.is_off(Some(1_000_031_000)) && stamp.is_off(Some(999_969_000)));
        assert!(!stamp.is_off(Some(1_000_030_000)) && !stamp.is_off(Some(999_970_000)) && !stamp.is_off(None));
    }

    #[test]
    fn a_refusal_without_a_date_teaches_nothing() {
        let skew = Skew::default();
        let stamp = skew.stamp(0);
        assert_eq!(skew.refused(stamp, 0, None), Refused::NoDate);
        assert_eq!(skew.stamp(0), stamp);
    }
}
