//! Acknowledgements on their way back to the emitters that wait for them.
//!
//! ```text
//! {"method": "callback", "host_id": <the emitter's>, "sid": <room>, "namespace": ..., "id": <its number>, "args": [...]}
//! ```
//!
//! Every version of python-socketio reads that JSON, those that pickle too. Attachments have no form in it: in their place
//! stands their base64, as text.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use redis::aio::MultiplexedConnection;
use serde_json::{Value as Json, json, value::RawValue};
use tokio::sync::Mutex;

use super::{
    amqp::{self, Link},
    kombu, meter,
    redis::Client,
    settings::{Emitter, Kind},
};
use crate::desk::Callback;

/// For one publication, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Publishes for one source. It connects when it is first needed, and again after a failure.
pub struct Writer {
    emitter: Emitter,
    name: String,
    link: Mutex<Option<Open>>,
}

enum Open {
    Redis(MultiplexedConnection),
    Amqp(Box<Link>),
}

/// An acknowledgement that did not go out.
#[derive(Debug, thiserror::Error)]
#[error("an acknowledgement for the emitter of {name} was not published: {why}")]
pub struct Undelivered {
    /// The source.
    pub name: String,
    /// Why.
    pub why: String,
}

impl Writer {
    /// For the source of this number; connects to nothing.
    pub fn new(source: usize, emitter: Emitter) -> Self {
        Self { name: emitter.name(source), emitter, link: Mutex::new(None) }
    }

    /// Tells the emitter behind `route` what a client acknowledged with: `args` is an array of JSON, with placeholders for
    /// `binary`. A failure is tried once more on a new connection. Cancelled, it may have been published or not; called
    /// again, it is published again, and the emitter ignores the second one.
    ///
    /// # Errors
    /// The server is away, or emitters of this kind wait for nothing.
    pub async fn callback(&self, route: &Callback, args: &str, binary: &[Bytes]) -> Result<(), Undelivered> {
        let sent = self.send(route, args, binary).await;
        meter::answer(&self.name, sent.is_ok());
        sent.map_err(|why| Undelivered { name: self.name.clone(), why })
    }

    async fn send(&self, route: &Callback, args: &str, binary: &[Bytes]) -> Result<(), String> {
        let body = answer(route, args, binary)?;
        let mut link = self.link.lock().await;
        let publish = async {
            if let Some(open) = link.as_mut()
                && self.publish(open, route, &body).await.is_ok()
            {
                return Ok(());
            }
            *link = None;
            let mut open = self.open().await?;
            self.publish(&mut open, route, &body).await?;
            *link = Some(open);
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, publish).await {
            Ok(sent) => sent,
            Err(_) => {
                *link = None;
                Err(format!("no answer within {PATIENCE:?}"))
            }
        }
    }

    async fn open(&self) -> Result<Open, String> {
        match self.emitter.kind {
            Kind::PythonAmqp => {
                let link = Link::open(&self.emitter, "homing.gateway answers").await?;
                amqp::exchange(&link.channel, self.emitter.channel()).await?;
                let confirmed = link.channel.confirm_select(ConfirmSelectOptions::default()).await;
                confirmed.map_err(|error| error.to_string())?;
                Ok(Open::Amqp(Box::new(link)))
            }
            Kind::PythonRedis | Kind::PythonKombuRedis => {
                let words = |error: redis::RedisError| error.to_string();
                let client = Client::new(&self.emitter).map_err(words)?;
                client.connect(Client::config()).await.map(Open::Redis).map_err(words)
            }
            kind => Err(format!("emitters of kind {} wait for nothing", kind.name())),
        }
    }

    async fn publish(&self, open: &mut Open, route: &Callback, body: &[u8]) -> Result<(), String> {
        let channel = self.emitter.channel();
        match open {
            Open::Redis(connection) => {
                let mut publish = redis::cmd("PUBLISH");
                if self.emitter.kind == Kind::PythonKombuRedis {
                    let tag = format!("{}-{}-{}", route.host, route.room, route.id);
                    publish.arg(format!("/{}.{channel}", self.emitter.database)).arg(kombu::seal(body, channel, &tag));
                } else {
                    publish.arg(channel).arg(body);
                }
                publish.query_async::<()>(connection).await.map_err(|error| error.to_string())
            }
            Open::Amqp(link) => {
                // As kombu publishes JSON.
                let properties = BasicProperties::default()
                    .with_content_type(ShortString::from("text/plain"))
                    .with_content_encoding(ShortString::from("utf-8"))
                    .with_delivery_mode(2)
                    .with_priority(0);
                let confirm = link.channel.basic_publish(
                    amqp::short(channel)?,
                    ShortString::from(""),
                    BasicPublishOptions::default(),
                    body,
                    properties,
                );
                let words = |error: lapin::Error| error.to_string();
                confirm.await.map_err(words)?.await.map(drop).map_err(words)
            }
        }
    }
}

/// The message.
fn answer(route: &Callback, args: &str, binary: &[Bytes]) -> Result<Vec<u8>, String> {
    let raw = |text: &str, name: &str| {
        serde_json::from_str::<Box<RawValue>>(text).map_err(|error| format!("{name} is no JSON: {error}"))
    };
    let args = if binary.is_empty() {
        raw(args, "args")?
    } else {
        let mut args: Json = serde_json::from_str(args).map_err(|error| format!("args is no JSON: {error}"))?;
        fill(&mut args, binary);
        raw(&args.to_string(), "args")?
    };
    if !args.get().starts_with('[') {
        return Err("args is no array".to_owned());
    }
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        method: &'static str,
        host_id: &'a str,
        sid: Box<RawValue>,
        namespace: &'a str,
        id: Box<RawValue>,
        args: Box<RawValue>,
    }
    let answer = Answer {
        method: "callback",
        host_id: &route.host,
        sid: raw(&route.room, "room")?,
        namespace: &route.namespace,
        id: raw(&route.id, "id")?,
        args,
    };
    serde_json::to_vec(&answer).map_err(|error| error.to_string())
}

/// Puts base64 in the place of placeholders. What was parsed is at most 128 levels deep.
fn fill(value: &mut Json, binary: &[Bytes]) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(|item| fill(item, binary)),
        Json::Object(fields) if fields.get("_placeholder") == Some(&Json::Bool(true)) => {
            let number = fields.get("num").and_then(Json::as_u64).and_then(|number| usize::try_from(number).ok());
            let bytes = number.and_then(|number| binary.get(number));
            *value = bytes.map_or(Json::Null, |bytes| json!(STANDARD.encode(bytes)));
        }
        Json::Object(fields) => fields.values_mut().for_each(|item| fill(item, binary)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_the_emitters_words() {
        let route =
            Callback { host: "h".into(), room: "42".into(), namespace: "/chat".into(), id: "2".into(), source: 0 };
        let text = |args: &str, binary: &[Bytes]| String::from_utf8(answer(&route, args, binary).unwrap()).unwrap();
        assert_eq!(
            text("[123456789012345678901234567890]", &[]),
            r#"{"method":"callback","host_id":"h","sid":42,"namespace":"/chat","id":2,"args":[123456789012345678901234567890]}"#
        );
        let args = r#"[{"a":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":7}]"#;
        assert!(text(args, &[Bytes::from_static(b"\0\x01")]).contains(r#""args":[{"a":"AAE="},null]"#));
        assert_eq!(answer(&route, "{}", &[]).unwrap_err(), "args is no array");
        assert!(answer(&route, "[", &[]).unwrap_err().starts_with("args is no JSON"));
    }
}
