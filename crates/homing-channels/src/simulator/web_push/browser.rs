//! A browser's keys, and how it decrypts (RFC 8291, section 3; RFC 8188, section 2). HKDF is written out here with HMAC.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::{
    PublicKey, SecretKey,
    ecdh::diffie_hellman,
    elliptic_curve::{
        rand_core::{OsRng, RngCore as _},
        sec1::ToEncodedPoint as _,
    },
};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;

/// Keys of one subscription.
pub(crate) struct Browser {
    key: SecretKey,
    point: Vec<u8>,
    auth: [u8; 16],
}

impl Browser {
    pub(crate) fn draw() -> Self {
        let mut auth = [0; 16];
        OsRng.fill_bytes(&mut auth);
        Self::of(SecretKey::random(&mut OsRng), auth)
    }

    #[cfg(test)]
    pub(crate) fn with(private: &[u8], auth: [u8; 16]) -> Option<Self> {
        Some(Self::of(SecretKey::from_slice(private).ok()?, auth))
    }

    fn of(key: SecretKey, auth: [u8; 16]) -> Self {
        let point = key.public_key().to_encoded_point(false).as_bytes().to_vec();
        Self { key, point, auth }
    }

    pub(crate) fn p256dh(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.point)
    }

    pub(crate) fn auth(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.auth)
    }
}

/// The plaintext of a body of `aes128gcm`.
pub(crate) fn open(browser: &Browser, body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (salt, rest) = body.split_at_checked(16).ok_or("the salt is cut off")?;
    let (size, rest) = rest.split_first_chunk::<4>().ok_or("the record size is cut off")?;
    let (length, rest) = rest.split_first().ok_or("the key's length is cut off")?;
    let (sender, records) = rest.split_at_checked(usize::from(*length)).ok_or("the key is cut off")?;
    let size = u32::from_be_bytes(*size) as usize;
    if size < 18 {
        return Err("the record size is below 18");
    }
    let public = PublicKey::from_sec1_bytes(sender).map_err(|_| "the sender's key is no point")?;
    let shared = diffie_hellman(browser.key.to_nonzero_scalar(), public.as_affine());
    let prk = hmac(&browser.auth, &[shared.raw_secret_bytes()]);
    let ikm = hmac(&prk, &[b"WebPush: info\0", &browser.point, sender, &[1]]);
    let prk = hmac(salt, &[&ikm]);
    let key = hmac(&prk, &[b"Content-Encoding: aes128gcm\0\x01"]);
    let base = hmac(&prk, &[b"Content-Encoding: nonce\0\x01"]);
    let (key, _) = key.split_at_checked(16).ok_or("no key")?;
    let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| "no key")?;
    let key = LessSafeKey::new(key);

    let mut plain = Vec::new();
    let count = records.len().div_ceil(size);
    if count == 0 {
        return Err("there is no record");
    }
    for (number, record) in records.chunks(size).enumerate() {
        let mut nonce = [0; 12];
        for (place, byte) in nonce.iter_mut().zip(&base) {
            *place = *byte;
        }
        for (place, byte) in nonce.iter_mut().rev().zip((number as u64).to_le_bytes()) {
            *place ^= byte;
        }
        let mut record = record.to_vec();
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)
            .map_err(|_| "a record does not decrypt")?;
        let end = opened.iter().rposition(|byte| *byte != 0).ok_or("a record is padding alone")?;
        let (text, delimiter) = opened.split_at_checked(end).ok_or("a record is padding alone")?;
        let expected = if number + 1 == count { 2 } else { 1 };
        if delimiter.first() != Some(&expected) {
            return Err("a record ends with the wrong delimiter");
        }
        plain.extend_from_slice(text);
    }
    Ok(plain)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length; without one nothing decrypts, which is the answer then.
    let Ok(mut state) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        state.update(part);
    }
    state.finalize().into_bytes().to_vec()
}
