//! Channels. Whoever is away does not hear what is said meanwhile.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        intake::{Form, Intake},
        reader::Backoff,
        settings::{Emitter, Kind},
        sink::State,
    },
    link::Client,
};

/// So much may wait for the node, in bytes; what comes when it is full is dropped and counted. Redis does the same to a
/// reader that is slow, but drops the reader.
const WAITING: usize = 64 << 20;
/// What a waiting message costs beside its bytes.
const OVERHEAD: usize = 256;
/// How often a quiet connection is asked whether it is alive.
const PING: Duration = Duration::from_secs(10);

/// What is listened to.
#[derive(Debug, PartialEq, Eq)]
struct Subscriptions {
    channels: Vec<String>,
    patterns: Vec<String>,
    /// Channels of requests, with their namespaces.
    requests: Vec<(String, Arc<str>)>,
}

impl Subscriptions {
    fn of(emitter: &Emitter) -> Self {
        let mut all = Self { channels: Vec::new(), patterns: Vec::new(), requests: Vec::new() };
        let channel = emitter.channel();
        match emitter.kind {
            Kind::PythonKombuRedis => all.channels.push(format!("/{}.{channel}", emitter.database)),
            Kind::NodeRedis => {
                for namespace in &emitter.namespaces {
                    let prefix = &emitter.prefix;
                    all.patterns.push(format!("{}*", escaped(&format!("{prefix}#{namespace}#"))));
                    // As a pattern, too: servers count those who subscribe to the channel, and wait for their answers.
                    let requests = format!("{prefix}-request#{namespace}#");
                    all.patterns.push(escaped(&requests));
                    all.requests.push((requests, namespace.as_str().into()));
                }
            }
            _ => all.channels.push(channel.to_owned()),
        }
        all
    }

    async fn subscribe(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        for channel in &self.channels {
            connection.subscribe(channel).await?;
        }
        for pattern in &self.patterns {
            connection.psubscribe(pattern).await?;
        }
        Ok(())
    }
}

/// A text as a pattern that matches it alone.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, char| {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            out.push('\\');
        }
        out.push(char);
        out
    })
}

/// What waits between the connection and the node.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

enum Heard {
    Message { channel: Vec<u8>, payload: Vec<u8> },
    Gone,
}

/// Listens until `stop`.
pub(in super::super) async fn listen(intake: &Intake, stop: &CancellationToken) {
    let subscriptions = Subscriptions::of(&intake.emitter);
    let (mut backoff, mut last) = (Backoff::new(), None);
    loop {
        let waiting = Arc::new(Waiting::default());
        let (tx, mut rx) = unbounded_channel();
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = open(intake, &subscriptions, tx, &waiting) => opened,
        };
        let why = match opened {
            Err(error) => error.to_string(),
            Ok(mut connection) => {
                intake.status(&mut last, "", State::Up);
                backoff.reset();
                match hear(intake, &subscriptions, &mut connection, &mut rx, &waiting, stop).await {
                    Some(why) => why,
                    None => return,
                }
            }
        };
        // What came before the connection broke.
        while let Ok(heard) = rx.try_recv() {
            take(intake, &subscriptions, heard, &waiting).await;
        }
        intake.status(&mut last, "", State::Down(why));
        if !backoff.pause(stop).await {
            return;
        }
    }
}

async fn open(
    intake: &Intake,
    subscriptions: &Subscriptions,
    tx: UnboundedSender<Heard>,
    waiting: &Arc<Waiting>,
) -> RedisResult<MultiplexedConnection> {
    let waiting = Arc::clone(waiting);
    let config = Client::config().set_push_sender(move |push: PushInfo| -> Result<(), Infallible> {
        if let Some(heard) = heard(push, &waiting) {
            // Nobody receives any more when the reader ends.
            tx.send(heard).ok();
        }
        Ok(())
    });
    let mut connection = Client::new(&intake.emitter)?.connect(config).await?;
    subscriptions.subscribe(&mut connection).await?;
    Ok(connection)
}

fn heard(push: PushInfo, waiting: &Waiting) -> Option<Heard> {
    let skip = match push.kind {
        PushKind::Message => 0,
        PushKind::PMessage => 1,
        PushKind::Disconnection => return Some(Heard::Gone),
        _ => return None,
    };
    let mut data = push.data.into_iter().skip(skip);
    let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) = (data.next(), data.next()) else {
        return None;
    };
    let cost = payload.len() + OVERHEAD;
    if waiting.bytes.fetch_add(cost, Ordering::Relaxed) > WAITING {
        waiting.bytes.fetch_sub(cost, Ordering::Relaxed);
        waiting.dropped.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    Some(Heard::Message { channel, payload })
}

/// Hands on what comes; answers why it ended, or `None` when `stop` came.
async fn hear(
    intake: &Intake,
    subscriptions: &Subscriptions,
    connection: &mut MultiplexedConnection,
    rx: &mut UnboundedReceiver<Heard>,
    waiting: &Waiting,
    stop: &CancellationToken,
) -> Option<String> {
    let mut ping = tokio::time::interval(PING);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            heard = rx.recv() => match heard {
                Some(Heard::Gone) | None => return Some("the connection was lost".to_owned()),
                Some(heard) => take(intake, subscriptions, heard, waiting).await,
            },
            _ = ping.tick() => {
                // A half-open connection answers nothing.
                if let Err(error) = redis::cmd("PING").query_async::<String>(connection).await {
                    return Some(error.to_string());
                }
            }
        }
    }
}

async fn take(intake: &Intake, subscriptions: &Subscriptions, heard: Heard, waiting: &Waiting) {
    let dropped = waiting.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        intake.dropped(dropped);
    }
    let Heard::Message { channel, payload } = heard else { return };
    waiting.bytes.fetch_sub(payload.len() + OVERHEAD, Ordering::Relaxed);
    match intake.emitter.kind {
        Kind::ProducerChannel => intake.publication(&payload).await,
        Kind::PythonKombuRedis => intake.command(Form::Kombu, &payload).await,
        Kind::NodeRedis => {
            let request = subscriptions.requests.iter().find(|(name, _)| name.as_bytes() == channel);
            let form = request.map_or(Form::Broadcast, |(_, namespace)| Form::Request(namespace));
            intake.command(form, &payload).await;
        }
        _ => intake.command(Form::Python, &payload).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_channels() {
        let emitter = |kind| Emitter { kind, namespaces: vec!["/a*[b]".into()], database: 3, ..Emitter::default() };
        let of = |kind| Subscriptions::of(&emitter(kind));
        assert_eq!(of(Kind::PythonRedis).channels, ["socketio"]);
        assert_eq!(of(Kind::PythonKombuRedis).channels, ["/3.socketio"]);
        assert_eq!(of(Kind::ProducerChannel).channels, ["websocket:producer:channel"]);
        let node = of(Kind::NodeRedis);
        assert_eq!(node.patterns, [r"socket.io#/a\*\[b\]#*", r"socket.io-request#/a\*\[b\]#"]);
        assert_eq!(node.requests, [("socket.io-request#/a*[b]#".to_owned(), "/a*[b]".into())]);
    }
}
