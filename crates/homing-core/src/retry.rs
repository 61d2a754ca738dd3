//! When to try again: exponential backoff with full jitter, never before the provider's own wish.

use crate::clock::Millis;

/// A schedule of retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait, in milliseconds.
    pub base: Millis,
    /// Largest bound of a wait, in milliseconds.
    pub cap: Millis,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: 1_000, cap: 300_000 }
    }
}

impl Backoff {
    /// How long to wait after try number `tries` (1 = the first). `random` is a number in 0..=1; `floor` is the least
    /// that the provider asked for. The wait lies between 10 % and 100 % of `base * 2^(tries - 1)`, at most `cap`
    /// (full jitter, but never at once), plus the floor where there is one.
    pub fn wait(&self, tries: u32, random: f64, floor: Option<Millis>) -> Millis {
        let doubled = self.base.saturating_mul(1_i64.checked_shl(tries.saturating_sub(1).min(40)).unwrap_or(i64::MAX));
        let bound = doubled.clamp(1, self.cap.max(1));
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "milliseconds, below 2^53")]
        let jittered = (bound as f64 * (0.1 + 0.9 * random.clamp(0.0, 1.0))) as Millis;
        jittered.max(1).saturating_add(floor.unwrap_or(0).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_doubles_to_its_cap() {
        let backoff = Backoff::default();
        let longest: Vec<Millis> = (1..=11).map(|tries| backoff.wait(tries, 1.0, None)).collect();
        assert_eq!(longest, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000],);
        let shortest: Vec<Millis> = [1, 2, 10, 4_000_000_000].map(|tries| backoff.wait(tries, 0.0, None)).into();
        assert_eq!(shortest, [100, 200, 30_000, 30_000]);
    }

    #[test]
    fn a_providers_wish_is_a_floor() {
        assert_eq!(Backoff::default().wait(1, 0.0, Some(60_000)), 60_100);
    }
}
