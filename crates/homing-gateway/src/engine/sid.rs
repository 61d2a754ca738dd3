//! Ids of Engine.IO sessions: 32 characters of base64url that nobody can guess, and that say where the session is, so that
//! HTTP finds its shard without a table.
//!
//! ```text
//! shard (2 bytes) | slot (4) | generation (4) | random (14)
//! ```
//!
//! The session itself compares the whole of it: the first ten bytes lead somewhere, they open nothing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

use crate::session::SessionKey;

const RANDOM: usize = 14;
const LENGTH: usize = 10 + RANDOM;

/// A new id for the session of this key; `None` = the system has no random numbers.
pub fn make(key: SessionKey) -> Option<String> {
    let mut bytes = [0; LENGTH];
    let (place, random) = bytes.split_at_mut(LENGTH - RANDOM);
    let key = [&key.shard.to_be_bytes()[..], &key.slot.to_be_bytes(), &key.generation.to_be_bytes()].concat();
    place.copy_from_slice(&key);
    SystemRandom::new().fill(random).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// An id that carries nothing: a Socket.IO session's. 20 characters, as the JavaScript server's.
pub(crate) fn plain() -> Option<String> {
    let mut bytes = [0; 15];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Where the session of this id would be; `None` = it is no such id.
pub fn key_of(text: &str) -> Option<SessionKey> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == LENGTH)?;
    let (shard, rest) = bytes.split_first_chunk::<2>()?;
    let (slot, rest) = rest.split_first_chunk::<4>()?;
    let (generation, _) = rest.split_first_chunk::<4>()?;
    Some(SessionKey {
        shard: u16::from_be_bytes(*shard),
        slot: u32::from_be_bytes(*slot),
        generation: u32::from_be_bytes(*generation),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_leads_to_its_session() {
        let key = SessionKey { shard: 513, slot: u32::MAX - 1, generation: 7 };
        let sids: HashSet<_> = (0..100).map(|_| make(key).unwrap()).collect();
        assert_eq!(sids.len(), 100);
        for sid in &sids {
            assert_eq!(sid.len(), 32);
            assert_eq!(key_of(sid), Some(key));
        }
        for text in ["", "abc", "小", &"a".repeat(31), &"a".repeat(33), &"*".repeat(32), &"a".repeat(10_000)] {
            assert_eq!(key_of(text), None, "{text}");
        }
        assert_eq!(plain().unwrap().len(), 20);
    }
}
