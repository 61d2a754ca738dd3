//! Publications: what producers of the plain channel write, `{"msg_type": ..., "to_user_id": ..., "data": ...}`.

use std::sync::Arc;

use homing_core::live::{MAX_BODY, MAX_NAME};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{bad::Bad, raw};

/// The longest content: with its names around it, it is a message that stores take.
const LONGEST: usize = MAX_BODY - (16 << 10);

/// A message for a user, or for everyone.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The user; a number has become text. `None` = everyone.
    pub to: Option<Arc<str>>,
    /// `msg_type`.
    pub kind: Arc<str>,
    /// Its content as it was written; `null` where there is none.
    pub data: Arc<RawValue>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    msg_type: Arc<str>,
    #[serde(borrow, default)]
    to_user_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Reads one publication. Other keys are ignored.
///
/// # Errors
/// It is no JSON object, `msg_type` is missing or not text, `to_user_id` is neither text nor an integer, or one of them or
/// `data` is longer than any store takes.
pub fn read(bytes: &[u8]) -> Result<Publication, Bad> {
    let fields: Fields<'_> = raw::parse(bytes, "publication")?;
    let to = match fields.to_user_id.map(RawValue::get) {
        None => None,
        Some(text) if text.starts_with('"') => {
            let name: Arc<str> = raw::parse(text.as_bytes(), "to_user_id")?;
            if name.is_empty() {
                return Err(Bad::new("to_user_id is empty"));
            }
            Some(name)
        }
        Some(number) if number.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) => Some(number.into()),
        Some(_) => return Err(Bad::new("to_user_id is neither text nor an integer")),
    };
    if to.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
        return Err(Bad(format!("to_user_id has more than {MAX_NAME} bytes")));
    }
    if fields.msg_type.len() > MAX_NAME {
        return Err(Bad(format!("msg_type has more than {MAX_NAME} bytes")));
    }
    let data = fields.data.unwrap_or(RawValue::NULL);
    raw::check(data, 0)?;
    let data = raw::compact(data.get());
    if data.len() > LONGEST {
        return Err(Bad(format!("data has {} bytes; at most {LONGEST} are taken", data.len())));
    }
    let data = RawValue::from_string(data.into_owned());
    Ok(Publication { to, kind: fields.msg_type, data: data.map_err(|error| Bad(format!("data: {error}")))?.into() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn whom_a_publication_is_for() {
        for (text, to, data) in [
            (r#"{"msg_type":"n","to_user_id":"42","data":{"a": 1.10}}"#, Some("42"), r#"{"a":1.10}"#),
            (r#"{"msg_type":"n","to_user_id":42,"data":"x"}"#, Some("42"), r#""x""#),
            (r#"{"msg_type":"n","to_user_id":123456789012345678901234}"#, Some("123456789012345678901234"), "null"),
            (r#"{"msg_type":"n","to_user_id":null,"data":null}"#, None, "null"),
            (r#"{"data":[],"msg_type":"n","other":1}"#, None, "[]"),
            (r#"{"msg_type":"n","to_user_id":"\u5f20"}"#, Some("张"), "null"),
        ] {
            let read = read(text.as_bytes()).unwrap();
            assert_eq!((read.to.as_deref(), read.data.get(), &*read.kind), (to, data, "n"), "{text}");
        }
        for (text, why) in [
            (r#"{"to_user_id":1}"#, "missing field `msg_type`"),
            (r#"{"msg_type":1}"#, "publication: invalid type: integer `1`"),
            (r#"{"msg_type":"n","to_user_id":1.5}"#, "neither text nor an integer"),
            (r#"{"msg_type":"n","to_user_id":true}"#, "neither text nor an integer"),
            (r#"{"msg_type":"n","to_user_id":""}"#, "to_user_id is empty"),
            (r#"{"msg_type":"n","data":NaN}"#, "NaN at line 1"),
            ("[]", "publication: "),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_no_store_takes_is_no_publication() {
        let (short, long, huge) = ("a".repeat(256), "a".repeat(257), "a".repeat(LONGEST - 1));
        let most = "a".repeat(LONGEST - 2);
        read(format!(r#"{{"msg_type":"{short}","to_user_id":"{short}","data":"{most}"}}"#).as_bytes()).unwrap();
        for (text, why) in [
            (format!(r#"{{"msg_type":"n","to_user_id":"{long}"}}"#), "to_user_id has more than 256 bytes"),
            (format!(r#"{{"msg_type":"n","to_user_id":1{}}}"#, "0".repeat(256)), "to_user_id has more than 256 bytes"),
            (format!(r#"{{"msg_type":"{long}"}}"#), "msg_type has more than 256 bytes"),
            (format!(r#"{{"msg_type":"n","data":"{huge}"}}"#), "data has 1032193 bytes; at most 1032192 are taken"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), why);
        }
    }
}
