//! The signature of a v2 request.
//!
//! ```text
//! POST openapi.xg.qq.com /v2/push/single_device access_id=123 timestamp=1386691200 abcde     (without the spaces)
//! method sign host       path                   k=v by byte order of k, raw values  secret key
//! ```
//!
//! `sign` is the lower-case hex MD5 of that text. (Xinge v2 REST documentation, 2017 edition, "signature", steps A to F.
//! The 2018 edition sorts its sample without regard to case; real names are all lower case, so both agree.)

use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};

/// A signature in the making. It takes the same strings that go on the wire, un-encoded.
#[derive(Clone)]
pub struct Signer {
    digest: Md5,
}

// === impl Signer ===

impl Signer {
    /// Begins with the method really used (upper case), the host without scheme and port, and the path without query.
    pub fn new(method: &str, host: &str, path: &str) -> Self {
        let mut digest = Md5::new();
        digest.update(method);
        digest.update(host);
        digest.update(path);
        Self { digest }
    }

    /// Adds one parameter. The caller comes with them in byte order of their names, capitals first; an empty value
    /// counts as `name=`.
    pub fn param(&mut self, name: &str, value: &str) {
        self.digest.update(name);
        self.digest.update("=");
        self.digest.update(value);
    }

    /// Ends with the application's secret key (not its access key) and answers the 32 hex digits.
    pub fn finish(mut self, secret: &SecretString) -> String {
        self.digest.update(secret.expose_secret());
        hex(&self.digest.finalize())
    }
}

/// Signs any request: sorts the parameters and leaves out `sign`.
pub fn sign<'a>(
    method: &str,
    host: &str,
    path: &str,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    secret: &SecretString,
) -> String {
    let mut params: Vec<_> = params.into_iter().filter(|(name, _)| *name != "sign").collect();
    params.sort_unstable();
    let mut signer = Signer::new(method, host, path);
    for (name, value) in params {
        signer.param(name, value);
    }
    signer.finish(secret)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_sample_signs_in_byte_order() {
        let params = [
            ("timestamp", "1386691200"),
            ("Param2", "Value2"),
            ("sign", "left out"),
            ("access_id", "123"),
            ("Param1", "Value1"),
        ];
        let secret = SecretString::from("abcde");
        let signed = sign("POST", "openapi.xg.qq.com", "/v2/push/single_device", params, &secret);
        assert_eq!(signed, "ccafecaef6be07493cfe75ebc43b7d53");
    }
}
