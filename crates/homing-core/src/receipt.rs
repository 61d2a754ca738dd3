//! The proof that a device or page shows with a receipt: it was given to it inside the notification, so whoever has it
//! was told.
//!
//! ```text
//! proof = base64url(HMAC-SHA256(key, id))     the first 16 bytes, without padding: 22 characters
//! ```
//!
//! It proves the message's id and nothing else: user and device of such a receipt are what the sender of it says.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of a proof before it is written as text.
const LENGTH: usize = 16;

/// The shortest key, in bytes.
pub const SHORTEST: usize = 16;

/// Makes and checks proofs. Its Debug shows no key.
#[derive(Clone)]
pub struct Prover {
    keyed: Hmac<Sha256>,
}

impl Prover {
    /// A prover with this key; `None` if the key is shorter than [`SHORTEST`].
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() < SHORTEST {
            return None;
        }
        Some(Self { keyed: Hmac::new_from_slice(key).ok()? })
    }

    /// The proof of a message's id: 22 characters of base64url.
    pub fn prove(&self, id: &str) -> String {
        let mut mac = self.keyed.clone();
        mac.update(id.as_bytes());
        let code = mac.finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(code.get(..LENGTH).unwrap_or_default())
    }

    /// Is this the proof of that id? Takes the same time for all that are not.
    pub fn is_proof(&self, id: &str, proof: &str) -> bool {
        let Ok(shown) = URL_SAFE_NO_PAD.decode(proof) else { return false };
        if shown.len() != LENGTH {
            return false;
        }
        let mut mac = self.keyed.clone();
        mac.update(id.as_bytes());
        mac.verify_truncated_left(&shown).is_ok()
    }
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prover")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_proof_is_of_one_id_and_one_key() {
        let prover = Prover::new(b"0123456789abcdef").unwrap();
        // printf m-1 | openssl dgst -sha256 -hmac 0123456789abcdef -binary | head -c 16 | basenc --base64url
        assert_eq!(prover.prove("m-1"), EXPECTED);
        assert!(prover.is_proof("m-1", EXPECTED));
        assert!(!prover.is_proof("m-2", EXPECTED));
        assert!(!Prover::new(b"0123456789abcdeg").unwrap().is_proof("m-1", EXPECTED));
        for wrong in ["", "AAAA", "=", "ü", "q83v7w", &format!("{EXPECTED}AA"), &format!("{EXPECTED}==")] {
            assert!(!prover.is_proof("m-1", wrong), "{wrong}");
        }
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_shown() {
        assert!(Prover::new(b"0123456789abcde").is_none());
        assert_eq!(format!("{:?}", Prover::new(b"0123456789abcdef").unwrap()), "Prover");
    }

    const EXPECTED: &str = "kLxuezNfr7dZMp2V9i5nbQ";
}
