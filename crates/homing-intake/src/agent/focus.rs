//! Who looks at the app. Clients publish `{user_id, focus}` to `PREFIX/app/status`; who has the app open gets silent
//! messages by MQTT and not by push, so the state stands where the lookup of devices reads it: in the user's hash.
//!
//! With `ttl` the time of the last word is kept in a sorted set beside it, and a focus that is not repeated ends: a crashed
//! app never says that it is left.
//!
//! The last word about a user counts. While the store is away it is kept (for [`MOST`] users), and written when the store is
//! back. What is published while we are not connected is not heard.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use homing_core::clock::Millis;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, SubscribeReasonCode};
use serde::Deserialize;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{meter, seldom::Seldom};

/// Users whose state waits to be written.
pub const MOST: usize = 50_000;
/// Largest message that is read.
const PACKET: usize = 16 << 10;
/// First pause before another try, of the broker and of the store; it doubles.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);
/// So often it is looked for what has ended by itself.
const LOOK: Duration = Duration::from_secs(1);
/// Time to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// Where the state of apps is written.
pub trait Focus: Send + Sync {
    /// Notes whether `user` looks at the app. Called again with the same it changes nothing; cancelled, it may have been
    /// noted.
    ///
    /// # Errors
    /// In words. It is tried again.
    fn set<'a>(&'a self, user: &'a str, on: bool) -> BoxFuture<'a, Result<(), String>>;

    /// Users whose focus has ended by itself; they are then set so. Asked every second.
    ///
    /// # Errors
    /// In words. It is tried again.
    fn overdue(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// `[agent.focus]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The account of `[channel.mqtt]` whose broker is listened to; without it the usual one.
    pub account: Option<String>,
    /// The topic below the broker's prefix.
    #[serde(default = "topic")]
    pub topic: String,
    /// The Redis of `[stores.*]` where the state is written.
    pub store: String,
    /// The user's hash; `{user_id}` stands for the user.
    #[serde(default = "key")]
    pub key: String,
    /// Its field: `1`, or absent.
    #[serde(default = "field")]
    pub field: String,
    /// A focus that is not repeated for so long ends; 0 = it lasts until the app says otherwise.
    #[serde(default, with = "homing_core::duration")]
    pub ttl: Duration,
    /// With `ttl`: the sorted set of users by the end of their focus.
    #[serde(default = "ttl_key")]
    pub ttl_key: String,
}

fn topic() -> String {
    "app/status".to_owned()
}

fn key() -> String {
    "User:{user_id}".to_owned()
}

fn field() -> String {
    "app_focus".to_owned()
}

fn ttl_key() -> String {
    "homing:app_focus".to_owned()
}

impl Options {
    /// The Redis commands that note the state of a user, in one transaction.
    pub fn commands(&self, user: &str, on: bool, now: Millis) -> Vec<Vec<String>> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let key = self.key.replace("{user_id}", user);
        let mut all = match on {
            true => vec![words(&["HSET", &key, &self.field, "1"])],
            false => vec![words(&["HDEL", &key, &self.field])],
        };
        if !self.ttl.is_zero() {
            let end = now.saturating_add(i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX));
            all.push(match on {
                true => words(&["ZADD", &self.ttl_key, &end.to_string(), user]),
                false => words(&["ZREM", &self.ttl_key, user]),
            });
        }
        all
    }

    /// The Redis command that lists users whose focus has ended, a thousand at most; `None` without `ttl`.
    pub fn overdue(&self, now: Millis) -> Option<Vec<String>> {
        let words = ["ZRANGEBYSCORE", &self.ttl_key, "-inf", &now.to_string(), "LIMIT", "0", "1000"];
        (!self.ttl.is_zero()).then(|| words.iter().map(|word| (*word).to_owned()).collect())
    }
}

/// The broker that is listened to.
#[derive(Clone)]
pub struct Source {
    /// Address, credentials and a client id that nobody else has.
    pub options: MqttOptions,
    /// The whole topic.
    pub topic: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// `host:port`, for logs.
    pub address: String,
}

/// Listens until `stop`, and comes back after every loss of the connection.
pub async fn listen(source: Source, port: Arc<dyn Focus>, stop: CancellationToken) {
    let heard = Arc::new(Heard::default());
    let hear = hear(&source, &heard, &stop);
    tokio::join!(hear, write(&heard, &*port, &stop));
}

/// What was heard and is not yet written.
#[derive(Default)]
struct Heard {
    users: Mutex<HashMap<String, bool>>,
    news: Notify,
    seldom: Seldom,
}

impl Heard {
    fn users(&self) -> std::sync::MutexGuard<'_, HashMap<String, bool>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One message from the topic.
    fn take(&self, payload: &[u8]) {
        let (user, on) = match read(payload) {
            Ok(state) => state,
            Err(reason) => {
                meter::focus("garbage");
                if let Some(hidden) = self.seldom.may() {
                    warn!(reason, bytes = payload.len(), hidden, "A message about the focus of an app is skipped.");
                }
                return;
            }
        };
        let mut users = self.users();
        if users.len() >= MOST && !users.contains_key(&user) {
            drop(users);
            meter::focus("dropped");
            if let Some(hidden) = self.seldom.may() {
                error!(user, hidden, "The focus of an app is not noted: too many wait for the store.");
            }
            return;
        }
        users.insert(user, on);
        drop(users);
        self.news.notify_one();
    }

    /// Puts back what could not be written, unless there is news of the user.
    fn back(&self, user: String, on: bool) {
        if let Entry::Vacant(place) = self.users().entry(user) {
            place.insert(on);
        }
    }
}

/// Whom a message means, and whether the app is in front.
fn read(payload: &[u8]) -> Result<(String, bool), String> {
    let value: serde_json::Value = serde_json::from_slice(payload).map_err(|error| format!("json: {error}"))?;
    let user = match value.get("user_id") {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        Some(_) => return Err("user_id: expected text or a number".to_owned()),
        None => return Err("user_id: is missing".to_owned()),
    };
    if user.is_empty() || user.len() > 256 {
        return Err("user_id: expected an id of 1 to 256 bytes".to_owned());
    }
    let focus = value.get("focus").ok_or_else(|| "focus: is missing".to_owned())?;
    Ok((user, truthy(focus)))
}

/// As Python sees it: the original asked `if focus`.
fn truthy(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null => false,
        Value::Bool(own) => *own,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

async fn write(heard: &Heard, port: &dyn Focus, stop: &CancellationToken) {
    let (mut pause, mut look) = (FIRST, Instant::now() + LOOK);
    while !stop.is_cancelled() {
        let news = tokio::select! {
            () = stop.cancelled() => return,
            () = heard.news.notified() => true,
            () = sleep_until(look) => false,
        };
        let work = async {
            if !news {
                let overdue = port.overdue().await?;
                let mut users = heard.users();
                for user in overdue {
                    users.entry(user).or_insert(false);
                }
            }
            flush(heard, port).await
        };
        let worked = tokio::select! {
            worked = work => worked,
            () = stop.cancelled() => return,
        };
        match worked {
            Ok(()) => pause = FIRST,
            Err(why) => {
                if let Some(hidden) = heard.seldom.may() {
                    warn!(why, hidden, "The focus of apps could not be noted; it is tried again.");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST);
                heard.news.notify_one();
            }
        }
        if !news {
            look = Instant::now() + LOOK;
        }
    }
}

/// Writes what was heard; what could not be written waits again.
async fn flush(heard: &Heard, port: &dyn Focus) -> Result<(), String> {
    let mut todo: Vec<(String, bool)> = heard.users().drain().collect();
    while let Some((user, on)) = todo.pop() {
        if let Err(why) = port.set(&user, on).await {
            todo.push((user, on));
            for (user, on) in todo {
                heard.back(user, on);
            }
            return Err(why);
        }
        meter::focus("set");
    }
    Ok(())
}

async fn hear(source: &Source, heard: &Heard, stop: &CancellationToken) {
    let mut pause = FIRST;
    loop {
        let began = Instant::now();
        let Some(why) = connection(source, heard, stop).await else { return };
        if began.elapsed() >= LONGEST {
            pause = FIRST;
        }
        let broker = &source.address;
        if pause == FIRST {
            warn!(broker, why, "The broker is away: the focus of apps is not heard.");
        } else {
            debug!(broker, why, "The broker is still away.");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// One connection from its beginning to its end, and why it ended; `None` when it was ended by `stop`.
async fn connection(source: &Source, heard: &Heard, stop: &CancellationToken) -> Option<String> {
    let mut options = source.options.clone();
    options.set_max_packet_size(PACKET, PACKET);
    let (client, mut events) = match AsyncClient::builder(options).capacity(4).try_build() {
        Ok(built) => built,
        Err(error) => return Some(error.to_string()),
    };
    let seconds = source.connect_timeout.as_millis().div_ceil(1_000);
    events.network_options.set_connection_timeout(u64::try_from(seconds).unwrap_or(1));
    loop {
        let event = tokio::select! {
            event = events.poll() => event,
            () = stop.cancelled() => {
                if client.try_disconnect_now().is_ok() {
                    let gone = async { while events.poll().await.is_ok() {} };
                    // A broker that does not listen finds out by itself.
                    timeout(GOODBYE, gone).await.ok();
                }
                return None;
            }
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                // Queued only: who waited here would wait for himself.
                if let Err(error) = client.try_subscribe(source.topic.clone(), QoS::AtLeastOnce) {
                    return Some(format!("cannot subscribe to {}: {error}", source.topic));
                }
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                let refused = ack.return_codes.iter().any(|code| matches!(code, SubscribeReasonCode::Failure));
                let (broker, topic) = (&source.address, &source.topic);
                if refused {
                    error!(
                        broker,
                        topic, "The broker does not allow the subscription: the focus of apps is not heard."
                    );
                } else {
                    info!(broker, topic, "Hears the focus of apps.");
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => heard.take(&publish.payload),
            Ok(_) => {}
            Err(error) => return Some(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn focus_is_what_python_holds_for_true() {
        let state = |text: &str| read(text.as_bytes());
        assert_eq!(state(r#"{"user_id": "42", "focus": 1}"#), Ok(("42".to_owned(), true)));
        assert_eq!(state(r#"{"user_id": 42, "focus": true, "more": 1}"#), Ok(("42".to_owned(), true)));
        for off in ["0", "0.0", "false", "null", "\"\"", "[]", "{}"] {
            assert_eq!(state(&format!(r#"{{"user_id": 1, "focus": {off}}}"#)), Ok(("1".to_owned(), false)), "{off}");
        }
        assert_eq!(state(r#"{"user_id": 1, "focus": "0"}"#), Ok(("1".to_owned(), true)), "a text that is not empty");
        assert!(state("focus").unwrap_err().starts_with("json: "));
        for (text, expected) in [
            ("[]", "user_id: is missing"),
            (r#"{"user_id": []}"#, "user_id: expected text or a number"),
            (r#"{"user_id": "", "focus": 1}"#, "user_id: expected an id of 1 to 256 bytes"),
            (r#"{"user_id": "1"}"#, "focus: is missing"),
        ] {
            assert_eq!(state(text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_state_is_a_field_and_its_end_a_score() {
        let options: Options = serde_json::from_str(r#"{"store": "main"}"#).unwrap();
        assert_eq!(options.commands("42", true, 5), [["HSET", "User:42", "app_focus", "1"]]);
        assert_eq!(options.commands("42", false, 5), [["HDEL", "User:42", "app_focus"]]);
        assert_eq!(options.overdue(5), None);
        let options = Options { ttl: Duration::from_secs(300), ..options };
        assert_eq!(options.commands("42", true, 5)[1], ["ZADD", "homing:app_focus", "300005", "42"]);
        assert_eq!(options.commands("42", false, 5)[1], ["ZREM", "homing:app_focus", "42"]);
        let overdue = options.overdue(5).unwrap();
        assert_eq!(overdue, ["ZRANGEBYSCORE", "homing:app_focus", "-inf", "5", "LIMIT", "0", "1000"]);
    }

    #[test]
    fn the_last_word_counts_and_what_waits_is_bounded() {
        let heard = Heard::default();
        heard.take(br#"{"user_id": "a", "focus": 1}"#);
        heard.take(br#"{"user_id": "a", "focus": 0}"#);
        assert_eq!(heard.users().get("a"), Some(&false));
        heard.back("a".to_owned(), true);
        assert_eq!(heard.users().get("a"), Some(&false), "news is not undone");
        for user in 0..MOST {
            heard.take(format!(r#"{{"user_id": {user}, "focus": 1}}"#).as_bytes());
        }
        assert_eq!(heard.users().len(), MOST);
        heard.take(br#"{"user_id": "a", "focus": 1}"#);
        assert_eq!(heard.users().get("a"), Some(&true), "who stands there already is changed");
    }
}
