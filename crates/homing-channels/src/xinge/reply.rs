//! The JSON reply of a push call, read tolerantly, and its class as an answer.

use homing_core::channel::{Answer, Outcome};
use serde_json::Value;

use super::codes::Class;

/// Characters of a provider's text that are kept for people.
const TEXT_MAX: usize = 200;

/// Longest word of a provider's text that is shown if it has a digit: tokens and keys are longer.
const WORD_MAX: usize = 24;

/// A reply: `{"ret_code": int, "err_msg": str?, "result": any?, "push_id": any?}`. (Xinge v2 REST documentation, 2018
/// edition, "response"; two of its samples misspell `err_msg` as `erroeMsg`, and `result` has many shapes. Some calls of
/// TPNS answer `retCode` and `errMsg`.)
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: i64,
    pub(crate) text: String,
    result: Value,
    push_id: Value,
}

// === impl Reply ===

impl Reply {
    /// `None` when the body is not a reply.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Wire {
            #[serde(alias = "retCode")]
            ret_code: Value,
            #[serde(default, alias = "errMsg")]
            err_msg: Value,
            #[serde(default, rename = "erroeMsg")]
            misspelt: Value,
            #[serde(default)]
            result: Value,
            #[serde(default)]
            push_id: Value,
        }
        let wire: Wire = serde_json::from_slice(body).ok()?;
        let code = number(&wire.ret_code)?;
        let text = match (wire.err_msg, wire.misspelt) {
            (Value::String(text), _) | (_, Value::String(text)) => text,
            _ => String::new(),
        };
        Some(Self { code, text, result: wire.result, push_id: wire.push_id })
    }

    /// The id of a task: under `result` in v2, at the top in v3 and TPNS; a number or a text.
    pub(crate) fn push_id(&self) -> Option<String> {
        let id = self.result.get("push_id").unwrap_or(&self.push_id);
        match id {
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) if !text.is_empty() && text.len() <= 64 => Some(text.clone()),
            _ => None,
        }
    }

    /// One code per target: an array, or a text that holds one. `None` when it is not one of `targets` codes.
    pub(crate) fn codes(&self, targets: usize) -> Option<Vec<i64>> {
        let read = |values: &[Value]| values.iter().map(number).collect::<Option<Vec<_>>>();
        let codes = match &self.result {
            Value::Array(values) => read(values),
            Value::String(text) => read(&serde_json::from_str::<Vec<Value>>(text).ok()?),
            _ => None,
        }?;
        (codes.len() == targets).then_some(codes)
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The outcome of every class but [`Class::Clock`] and [`Class::AuthOrClock`], which need the account's clock.
pub(crate) fn outcome(class: Class, text: &str) -> Outcome {
    match class {
        Class::Ok => Outcome::Delivered { provider_id: None },
        Class::Retry => Outcome::Retry { after: None },
        Class::Rate => Outcome::limited(None),
        Class::Auth | Class::Cert | Class::Clock | Class::AuthOrClock => Outcome::Config,
        Class::AuthOrRetry if speaks_of_sign(text) => Outcome::Config,
        Class::AuthOrRetry => Outcome::Retry { after: None },
        Class::Bad | Class::Big | Class::Quota => Outcome::Payload,
        Class::Token => Outcome::DEAD,
        Class::NoTarget => Outcome::NoDevice,
        Class::Partial => Outcome::Ambiguous,
        Class::Unknown => Outcome::Unknown,
    }
}

/// The outcome for all targets of a page whose reply does not tell them apart. A code about a token says that one of them
/// is bad and not which: none of them is removed for it.
pub(crate) fn page_outcome(class: Class, text: &str) -> Outcome {
    match class {
        Class::Token | Class::NoTarget => Outcome::Unknown,
        class => outcome(class, text),
    }
}

fn speaks_of_sign(text: &str) -> bool {
    text.to_ascii_lowercase().contains("sign") || text.contains("签名")
}

/// `ret_code 40 (token not registered in Xinge): their text`, without the secrets of `hide` and without what looks like a
/// token, if theirs repeats them.
pub(crate) fn detail(reply: &Reply, meaning: &str, hide: &[&str]) -> String {
    if reply.code == 0 && reply.text.is_empty() {
        return "ret_code 0".to_owned();
    }
    let colon = if reply.text.is_empty() { "" } else { ": " };
    format!("ret_code {} ({meaning}){colon}{}", reply.code, masked(&reply.text, hide))
}

fn masked(text: &str, hide: &[&str]) -> String {
    let mut text = text.to_owned();
    for hidden in hide.iter().filter(|hidden| !hidden.is_empty()) {
        if text.contains(hidden) {
            text = text.replace(hidden, "..");
        }
    }
    let mut shown = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let tail = word.chars().next_back().filter(|c| !c.is_ascii_alphanumeric());
        let bare = word.len() - tail.map_or(0, char::len_utf8);
        if bare > WORD_MAX && word.bytes().any(|byte| byte.is_ascii_digit()) {
            shown.push_str("..");
            shown.extend(tail);
        } else {
            shown.push_str(word);
        }
        if shown.len() > TEXT_MAX * 4 {
            break;
        }
    }
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect()
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
        let read = Reply::read(body.as_bytes());
        assert_eq!(read.as_ref().map(|reply| (reply.code, reply.text.as_str())), expected, "{body}");
    }

    #[test]
    fn replies_are_read_tolerantly() {
        check(r#"{"ret_code": 0, "err_msg": "", "result": ""}"#, Some((0, "")));
        check(r#"{"ret_code":-2,"err_msg":"late","result":{"a":[1]}}"#, Some((-2, "late")));
        check(r#"{"ret_code":0}"#, Some((0, "")));
        check(r#"{"retCode":1008003,"errMsg":"no"}"#, Some((1_008_003, "no")));
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
    fn push_ids_and_codes_have_several_shapes() {
        let read = |more: &str| Reply::read(format!("{{\"ret_code\":0,{more}}}").as_bytes()).unwrap();
        for (more, expected) in [
            (r#""result":{"push_id":"2853333945"}"#, Some("2853333945")),
            (r#""result":{"push_id":100000}"#, Some("100000")),
            (r#""push_id":"427184209","result":"[0]""#, Some("427184209")),
            (r#""push_id":427184209"#, Some("427184209")),
            (r#""push_id":"""#, None),
            (r#""result":{"push_id":null}"#, None),
            (r#""result":"""#, None),
        ] {
            assert_eq!(read(more).push_id().as_deref(), expected, "{more}");
        }
        for (more, expected) in [
            (r#""result":"[0,1008006]""#, Some(vec![0, 1_008_006])),
            (r#""result":["0","1008006"]"#, Some(vec![0, 1_008_006])),
            (r#""result":[0,48]"#, Some(vec![0, 48])),
            (r#""result":"[0]""#, None),
            (r#""result":"[0,null]""#, None),
            (r#""result":"[0,1""#, None),
            (r#""result":"""#, None),
            (r#""result":{}"#, None),
            (r#""seq":0"#, None),
        ] {
            assert_eq!(read(more).codes(2), expected, "{more}");
        }
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
    fn a_page_never_costs_a_token() {
        assert_eq!(page_outcome(Class::Token, ""), Outcome::Unknown);
        assert_eq!(page_outcome(Class::NoTarget, ""), Outcome::Unknown);
        assert_eq!(page_outcome(Class::Bad, ""), Outcome::Payload);
    }

    #[test]
    fn details_hide_what_the_service_repeats() {
        let read = |text: &str| {
            let body = serde_json::json!({"ret_code": 40, "err_msg": text}).to_string();
            detail(&Reply::read(body.as_bytes()).unwrap(), "gone", &["key", ""])
        };
        let token = "a1".repeat(20);
        let text = read(&format!("token {token}\nof key, {token} {}", "x ".repeat(5_000)));
        assert!(text.starts_with("ret_code 40 (gone): token .. of .., .. x x"), "{text}");
        assert!(text.len() < 260);
        assert_eq!(read(&token), "ret_code 40 (gone): ..");
        assert_eq!(
            read("签名错误 aLongWordWithoutAnyDigitsInIt"),
            "ret_code 40 (gone): 签名错误 aLongWordWithoutAnyDigitsInIt"
        );
        assert_eq!(read(""), "ret_code 40 (gone)");
    }
}
