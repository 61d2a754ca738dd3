//! The ids of the overlap that this process knows to be taken in. The seat's set is the truth; this spares asking it.

use std::collections::HashMap;

use homing_core::clock::Millis;

/// An overlap holds at most so many ids; above that it is shortened. About 100 bytes each.
pub(super) const MAX_IDS: usize = 200_000;

/// Ids with their times.
#[derive(Default)]
pub(super) struct Window {
    ids: HashMap<Box<str>, Millis>,
}

impl Window {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    pub(super) fn insert(&mut self, id: String, at: Millis) {
        self.ids.insert(id.into_boxed_str(), at);
        if self.ids.len() > MAX_IDS + MAX_IDS / 4 {
            self.keep_newest();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Drops what is older than this.
    pub(super) fn prune(&mut self, before: Millis) {
        self.ids.retain(|_, at| *at >= before);
        if self.ids.capacity() > 4 * self.ids.len() + 1_024 {
            self.ids.shrink_to(2 * self.ids.len());
        }
    }

    fn keep_newest(&mut self) {
        let mut times: Vec<Millis> = self.ids.values().copied().collect();
        let cut = times.len().saturating_sub(MAX_IDS);
        let (_, cut, _) = times.select_nth_unstable(cut);
        let cut = *cut;
        // Of many equal times some go beyond the bound; then more than the bound are forgotten, and asked for again.
        self.ids.retain(|_, at| *at > cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay() {
        let mut window = Window::default();
        for n in 0..1_000_000_i64 {
            window.insert(n.to_string(), n);
        }
        assert!(window.len() <= MAX_IDS + MAX_IDS / 4 && window.len() >= MAX_IDS / 2);
        assert!(window.contains("999999") && !window.contains("5"));
        window.prune(999_990);
        assert_eq!(window.len(), 10);
    }
}
