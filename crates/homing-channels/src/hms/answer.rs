//! What an answer means for each target. `codes.toml` holds the classes. HTTP 200 says nothing: the text `code` does; and
//! where only some tokens failed, `msg` is JSON again and names them:
//!
//! ```text
//! v1  {"code":"80100000","msg":"{\"success\":3,\"failure\":1,\"illegal_tokens\":[\"..\"]}","requestId":".."}
//! v3  {"code":"80100000","msg":"{\"illegalTokens\":{\"noRight\":[\"..\"]},\"success\":1,\"failure\":1}","requestId":".."}
//! ```

use std::collections::HashMap;

use homing_core::{channel::Outcome, clock::Millis};
use serde_json::Value;

use crate::common::{
    codes::{Class, Codes},
    http::Reply,
    words::words,
};

/// Lists of tokens that are another app's.
const STRANGERS: [&str; 2] = ["noRight", "appinfoError"];

/// The name of a list that has none.
const UNNAMED: &str = "illegal";

/// What an answer means for one target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// It means this, whatever others are answered.
    Plain(Outcome),
    /// The token is another app's, if others are not.
    Stranger,
    /// The credential is refused.
    Renew,
}

/// A reading and its words for the record.
pub(crate) type Read = (Reading, String);

/// Reads an answer for each of `tokens`. `secrets` do not appear in the words, nor do the tokens.
pub(crate) fn read(reply: &Reply, codes: &Codes, tokens: &[&str], now: Millis, secrets: &[&str]) -> Vec<Read> {
    let (status, body) = (reply.status.as_u16(), reply.json());
    let fine = (200..300).contains(&status);
    let given = match &body["code"] {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        _ => None,
    };
    let http = format!("HTTP {status}");
    // Of the service's own failure the status says enough; a code that is not known is said by the status, too.
    let code = match given.clone() {
        Some(code) if status < 500 && (fine || codes.class(&code).is_some()) => words(&code, &[]),
        _ => http.clone(),
    };
    let text = match &body["msg"] {
        Value::String(text) => text.as_str(),
        _ => "",
    };
    let id = body["requestId"].as_str().map(|id| words(id, secrets)).filter(|id| !id.is_empty());
    let lists = Lists::of(text);
    // Lists of tokens are not repeated.
    let said = if lists.is_some() { String::new() } else { words(text, &[secrets, tokens].concat()) };
    let said = if said.is_empty() { codes.words(&code).to_owned() } else { said };
    let mut detail = if code == http { code.clone() } else { format!("{code} ({http})") };
    if code == http
        && let Some(given) = &given
    {
        detail.push_str(&format!(", code {}", words(given, &[])));
    }
    if !said.is_empty() {
        detail.push_str(&format!(": {said}"));
    }
    let all = |reading: Reading| vec![(reading, detail.clone()); tokens.len()];
    let after = reply.retry_after(now);
    match codes.class(&code) {
        None if fine && given.is_none() => all(Reading::Plain(Outcome::Ambiguous)),
        // Somebody else than Huawei answers at that address.
        None if (300..400).contains(&status) => all(Reading::Plain(Outcome::Config)),
        None if status >= 500 => all(Reading::Plain(Outcome::Retry { after })),
        Some(Class::Delivered | Class::Partial) | None if !fine => all(Reading::Plain(Outcome::Unknown)),
        None => all(Reading::Plain(Outcome::Unknown)),
        Some(Class::Delivered) => all(Reading::Plain(Outcome::Delivered { provider_id: id })),
        Some(Class::Partial) => match lists {
            // Some failed, and nobody knows which.
            None => all(Reading::Plain(Outcome::Ambiguous)),
            Some(lists) => {
                let accepted = || (Reading::Plain(Outcome::Delivered { provider_id: id.clone() }), String::new());
                tokens.iter().map(|token| lists.read(token, &code, codes).unwrap_or_else(accepted)).collect()
            }
        },
        Some(Class::Token) => match lists {
            None => all(Reading::Plain(Outcome::DEAD)),
            Some(lists) => {
                let dead = || (Reading::Plain(Outcome::DEAD), detail.clone());
                tokens.iter().map(|token| lists.read(token, &code, codes).unwrap_or_else(dead)).collect()
            }
        },
        Some(Class::Renew) => all(Reading::Renew),
        Some(Class::Rate | Class::Day) => all(Reading::Plain(Outcome::limited(after))),
        Some(Class::Retry) => all(Reading::Plain(Outcome::Retry { after })),
        Some(class) => all(Reading::Plain(class.outcome())),
    }
}

/// Tokens that failed, each with the name of its list.
struct Lists(HashMap<String, String>);

impl Lists {
    /// From `msg`; `None` when it names no token.
    fn of(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let found = value.get("illegalTokens").or_else(|| value.get("illegal_tokens"))?;
        let mut lists = HashMap::new();
        let mut add = |name: &str, tokens: &Value| {
            for token in tokens.as_array().into_iter().flatten().filter_map(Value::as_str) {
                lists.insert(token.to_owned(), name.to_owned());
            }
        };
        match found {
            Value::Object(groups) => groups.iter().for_each(|(name, tokens)| add(name, tokens)),
            list => add(UNNAMED, list),
        }
        (!lists.is_empty()).then_some(Self(lists))
    }

    fn read(&self, token: &str, code: &str, codes: &Codes) -> Option<Read> {
        let name = self.0.get(token)?;
        let said = codes.words(name);
        let detail =
            if name == UNNAMED { format!("{code}: {said}") } else { format!("{code} {}: {said}", words(name, &[])) };
        let reading = match codes.class(name) {
            Some(Class::Token) if STRANGERS.contains(&name.as_str()) => Reading::Stranger,
            Some(class) => Reading::Plain(class.outcome()),
            None => Reading::Plain(Outcome::Unknown),
        };
        Some((reading, detail))
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
