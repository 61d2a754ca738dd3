//! Encryption for one browser (RFC 8291) in one record (RFC 8188).
//!
//! ```text
//! salt 16 | record size 4 | 65 | our point 65 | AES-128-GCM(plaintext, 0x02) with its tag of 16
//! ```
//!
//! Each message has a key pair and a salt of its own, so that nothing follows from one for another. They are arguments
//! here: the example of the RFC is produced by the very code that sends.

use p256::{SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToEncodedPoint as _};
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom as _, SystemRandom},
};

use super::subscription::{Keys, POINT};

/// The record size that the header names; ours is the only record, and shorter.
const RECORD: u32 = 4096;

/// After the last byte of the last record (RFC 8188, section 2).
const LAST: u8 = 0x02;

/// What is drawn anew for each message.
pub(super) struct Fresh {
    pub(super) key: SecretKey,
    pub(super) salt: [u8; 16],
}

/// Key and nonce of the record.
pub(super) struct Content {
    pub(super) key: [u8; 16],
    pub(super) nonce: [u8; 12],
}

// === impl Fresh ===

impl Fresh {
    /// From the system's randomness; `None` where it has none.
    pub(super) fn draw(rng: &SystemRandom) -> Option<Self> {
        let mut salt = [0; 16];
        rng.fill(&mut salt).ok()?;
        let mut bytes = [0; 32];
        // One draw in 2^32 is no key: it lies above the order of the curve. Never four in a row.
        let key = (0..4).find_map(|_| {
            rng.fill(&mut bytes).ok()?;
            SecretKey::from_slice(&bytes).ok()
        })?;
        Some(Self { key, salt })
    }
}

/// The body of a push.
///
/// # Errors
/// A primitive refuses its input, which none does for inputs of these lengths.
pub(super) fn seal(plain: &[u8], to: &Keys, fresh: &Fresh) -> Result<Vec<u8>, Unspecified> {
    let own = fresh.key.public_key().to_encoded_point(false);
    let content = content(&keying(to, &fresh.key, own.as_bytes())?, &fresh.salt)?;
    let mut record = Vec::with_capacity(plain.len() + 1 + AES_128_GCM.tag_len());
    record.extend_from_slice(plain);
    record.push(LAST);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content.key)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(content.nonce), Aad::empty(), &mut record)?;

    let mut body = Vec::with_capacity(16 + 4 + 1 + POINT + record.len());
    body.extend_from_slice(&fresh.salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(POINT as u8);
    body.extend_from_slice(own.as_bytes());
    body.append(&mut record);
    Ok(body)
}

/// The input keying material: both pairs of keys and the secret that only the browser and we know (RFC 8291, 3.4).
pub(super) fn keying(to: &Keys, own: &SecretKey, own_point: &[u8]) -> Result<[u8; 32], Unspecified> {
    let shared = diffie_hellman(own.to_nonzero_scalar(), to.public.as_affine());
    let info: [&[u8]; 3] = [b"WebPush: info\0", &to.point, own_point];
    derive(&to.auth, shared.raw_secret_bytes(), &info)
}

/// Key and nonce from it and the salt (RFC 8188, 2.2 and 2.3).
pub(super) fn content(keying: &[u8; 32], salt: &[u8; 16]) -> Result<Content, Unspecified> {
    Ok(Content {
        key: derive(salt, keying, &[b"Content-Encoding: aes128gcm\0"])?,
        nonce: derive(salt, keying, &[b"Content-Encoding: nonce\0"])?,
    })
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF with SHA-256 (RFC 5869).
fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut out = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
