//! The JSON reply of a push call, read tolerantly, and its class as an answer.

use homing_core::channel::{Answer, Outcome};
use serde_json::Value;

use super::codes::Class;

/// Characters of a provider's text that are kept for people.
const TEXT_MAX: usize = 200;

/// A reply: `{"ret_code": int, "err_msg": str?, "result": any?}`. (Xinge v2 REST documentation, 2018 edition,
/// "response"; two of its samples misspell `err_msg` as `erroeMsg`, and `result` has many shapes.)
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: i64,
    pub(crate) text: String,
}

// === impl Reply ===

impl Reply {
    /// `None` when the body is not a reply.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Wire {
            ret_code: Value,
            #[serde(default)]
            err_msg: Value,
            #[serde(default, rename = "erroeMsg")]
            misspelt: Value,
        }
        let wire: Wire = serde_json::from_slice(body).ok()?;
        let code = match wire.ret_code {
            Value::Number(number) => number.as_i64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        let text = match (wire.err_msg, wire.misspelt) {
            (Value::String(text), _) | (_, Value::String(text)) => text,
            _ => String::new(),
        };
        Some(Self { code, text })
    }
}

/// The outcome of every class but [`Class::Clock`], which needs the account's clock.
pub(crate) fn outcome(class: Class, text: &str) -> Outcome {
    match class {
        Class::Ok => Outcome::Delivered { provider_id: None },
        Class::Retry => Outcome::Retry { after: None },
        Class::Rate => Outcome::RateLimited { after: None },
        Class::Auth | Class::Cert | Class::Clock => Outcome::Config,
        Class::AuthOrRetry if speaks_of_sign(text) => Outcome::Config,
        Class::AuthOrRetry => Outcome::Retry { after: None },
        Class::Bad | Class::Big | Class::Quota => Outcome::Payload,
        Class::Token => Outcome::TokenInvalid,
        Class::NoTarget => Outcome::NoDevice,
        Class::Unknown => Outcome::Unknown,
    }
}

fn speaks_of_sign(text: &str) -> bool {
    text.to_ascii_lowercase().contains("sign") || text.contains("签名")
}

/// `ret_code 40 (token not registered in Xinge): their text`, without the token and the secret if theirs repeats them.
pub(crate) fn detail(reply: &Reply, meaning: &str, hide: &[&str]) -> String {
    if reply.code == 0 && reply.text.is_empty() {
        return "ret_code 0".to_owned();
    }
    let mut text = reply.text.clone();
    for hidden in hide.iter().filter(|hidden| !hidden.is_empty()) {
        if text.contains(hidden) {
            text = text.replace(hidden, "..");
        }
    }
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect();
    let colon = if text.is_empty() { "" } else { ": " };
    format!("ret_code {} ({meaning}){colon}{text}", reply.code)
}

/// An answer that is not about a result code.
pub(crate) fn answer(outcome: Outcome, detail: impl Into<String>) -> Answer {
    Answer { outcome, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<(i64, &str)>) {
        let expected = expected.map(|(code, text)| Reply { code, text: text.to_owned() });
        assert_eq!(Reply::read(body.as_bytes()), expected, "{body}");
    }

    #[test]
    fn replies_are_read_tolerantly() {
        check(r#"{"ret_code": 0, "err_msg": "", "result": ""}"#, Some((0, "")));
        check(r#"{"ret_code":-2,"err_msg":"late","result":{"a":[1]}}"#, Some((-2, "late")));
        check(r#"{"ret_code":0}"#, Some((0, "")));
        check(r#"{"ret_code":"40","erroeMsg":"gone"}"#, Some((40, "gone")));
        check(r#"{"ret_code":48,"err_msg":null,"erroeMsg":"x","result":null}"#, Some((48, "x")));
        check(r#"{"ret_code":1,"err_msg":7}"#, Some((1, "")));
        check(r#"{"ret_code":null}"#, None);
        check(r#"{"ret_code":1.5}"#, None);
        check(r#"{"code":0}"#, None);
        check("<html>", None);
        check("", None);
        check("[]", None);
    }

    #[test]
    fn minus_three_depends_on_its_text() {
        for (text, expected) in [
            ("Sign invalid", Outcome::Config),
            ("签名错误", Outcome::Config),
            ("", Outcome::Retry { after: None }),
            ("server error", Outcome::Retry { after: None }),
        ] {
            assert_eq!(outcome(Class::AuthOrRetry, text), expected, "{text}");
        }
    }

    #[test]
    fn details_hide_what_the_service_repeats() {
        let reply = Reply { code: 40, text: format!("token abcdef\nof key{}", "x".repeat(500)) };
        let text = detail(&reply, "gone", &["abcdef", "key", ""]);
        assert!(text.starts_with("ret_code 40 (gone): token .. of ..x"), "{text}");
        assert!(text.len() < 260);
    }
}
