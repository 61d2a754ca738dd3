//! What clients get:
//!
//! ```json
//! {"id": "m-1", "type": "GOODS_SENT", "at": 1767225600000,
//!  "data": {"type": 7, "key": "m-1", "title": "..", "body": "..", "app": "higo", "url": "https://..", "data": {"order_id": "A1001"}}}
//! ```
//!
//! `app` and `url` are missing where there is none, `silent` is there only for what shows nothing. With
//! `payload = "data"` the inner `data` is all of the outer one.

use bytes::Bytes;
use homing_core::{
    catalogue::Catalogue,
    event::Kind,
    live::{MAX_NAME, Stream},
    notification::{Action, Notification, Target, live_id},
    wire_live::Message,
};
use serde::Serialize;
use serde_json::{Map, Value, value::to_raw_value};

use super::settings::{Form, Name, Settings};

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(rename = "type")]
    kind: i64,
    key: &'a str,
    title: &'a str,
    body: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    app: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
    data: &'a Map<String, Value>,
}

/// The body of a notification's posts, the same for all its targets.
///
/// # Errors
/// It is too large; in words.
pub(super) fn build(
    settings: &Settings,
    types: Option<&Catalogue>,
    notification: &Notification,
) -> Result<Bytes, String> {
    let data = match settings.payload {
        Form::Data => to_raw_value(&notification.custom),
        Form::Notification => to_raw_value(&Whole {
            kind: notification.kind,
            key: notification.key(),
            title: &notification.title,
            body: &notification.body,
            app: &notification.app,
            url: match &notification.action {
                Some(Action::Url(url)) => Some(url),
                _ => None,
            },
            silent: notification.silent,
            data: &notification.custom,
        }),
    };
    let named = types.filter(|_| settings.msg_type == Name::Name);
    let named = named.and_then(|types| types.find(&Kind::Code(notification.kind)).ok());
    // A type that is in no catalogue has its number only.
    let kind = named.map_or_else(|| notification.kind.to_string(), |kind| kind.name.clone());
    let message = Message {
        id: live_id(&notification.id).into(),
        kind: kind.into(),
        data: data.map_err(|error| error.to_string())?.into(),
        at: notification.created_at,
        to: None,
        emit: None,
    };
    let body = message.encode();
    if body.len() > settings.payload_max {
        return Err(format!("a message of {} bytes, the most is {}", body.len(), settings.payload_max));
    }
    Ok(body)
}

/// The stream of a target.
///
/// # Errors
/// The token names none; in words.
pub(super) fn stream(target: &Target) -> Result<Stream, String> {
    let named = |name: &str| match name.len() {
        1..=MAX_NAME => Ok(name.into()),
        0 => Err("the token has no name behind its slash".to_owned()),
        long => Err(format!("the token names {long} bytes, the most is {MAX_NAME}")),
    };
    match target.token.split_once('/') {
        Some(("user", name)) => named(name).map(Stream::User),
        Some(("group", name)) => named(name).map(Stream::Group),
        None if target.token == "everyone" => Ok(Stream::Everyone),
        _ => Err("the token is neither user/ID, group/ID nor everyone".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn notification() -> Notification {
        let custom = json!({"order_id": "A1001", "n": 123_456_789_012_u64}).as_object().unwrap().clone();
        Notification {
            id: "m-1".into(),
            kind: 7,
            app: "higo".into(),
            title: "已发货".into(),
            body: "b".into(),
            custom,
            created_at: 5,
            collapse: Some("order-A1001".into()),
            action: Some(Action::Url("https://shop.example/5".into())),
            ..Notification::default()
        }
    }

    fn built(settings: &str, notification: &Notification) -> Value {
        let settings: Settings = toml::from_str(settings).unwrap();
        let types = Catalogue::parse("types.toml", "[GOODS_SENT]\ncode = 7\nbody = 'b'").unwrap();
        serde_json::from_slice(&build(&settings, Some(&types), notification).unwrap()).unwrap()
    }

    #[test]
    fn clients_get_words_and_fields_under_the_types_name() {
        let data = json!({"order_id": "A1001", "n": 123_456_789_012_u64});
        let whole = json!({"type": 7, "key": "order-A1001", "title": "已发货", "body": "b", "app": "higo",
                           "url": "https://shop.example/5", "data": data});
        let message = json!({"id": "m-1", "type": "GOODS_SENT", "at": 5, "data": whole});
        assert_eq!(built("", &notification()), message);
        let message = json!({"id": "m-1", "type": "7", "at": 5, "data": data});
        assert_eq!(built("payload = 'data'\nmsg_type = 'code'", &notification()), message);
        let other = Notification { id: "x".repeat(200), kind: 99, silent: true, ..Notification::default() };
        let message = built("", &other);
        assert_eq!((&message["type"], &message["data"]["silent"]), (&json!("99"), &json!(true)));
        assert_eq!(message["id"], json!(live_id(&other.id)));
        let error = build(&toml::from_str("payload_max = 100").unwrap(), None, &notification()).unwrap_err();
        assert!(error.ends_with("bytes, the most is 100"), "{error}");
    }

    #[test]
    fn a_token_names_a_stream() {
        let of = |token: &str| stream(&Target::new("", token)).map(|stream| stream.to_string());
        assert_eq!(of("user/42"), Ok("u:42".to_owned()));
        assert_eq!(of("group/a/b:c"), Ok("g:a/b:c".to_owned()));
        assert_eq!(of("everyone"), Ok("all".to_owned()));
        let none = "the token is neither user/ID, group/ID nor everyone";
        for token in ["", "42", "all", "users/42", "everyone/1"] {
            assert_eq!(of(token), Err(none.to_owned()), "{token}");
        }
        assert_eq!(of("user/"), Err("the token has no name behind its slash".to_owned()));
        assert_eq!(
            of(&format!("user/{}", "x".repeat(257))),
            Err("the token names 257 bytes, the most is 256".to_owned())
        );
    }
}
