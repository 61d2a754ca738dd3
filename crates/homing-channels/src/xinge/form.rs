//! The body of a v2 request: `application/x-www-form-urlencoded` as the official SDK writes it ("quote plus": a space is
//! `+`, `~` is `%7E`, hex digits are upper case).

use secrecy::SecretString;

use super::sign::Signer;

/// What stays as it is: letters, digits, `_`, `.` and `-` (the SDK's `quote_plus`).
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-');
        byte += 1;
    }
    plain
};

/// Encodes pairs in the given order.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut body = Vec::new();
    for (name, value) in pairs {
        push_pair(&mut body, name, value);
    }
    body.into_iter().map(char::from).collect()
}

fn push_pair(body: &mut Vec<u8>, name: &str, value: &str) {
    if !body.is_empty() {
        body.push(b'&');
    }
    push_encoded(body, name);
    body.push(b'=');
    push_encoded(body, value);
}

fn push_encoded(body: &mut Vec<u8>, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text.as_bytes() {
        if PLAIN[usize::from(byte)] {
            body.push(byte);
        } else if byte == b' ' {
            body.push(b'+');
        } else {
            body.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Body and signature, written in one pass over the same strings. The pairs come in byte order of their names.
///
/// A clone of a begun form is cheap, so the part that an account's requests share is encoded and hashed once.
#[derive(Clone)]
pub(crate) struct SignedForm {
    body: Vec<u8>,
    signer: Signer,
    last: &'static str,
}

// === impl SignedForm ===

impl SignedForm {
    pub(crate) fn new(signer: Signer) -> Self {
        Self { body: Vec::new(), signer, last: "" }
    }

    /// A copy with room for `more` bytes.
    pub(crate) fn begin(&self, more: usize) -> Self {
        let mut body = Vec::with_capacity(self.body.len() + more);
        body.extend_from_slice(&self.body);
        Self { body, signer: self.signer.clone(), last: self.last }
    }

    pub(crate) fn pair(&mut self, name: &'static str, value: &str) {
        debug_assert!(self.last < name, "{name} after {}", self.last);
        self.last = name;
        self.signer.param(name, value);
        push_pair(&mut self.body, name, value);
    }

    /// The whole body, `sign` last.
    pub(crate) fn finish(self, secret: &SecretString) -> Vec<u8> {
        let Self { mut body, signer, .. } = self;
        push_pair(&mut body, "sign", &signer.finish(secret));
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xinge::sign;

    #[test]
    fn quoting_is_the_sdks() {
        assert_eq!(encode([("a b", "1+1 ~ \"é\"/_.-"), ("e", "")]), "a+b=1%2B1+%7E+%22%C3%A9%22%2F_.-&e=");
    }

    #[test]
    fn a_signed_form_signs_what_it_sends() {
        let secret = SecretString::from("made-up");
        let mut start = SignedForm::new(Signer::new("POST", "h", "/p"));
        start.pair("access_id", "1");
        let mut form = start.begin(100);
        form.pair("message", "{\"a\":\"&= \"}");
        form.pair("send_time", "");
        let signed =
            sign("POST", "h", "/p", [("message", "{\"a\":\"&= \"}"), ("access_id", "1"), ("send_time", "")], &secret);
        let body = form.finish(&secret);
        let expected = format!("access_id=1&message=%7B%22a%22%3A%22%26%3D+%22%7D&send_time=&sign={signed}");
        assert_eq!(String::from_utf8(body).as_deref(), Ok(expected.as_str()));
    }
}
