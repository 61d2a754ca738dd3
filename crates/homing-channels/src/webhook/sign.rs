//! The signature: `Homing-Signature: t=UNIX,v1=HEX`, where HEX is HMAC-SHA256 with the hook's secret over the time, a dot
//! and the body's bytes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The header's name.
pub const SIGNATURE: &str = "homing-signature";

/// The header's value for these bytes at this time in Unix seconds.
pub fn sign(secret: &SecretString, seconds: i64, body: &[u8]) -> String {
    // HMAC takes keys of every length; a signature without one would be refused.
    let Ok(mut state) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return format!("t={seconds}");
    };
    state.update(format!("{seconds}.").as_bytes());
    state.update(body);
    let hex: String = state.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// printf '1767225600.{"id":"m-1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
    #[test]
    fn openssl_gives_the_same_signature() {
        let signed = sign(&SecretString::from("0123456789abcdef"), 1_767_225_600, br#"{"id":"m-1"}"#);
        assert_eq!(signed, "t=1767225600,v1=0b48486c37b454aaa61c6471a543a72bb8f10b5ad77261ec672344b6ac3865f9");
    }
}
