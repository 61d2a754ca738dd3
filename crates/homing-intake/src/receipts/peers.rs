//! How much each peer may say. A peer is an IPv4 address or an IPv6 network of 64 bits, as one customer has it.
//!
//! Two generations of peers: when the young one is full it takes the place of the old one, which is forgotten. So it has a
//! bound, and who floods it with addresses gains a fresh second at most.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use axum::http::StatusCode;
use tokio::time::Instant;

use crate::refusal::Refusal;

/// The most peers of a generation.
const MOST: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Peers {
    rate: u32,
    known: Mutex<(HashMap<u64, Bucket>, HashMap<u64, Bucket>)>,
}

/// Tokens that come back with time; a batch may overdraw it.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Peers {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, known: Mutex::default() }
    }

    /// Takes `count` from the peer's share of the second. Peers that the server did not see share one.
    pub(super) fn spend(&self, peer: Option<IpAddr>, count: usize, now: Instant) -> Result<(), Refusal> {
        if self.rate == 0 {
            return Ok(());
        }
        let rate = f64::from(self.rate);
        let peer = network(peer);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = &mut *known;
        let bucket = young.get(&peer).or_else(|| old.get(&peer)).copied();
        let mut bucket = bucket.unwrap_or(Bucket { tokens: rate, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            let wait = ((1.0 - bucket.tokens) / rate).ceil();
            let message = format!("more than {rate} receipts a second come from here");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", message).again(wait as u64));
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000 receipts")]
        let count = count as f64;
        bucket.tokens -= count;
        if young.len() >= MOST && !young.contains_key(&peer) {
            *old = std::mem::take(young);
        }
        young.insert(peer, bucket);
        Ok(())
    }
}

fn network(peer: Option<IpAddr>) -> u64 {
    match peer.map(|peer| peer.to_canonical()) {
        None => 0,
        Some(IpAddr::V4(peer)) => u64::from(peer.to_bits()) + 1,
        Some(IpAddr::V6(peer)) => (peer.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::Duration;

    use super::*;

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_peer_has_its_own_share_and_it_comes_back() {
        let (peers, now) = (Peers::new(10), Instant::now());
        let spend = |from, count, ms| peers.spend(from, count, now + Duration::from_millis(ms));
        assert!(spend(peer("192.0.2.1"), 8, 0).is_ok() && spend(peer("::ffff:192.0.2.1"), 30, 0).is_ok());
        let refusal = spend(peer("192.0.2.1"), 1, 0).unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.retry_after), (429, Some(3)));
        assert!(spend(peer("192.0.2.2"), 10, 0).is_ok() && spend(None, 10, 0).is_ok());
        assert!(spend(peer("192.0.2.1"), 1, 2_900).is_ok(), "what was overdrawn came back first");
        assert!(spend(peer("2001:db8::1"), 10, 0).is_ok() && spend(peer("2001:db8::2"), 1, 0).is_err());
        assert!(spend(peer("2001:db8:0:1::1"), 1, 0).is_ok());
        assert!(Peers::new(0).spend(None, 1_000_000, now).is_ok());
    }

    #[test]
    fn it_never_knows_more_than_its_bound() {
        let (peers, now) = (Peers::new(1), Instant::now());
        for n in 0..50_000_u32 {
            peers.spend(Some(IpAddr::V4(n.into())), 1, now).unwrap();
        }
        let known = peers.known.lock().unwrap();
        assert!(known.0.len() <= MOST && known.1.len() <= MOST);
    }
}
