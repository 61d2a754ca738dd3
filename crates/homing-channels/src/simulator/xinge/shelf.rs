//! The deliveries: the latest of all, and the latest of each device.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use homing_core::clock::Millis;

use super::{order::Content, state::hash};

/// One accepted push. Copies are cheap, and a page shares its message.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) seq: u64,
    pub(super) received_at_ms: Millis,
    pub(super) content: Arc<Content>,
    pub(super) token: Arc<str>,
    /// Devices of the call that it came with.
    pub(super) page: usize,
    pub(super) push_id: Option<u64>,
    token_hash: u64,
}

/// What is remembered of them. The oldest go; a device also forgets its oldest.
pub(super) struct Shelf {
    keep: usize,
    keep_per_token: usize,
    deliveries: VecDeque<Delivery>,
    last_seq: u64,
    /// The numbers of a device's deliveries, by the hash of its token.
    phones: HashMap<u64, VecDeque<u64>>,
}

// === impl Shelf ===

impl Shelf {
    pub(super) fn new(keep: usize, keep_per_token: usize) -> Self {
        Self {
            keep: keep.max(1),
            keep_per_token: keep_per_token.max(1),
            deliveries: VecDeque::new(),
            last_seq: 0,
            phones: HashMap::new(),
        }
    }

    pub(super) fn put(
        &mut self,
        content: &Arc<Content>,
        token: String,
        page: usize,
        push_id: Option<u64>,
        received_at_ms: Millis,
    ) {
        while self.deliveries.len() >= self.keep
            && let Some(oldest) = self.deliveries.pop_front()
        {
            self.forget(oldest.token_hash, oldest.seq);
        }
        self.last_seq += 1;
        let token_hash = hash(&token.as_str());
        let phone = self.phones.entry(token_hash).or_default();
        if phone.len() >= self.keep_per_token {
            phone.pop_front();
        }
        phone.push_back(self.last_seq);
        self.deliveries.push_back(Delivery {
            seq: self.last_seq,
            received_at_ms,
            content: Arc::clone(content),
            token: token.into(),
            page,
            push_id,
            token_hash,
        });
    }

    fn forget(&mut self, token_hash: u64, seq: u64) {
        if let Some(phone) = self.phones.get_mut(&token_hash) {
            if phone.front() == Some(&seq) {
                phone.pop_front();
            }
            if phone.is_empty() {
                self.phones.remove(&token_hash);
            }
        }
    }

    /// Sequence numbers have no gaps, so a position is a difference.
    fn position(&self, seq: u64) -> usize {
        let first = self.deliveries.front().map_or(0, |delivery| delivery.seq);
        usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX)
    }

    /// Up to `limit` deliveries after `seq`, oldest first.
    pub(super) fn after(&self, seq: u64, limit: usize) -> Vec<Delivery> {
        let skip = self.position(seq.saturating_add(1)).min(self.deliveries.len());
        self.deliveries.range(skip..).take(limit).cloned().collect()
    }

    /// Up to `limit` deliveries to `token`, newest first.
    pub(super) fn of_token(&self, token: &str, limit: usize) -> Vec<Delivery> {
        let Some(phone) = self.phones.get(&hash(&token)) else { return Vec::new() };
        let newest = phone.iter().rev().filter_map(|seq| self.deliveries.get(self.position(*seq)));
        newest.filter(|delivery| &*delivery.token == token).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use homing_core::notification::Platform;
    use serde_json::Value;

    use super::*;
    use crate::simulator::xinge::{App, Flavour};

    #[test]
    fn a_shelf_keeps_the_latest_of_all_and_of_each() {
        let app = App {
            flavour: Flavour::V2,
            access_id: "21".to_owned(),
            secret: "made-up".into(),
            platform: Platform::Android,
        };
        let content = Content {
            app: Arc::new(app),
            message_type: Value::from(1),
            environment: "0",
            message: "{}".to_owned(),
            id: None,
        };
        let content = Arc::new(content);
        let mut shelf = Shelf::new(10, 3);
        for number in 0..40 {
            let token = if number % 2 == 0 { "even".to_owned() } else { format!("odd-{number}") };
            shelf.put(&content, token, 1, None, 0);
        }
        let seqs = |found: Vec<Delivery>| found.iter().map(|delivery| delivery.seq).collect::<Vec<_>>();
        assert_eq!(seqs(shelf.after(0, 100)), (31..=40).collect::<Vec<_>>());
        assert_eq!(seqs(shelf.after(35, 2)), [36, 37]);
        assert_eq!(seqs(shelf.after(40, 2)), [0; 0]);
        assert_eq!(seqs(shelf.of_token("even", 9)), [39, 37, 35]);
        assert_eq!(seqs(shelf.of_token("even", 1)), [39]);
        assert_eq!(seqs(shelf.of_token("odd-39", 9)), [40]);
        assert_eq!(seqs(shelf.of_token("odd-1", 9)), [0; 0]);
        assert_eq!(shelf.phones.len(), 6, "what is forgotten takes no memory");
    }
}
