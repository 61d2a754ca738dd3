//! The channel: finds the broker of an app and the line of a topic.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use homing_core::{
    channel::{Answer, Channel, Credential, Health, Outcome},
    notification::{Notification, Target},
};
use rumqttc::{Event, Packet};
use serde_json::json;
use toml::Table;

use super::{
    line::{Line, goodbye, loss, open},
    settings::{Broker, Form, Link, Party},
    topic::topic,
};
use crate::{Error, Result, common::section, registry::Tools};

/// Targets of one call at most; they are under way together.
pub const PAGE: usize = 64;

/// Its section in the configuration.
const NAME: &str = "mqtt";

/// See the module.
pub struct Mqtt {
    usual: Option<Arc<Post>>,
    by_app: HashMap<String, Arc<Post>>,
}

/// A broker with its lines, which begin with the first message.
struct Post {
    party: Arc<Party>,
    lines: OnceLock<Vec<Line>>,
}

// === impl Post ===

impl Post {
    fn new(party: Party) -> Arc<Self> {
        Arc::new(Self { party: Arc::new(party), lines: OnceLock::new() })
    }

    /// The line of a topic: always the same, so that what is published there keeps its order.
    fn line(&self, topic: &str) -> Option<&Line> {
        let lines = self
            .lines
            .get_or_init(|| (0..self.party.broker.connections).map(|_| Line::start(Arc::clone(&self.party))).collect());
        lines.get(crc32fast::hash(topic.as_bytes()) as usize % lines.len().max(1))
    }

    /// The payload of a notification.
    fn payload(&self, notification: &Notification) -> Result<Bytes, Answer> {
        let text = match self.party.broker.payload {
            Form::Data => serde_json::to_vec(&notification.custom),
            Form::Notification => serde_json::to_vec(&json!({
                "id": notification.id, "key": notification.key(), "type": notification.kind,
                "title": notification.title, "body": notification.body, "data": notification.custom,
            })),
        };
        let refused = |why: String| Answer::new(Outcome::Payload, format!("not sent: {why}"));
        let text = text.map_err(|error| refused(error.to_string()))?;
        let most = self.party.broker.payload_max;
        if text.len() > most {
            return Err(refused(format!("a payload of {} bytes, the most is {most}", text.len())));
        }
        Ok(Bytes::from(text))
    }

    fn topic(&self, target: &Target) -> Result<String, Answer> {
        topic(&self.party.broker.prefix, &target.token)
            .map_err(|what| Answer::new(Outcome::Payload, format!("not sent: the topic would have {what}")))
    }

    async fn publish(&self, target: &Target, payload: Bytes) -> Answer {
        let topic = match self.topic(target) {
            Ok(topic) => topic,
            Err(answer) => return answer,
        };
        match self.line(&topic) {
            Some(line) => line.publish(topic, payload).await,
            None => Answer::new(Outcome::Config, "not sent: the broker has no connections"),
        }
    }

    async fn examine(&self) -> Credential {
        let account = self.party.path.clone();
        let answer = |health, detail: String| Credential { account, health, detail, expires_at: None };
        let opened = self.party.link().map_err(|error| error.to_string()).and_then(|link| open(link, 1));
        let (client, mut events) = match opened {
            Ok(opened) => opened,
            Err(why) => return answer(Health::Unknown, why),
        };
        let address = &self.party.address;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    goodbye(&client, &mut events).await;
                    return answer(Health::Good, format!("{address} let us in"));
                }
                Ok(_) => {}
                Err(error) => {
                    let loss = loss(&error);
                    let health = if loss.refused { Health::Refused } else { Health::Unknown };
                    return answer(health, format!("{address}: {}", loss.why));
                }
            }
        }
    }
}

// === impl Mqtt ===

impl Mqtt {
    /// Reads `[channel.mqtt]` and checks it; opens nothing yet.
    ///
    /// # Errors
    /// Names the key that cannot work.
    pub fn new(section: &Table) -> Result<Self> {
        let mut mqtt = Self { usual: None, by_app: HashMap::new() };
        for (path, broker) in brokers(section)? {
            let app = broker.app.clone();
            let post = Post::new(Party::new(&path, broker)?);
            match app {
                None => mqtt.usual = Some(post),
                Some(app) => {
                    if mqtt.by_app.insert(app.clone(), post).is_some() {
                        return Err(Error::setting(format!("{path}.app"), format!("{app} has a broker already")));
                    }
                }
            }
        }
        if mqtt.usual.is_none() && mqtt.by_app.is_empty() {
            return Err(Error::setting("channel.mqtt.url", "is missing, and there is no account"));
        }
        Ok(mqtt)
    }

    /// For [`registry`](crate::registry).
    pub(crate) fn build(section: &Table, _: &Tools) -> Result<Arc<dyn Channel>> {
        Ok(Arc::new(Self::new(section)?))
    }

    fn post(&self, notification: &Notification) -> Result<&Arc<Post>, Answer> {
        let post = self.by_app.get(&notification.app).or(self.usual.as_ref());
        post.ok_or_else(|| {
            let (app, platform) = (&notification.app, notification.platform.name());
            let environment = notification.environment.name();
            Answer::new(Outcome::Config, format!("not sent: no broker for app {app}, {platform}, {environment}"))
        })
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let ready = self.post(notification).and_then(|post| Ok((post, post.payload(notification)?)));
        match ready {
            Ok((post, payload)) => join_all(targets.iter().map(|target| post.publish(target, payload.clone()))).await,
            Err(answer) => answer.for_all(targets),
        }
    }

    fn rehearse_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        match self.post(notification).and_then(|post| post.payload(notification).map(|_| post)) {
            Ok(post) => {
                let fits = || Answer::new(Outcome::Delivered { provider_id: None }, "not sent: built and checked");
                targets.iter().map(|target| post.topic(target).map_or_else(|answer| answer, |_| fits())).collect()
            }
            Err(answer) => answer.for_all(targets),
        }
    }
}

impl Channel for Mqtt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn page(&self) -> usize {
        PAGE
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }

    /// Payload and topics are built and checked; the broker is not asked.
    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(std::future::ready(self.rehearse_all(notification, targets)))
    }

    /// Connects to every broker once and says goodbye.
    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(async {
            let mut posts: Vec<&Arc<Post>> = self.usual.iter().chain(self.by_app.values()).collect();
            posts.sort_unstable_by(|a, b| a.party.path.cmp(&b.party.path));
            join_all(posts.into_iter().map(|post| post.examine())).await
        })
    }
}

/// What is needed to reach a broker of `section` from elsewhere in the process: the usual one, or that of an account.
///
/// # Errors
/// There is no such broker, or its settings cannot work.
pub fn link(section: &Table, account: Option<&str>) -> Result<Link> {
    let wanted = account.map_or_else(|| format!("channel.{NAME}"), |key| format!("channel.{NAME}.account.{key}"));
    let found = brokers(section)?.into_iter().find(|(path, _)| *path == wanted);
    let (path, broker) = found.ok_or_else(|| Error::setting(&wanted, "is not configured"))?;
    Party::new(&path, broker)?.link()
}

/// The brokers of a section with their places in it: the usual one where it has an `url`, then the accounts.
fn brokers(section: &Table) -> Result<Vec<(String, Broker)>> {
    let mut usual = section.clone();
    let accounts = usual.remove("account");
    let mut brokers = Vec::new();
    if !usual.is_empty() {
        let broker: Broker = section::read(NAME, &usual)?;
        if broker.app.is_some() {
            return Err(Error::setting(
                format!("channel.{NAME}.app"),
                "belongs to an account: [channel.mqtt.account.KEY]",
            ));
        }
        brokers.push((format!("channel.{NAME}"), broker));
    }
    let accounts = match accounts {
        None => Table::new(),
        Some(toml::Value::Table(accounts)) => accounts,
        Some(_) => return Err(Error::setting(format!("channel.{NAME}.account"), "expected tables")),
    };
    for (key, account) in accounts {
        let name = format!("{NAME}.account.{key}");
        let toml::Value::Table(account) = account else {
            return Err(Error::setting(format!("channel.{name}"), "expected a table"));
        };
        let broker: Broker = section::read(&name, &account)?;
        if broker.app.as_ref().is_none_or(String::is_empty) {
            return Err(Error::setting(format!("channel.{name}.app"), "is missing: whose messages go there?"));
        }
        brokers.push((format!("channel.{name}"), broker));
    }
    Ok(brokers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn section(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(Mqtt::new(&section(text)).err().unwrap().to_string(), expected);
    }

    fn notification(app: &str) -> Notification {
        let custom = json!({"push_type": "talk", "n": 7, "text": "你好"});
        let custom = custom.as_object().unwrap().clone();
        Notification { id: "m1".into(), app: app.into(), kind: 3, title: "t".into(), custom, ..Notification::default() }
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("", "channel.mqtt.url: is missing, and there is no account");
        refused("prefix = 'im'", "channel.mqtt: missing field `url`");
        refused("url = 'mqtt://h'\napp = 'x'", "channel.mqtt.app: belongs to an account: [channel.mqtt.account.KEY]");
        refused("[account.a]\nurl = 'mqtt://h'", "channel.mqtt.account.a.app: is missing: whose messages go there?");
        refused("account = 3", "channel.mqtt.account: expected tables");
        let twice = "[account.a]\nurl = 'mqtt://h'\napp = 'x'\n[account.b]\nurl = 'mqtt://h'\napp = 'x'";
        refused(twice, "channel.mqtt.account.b.app: x has a broker already");
        assert!(Mqtt::new(&section("url = 'mqtt://h'\nurll = 1")).err().unwrap().to_string().contains("`urll`"));
    }

    #[test]
    fn a_payload_is_the_fields_or_the_whole_notification() {
        let text = |form: &str| {
            let mqtt = Mqtt::new(&section(&format!("url = 'mqtt://h'\npayload = '{form}'"))).unwrap();
            let payload = mqtt.usual.unwrap().payload(&notification("a")).unwrap();
            serde_json::from_slice::<serde_json::Value>(&payload).unwrap()
        };
        assert_eq!(text("data"), json!({"push_type": "talk", "n": 7, "text": "你好"}));
        let data = json!({"push_type": "talk", "n": 7, "text": "你好"});
        let whole = json!({"id": "m1", "key": "m1", "type": 3, "title": "t", "body": "", "data": data});
        assert_eq!(text("notification"), whole);
    }

    #[tokio::test]
    async fn a_rehearsal_checks_broker_payload_and_topics_and_connects_to_nothing() {
        let text = "payload_max = 80\nurl = 'mqtt://127.0.0.1:1'\n[account.a]\nurl = 'mqtt://127.0.0.1:1'\napp = 'x'";
        let mqtt = Mqtt::new(&section(text)).unwrap();
        let targets = [Target::new("1", "user/1"), Target::new("2", "user/+")];
        let answers = mqtt.rehearse(&notification("y"), &targets).await;
        assert_eq!(answers[0].outcome.name(), "delivered");
        assert_eq!(answers[1].outcome, Outcome::Payload);
        assert!(answers[1].detail.contains("a + in it"), "{}", answers[1].detail);
        let mut long = notification("y");
        long.custom.insert("x".into(), "y".repeat(80).into());
        assert!(mqtt.rehearse(&long, &targets).await.iter().all(|answer| answer.outcome == Outcome::Payload));
        assert!(mqtt.usual.as_ref().unwrap().lines.get().is_none(), "nothing was begun");
        let only = Mqtt::new(&section("[account.a]\nurl = 'mqtt://h'\napp = 'x'")).unwrap();
        let answers = only.send(&notification("y"), &targets).await;
        assert_eq!(answers[0].outcome, Outcome::Config);
        assert_eq!(answers[0].detail, "not sent: no broker for app y, android, prod");
    }
}
