//! Every event has an id before it stands in a queue: that is what makes a repeated request harmless.

use std::fmt::Write as _;

use homing_core::clock::Millis;
use sha2::{Digest, Sha256};
use uuid::{NoContext, Timestamp, Uuid};

/// A new id, in the order of time.
pub(crate) fn mint(now: Millis) -> String {
    let now = u64::try_from(now).unwrap_or(0);
    let nanos = u32::try_from(now % 1_000 * 1_000_000).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, now / 1_000, nanos)).to_string()
}

/// The id that belongs to an idempotency key of a caller, and in a batch to the event's place.
pub(crate) fn derive(caller: &str, key: &str, index: Option<usize>) -> String {
    let index = index.map(|i| i.to_string()).unwrap_or_default();
    let digest = half(&[b"homing id", caller.as_bytes(), key.as_bytes(), index.as_bytes()]);
    digest.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// 128 bits of SHA-256 over parts, each with its length in front, so that none can pass for two.
pub(crate) fn half(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut half = [0; 16];
    half.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_id_per_caller_and_place() {
        let id = derive("shop", "order-1", None);
        assert_eq!(id.len(), 32);
        assert_eq!(id, derive("shop", "order-1", None));
        let others = [
            derive("shop", "order-2", None),
            derive("shop2", "order-1", None),
            derive("shopo", "rder-1", None),
            derive("shop", "order-1", Some(0)),
            derive("shop", "order-1", Some(1)),
        ];
        assert!(others.iter().all(|other| *other != id));
        assert_eq!(derive("a", "b", Some(1)), derive("a", "b", Some(1)));
    }

    #[test]
    fn minted_ids_differ_and_are_in_order() {
        let (first, second) = (mint(1_795_222_800_000), mint(1_795_222_800_001));
        assert_eq!(first.len(), 36);
        assert!(first < second);
        assert_ne!(mint(1), mint(1));
    }
}
