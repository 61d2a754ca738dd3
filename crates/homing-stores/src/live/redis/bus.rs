//! The bus: a connection of its own, kept open by a task. What it hears goes to [`Ears`] at once, in the connection's
//! own task, so that the server never waits for the node. After a reconnect all channels are subscribed to in one
//! command, and then the node is told of the gap.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::live::{Announcement, BUS_SHARDS, Bus, Heard, LiveDown};
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    RedisLive,
    keys::Keys,
    link::{Ask, OnPush, with_ears},
};
use crate::live::{ears::Ears, failure::refused};

const PART: &str = "bus";

/// Between two tries to connect: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How often a silent connection is tried.
const PING: Duration = Duration::from_secs(5);

/// Announcements in one round trip.
const AT_ONCE: usize = 256;

/// What the task is to do.
pub(super) struct Order {
    follow: bool,
    shards: Vec<u32>,
    done: oneshot::Sender<Result<(), String>>,
}

impl Bus for RedisLive {
    fn follow<'a>(&'a self, shards: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(self.order(true, shards))
    }

    fn unfollow<'a>(&'a self, shards: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(self.order(false, shards))
    }

    fn announce<'a>(&'a self, announcements: &'a [Announcement]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            for some in announcements.chunks(AT_ONCE) {
                let mut pipe = redis::pipe();
                for said in some {
                    pipe.cmd("PUBLISH").arg(self.keys.channel(said.shard())).arg(said.encode().as_ref());
                }
                // Once: whoever heard it need not hear it again.
                let asked = self.writes.ask_once(Ask::Pipeline(&pipe)).await;
                asked.map_err(|error| self.down(PART, error))?;
            }
            Ok(())
        })
    }

    fn hear(&self) -> BoxFuture<'_, Heard> {
        Box::pin(async move {
            self.orders();
            self.ears.hear().await
        })
    }
}

impl RedisLive {
    /// The way to the task, which is started by the first who asks.
    fn orders(&self) -> &mpsc::Sender<Order> {
        self.bus.get_or_init(|| {
            let (tx, orders) = mpsc::channel(256);
            let (ears, ended) = (Arc::clone(&self.ears), Arc::new(Notify::new()));
            let (keys, client, timeout) = (self.keys.clone(), self.client.clone(), self.settings.timeout);
            let task = Task { client, timeout, keys, ears, ended, orders, wanted: BTreeSet::new() };
            tokio::spawn(task.run());
            tx
        })
    }

    async fn order(&self, follow: bool, shards: &[u32]) -> Result<(), LiveDown> {
        if let Some(shard) = shards.iter().find(|shard| **shard >= BUS_SHARDS) {
            return Err(refused(&self.what(PART), format!("there is no shard {shard}; there are {BUS_SHARDS}")));
        }
        if shards.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let order = Order { follow, shards: shards.to_vec(), done };
        let ended = || self.down(PART, "the bus has ended");
        let asked = async {
            self.orders().send(order).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?.map_err(|why| self.down(PART, why))
        };
        let silent = || self.down(PART, format!("no answer within {:?}", self.settings.timeout));
        timeout(self.settings.timeout, asked).await.map_err(|_| silent())?
    }
}

struct Task {
    client: Client,
    timeout: Duration,
    keys: Keys,
    ears: Arc<Ears>,
    /// The connection ended.
    ended: Arc<Notify>,
    orders: mpsc::Receiver<Order>,
    wanted: BTreeSet<u32>,
}

impl Task {
    async fn run(mut self) {
        let (mut pause, mut missed) = (PAUSE.0, false);
        loop {
            match self.connect().await {
                Ok(connection) => {
                    pause = PAUSE.0;
                    if missed {
                        self.ears.gap();
                        tracing::info!("The bus is back.");
                    }
                    missed = true;
                    let Err(why) = self.serve(connection).await else { return };
                    tracing::warn!(why, "The bus is away.");
                }
                Err(error) => {
                    missed = true;
                    let why = error.to_string();
                    while let Ok(order) = self.orders.try_recv() {
                        self.note(&order);
                        // The caller may have gone.
                        drop(order.done.send(Err(why.clone())));
                    }
                    if self.orders.is_closed() {
                        return;
                    }
                    sleep(pause).await;
                    pause = PAUSE.1.min(pause * 2);
                }
            }
        }
    }

    /// Opens a connection that hears all that is wanted.
    async fn connect(&mut self) -> Result<MultiplexedConnection, RedisError> {
        // Of this connection alone: that the last one ended is known.
        self.ended = Arc::new(Notify::new());
        let (ears, ended) = (Arc::clone(&self.ears), Arc::clone(&self.ended));
        let on_push: OnPush = Arc::new(move |push| match push.kind {
            PushKind::Message => {
                if let Some(payload) = payload(push) {
                    ears.raw(payload);
                }
            }
            PushKind::Disconnection => ended.notify_one(),
            _ => {}
        });
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let config = with_ears(config, on_push);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut channels = vec![self.keys.channel(None)];
        channels.extend(self.wanted.iter().map(|shard| self.keys.channel(Some(*shard))));
        connection.subscribe(channels).await?;
        Ok(connection)
    }

    /// Until the connection ends, with why; `Ok` when nobody wants it any more.
    async fn serve(&mut self, mut connection: MultiplexedConnection) -> Result<(), String> {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order, &mut connection).await?,
                    None => return Ok(()),
                },
                () = self.ended.notified() => return Err("the connection ended".to_owned()),
                _ = pings.tick() => {
                    redis::cmd("PING").query_async::<Value>(&mut connection).await.map_err(|error| error.to_string())?;
                }
            }
        }
    }

    async fn obey(&mut self, order: Order, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let new: Vec<u32> =
            order.shards.iter().copied().filter(|shard| self.wanted.contains(shard) != order.follow).collect();
        self.note(&order);
        let channels: Vec<String> = new.iter().map(|shard| self.keys.channel(Some(*shard))).collect();
        let answer = match (channels.is_empty(), order.follow) {
            (true, _) => Ok(()),
            (_, true) => connection.subscribe(channels).await,
            (_, false) => connection.unsubscribe(channels).await,
        };
        let answer = answer.map_err(|error| error.to_string());
        drop(order.done.send(answer.clone()));
        answer
    }

    /// What the next connection is to hear.
    fn note(&mut self, order: &Order) {
        for shard in &order.shards {
            if order.follow {
                self.wanted.insert(*shard);
            } else {
                self.wanted.remove(shard);
            }
        }
    }
}

/// The payload of a `message` push: channel, payload.
fn payload(push: PushInfo) -> Option<Bytes> {
    match push.data.into_iter().nth(1)? {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}
