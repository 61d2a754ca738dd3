//! Chance that can be repeated: SplitMix64.

/// A sequence of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

// === impl Dice ===

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True for this share of the throws.
    pub(crate) fn hits(&mut self, rate: f64) -> bool {
        // The upper 53 bits are all that an f64 holds.
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < rate
    }

    /// 0 to `max`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        let throw = self.next();
        max.checked_add(1).map_or(throw, |span| throw % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_kept_and_seeds_repeat() {
        let mut dice = Dice::new(7);
        let hits = (0..10_000).filter(|_| dice.hits(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| !dice.hits(0.0)));
        assert!((0..1_000).all(|_| dice.hits(1.0)));
        assert!((0..1_000).all(|_| dice.up_to(9) <= 9));
        assert_eq!(Dice::new(3).next(), Dice::new(3).next());
    }
}
