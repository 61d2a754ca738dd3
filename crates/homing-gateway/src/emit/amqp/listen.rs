//! Consumes a queue.

use futures_util::StreamExt;
use lapin::{
    Consumer,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        intake::{Form, Intake},
        reader::Backoff,
        settings::Emitter,
        sink::State,
    },
    link::{self, Link, PATIENCE, short},
};

/// Messages under way to a node, not acknowledged.
const PREFETCH: u16 = 256;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The node's own.
    Node,
    /// The one that all nodes share.
    Inbox,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Node => "",
            Self::Inbox => "inbox",
        }
    }

    /// The queue's name. Two sources may use one broker, so the exchange is in it unless it is the usual one.
    fn queue(self, emitter: &Emitter, node: &str) -> String {
        let whose = match self {
            Self::Node => node,
            Self::Inbox => "inbox",
        };
        match emitter.channel() {
            "socketio" => format!("homing.gateway.{whose}"),
            other => format!("homing.gateway.{whose}.{other}"),
        }
    }

    fn arguments(self, emitter: &Emitter) -> FieldTable {
        let mut arguments = FieldTable::default();
        if self == Self::Node {
            let expires = i32::try_from(emitter.queue_expires.as_millis()).unwrap_or(i32::MAX);
            arguments.insert(ShortString::from("x-expires"), AMQPValue::LongInt(expires));
        }
        let length = i32::try_from(emitter.queue_length).unwrap_or(i32::MAX);
        arguments.insert(ShortString::from("x-max-length"), AMQPValue::LongInt(length));
        arguments
    }
}

/// Consumes the queue until `stop`.
pub(in super::super) async fn listen(intake: &Intake, node: &str, part: Part, stop: &CancellationToken) {
    let (mut backoff, mut last) = (Backoff::new(), None);
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = tokio::time::timeout(PATIENCE, open(intake, node, part)) => opened,
        };
        let why = match opened {
            Err(_) => format!("no answer within {PATIENCE:?}"),
            Ok(Err(why)) => why,
            Ok(Ok((link, mut consumer))) => {
                intake.status(&mut last, part.name(), State::Up);
                backoff.reset();
                let ended = consume(intake, part, &link, &mut consumer, stop).await;
                link.close().await;
                match ended {
                    Some(why) => why,
                    None => return,
                }
            }
        };
        intake.status(&mut last, part.name(), State::Down(why));
        if !backoff.pause(stop).await {
            return;
        }
    }
}

async fn open(intake: &Intake, node: &str, part: Part) -> Result<(Link, Consumer), String> {
    let emitter = &intake.emitter;
    let queue = part.queue(emitter, node);
    let link = Link::open(emitter, &queue).await?;
    let channel = &link.channel;
    link::exchange(channel, emitter.channel()).await?;
    let wrong = |error: lapin::Error| format!("queue {queue}: {error}");
    let options = QueueDeclareOptions { durable: part == Part::Inbox, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(&queue)?, options, part.arguments(emitter)).await.map_err(wrong)?;
    let bound = channel.queue_bind(
        short(&queue)?,
        short(emitter.channel())?,
        ShortString::from(""),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.map_err(wrong)?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(wrong)?;
    let consumer = channel.basic_consume(
        short(&queue)?,
        ShortString::from(""),
        BasicConsumeOptions { exclusive: part == Part::Node, ..BasicConsumeOptions::default() },
        FieldTable::default(),
    );
    let consumer = consumer.await.map_err(wrong)?;
    Ok((link, consumer))
}

/// Answers why it ended, or `None` when `stop` came. What was not acknowledged by then comes again.
async fn consume(
    intake: &Intake,
    part: Part,
    link: &Link,
    consumer: &mut Consumer,
    stop: &CancellationToken,
) -> Option<String> {
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return None,
            delivery = consumer.next() => delivery,
        };
        let delivery = match delivery {
            None => return Some("the broker ended the consumer".to_owned()),
            Some(Err(error)) => return Some(error.to_string()),
            Some(Ok(delivery)) => delivery,
        };
        let ours = match part {
            Part::Node => tokio::select! {
                () = stop.cancelled() => return None,
                () = intake.command(Form::Python, &delivery.data) => true,
            },
            // It waits in place if it must: those behind it keep their order. What is being stored is not broken off when
            // the node stops: it might be stored, and come again.
            Part::Inbox => {
                let ours = || link.channel.status().connected() && !stop.is_cancelled();
                intake.store(&delivery.data, ours).await
            }
        };
        if !ours {
            return (!stop.is_cancelled()).then(|| "the connection was lost".to_owned());
        }
        if let Err(error) = delivery.acker.ack(BasicAckOptions::default()).await {
            return Some(error.to_string());
        }
    }
}
