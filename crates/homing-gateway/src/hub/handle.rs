//! The hub as the rest of the program sees it: mailboxes of its shards.

use std::{
    io,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use homing_core::live::{Position, Stream};
use tokio::sync::{mpsc, oneshot};

use super::{
    Order, Settings,
    meter::{Counters, Room},
    shard::{self, Mail, Wanted},
};
use crate::{
    desk::Desk,
    net::{
        handshake::Rules,
        http::{Http, HttpIo},
    },
    parcel::{Dialect, Encode},
    session::{Admission, Doorman, Session, SessionKey},
};

/// So many orders wait for a shard before whoever orders must wait, too.
const MAILBOX: usize = 1_024;

/// Whom shards ask.
#[derive(Clone)]
pub struct Ports {
    /// Lets WebSockets in.
    pub doorman: Arc<dyn Doorman>,
    /// Answers sessions.
    pub desk: Arc<dyn Desk>,
    /// Makes the forms of parcels.
    pub encode: Arc<dyn Encode>,
    /// Serves what is no WebSocket.
    pub http: Arc<dyn Http>,
}

/// Sessions and sockets at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions.
    pub sessions: usize,
    /// Of those, with a user.
    pub identified: usize,
    /// WebSockets that speak the plain protocol.
    pub plain: usize,
    /// WebSockets of Engine.IO 4.
    pub engine4: usize,
    /// WebSockets of Engine.IO 3.
    pub engine3: usize,
    /// Connections that have not finished their first request.
    pub handshakes: usize,
    /// Connections of all kinds that shards own, those that are being closed among them.
    pub connections: usize,
    /// Bytes that wait for sockets; shared ones are counted for each.
    pub overflow: usize,
}

/// There is no room for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another session")]
pub struct Full;

/// The shards. Cheap to clone; dropping the last clone ends them at once, [`drain`](Self::drain) ends them well.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<Mailbox>,
    next: AtomicUsize,
    room: Arc<Room>,
    rules: Arc<Rules>,
    window: Duration,
}

struct Mailbox {
    mail: mpsc::Sender<Mail>,
    counters: Arc<Counters>,
}

impl Hub {
    /// Starts the shards. Each accepts from every listener.
    ///
    /// # Errors
    /// A setting cannot work (`InvalidInput`), or the system gives no thread or descriptor.
    pub fn start(settings: Settings, listeners: Vec<TcpListener>, ports: Ports) -> io::Result<Self> {
        settings.check().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let count = settings.shards();
        let settings = Arc::new(settings);
        let room = Arc::new(Room::new(settings.max_sockets));
        let rules = Arc::new(Rules { protocols: settings.protocols.clone(), deflate: settings.deflate });
        let boxes: Vec<_> = (0..count).map(|_| mpsc::channel(MAILBOX)).collect();
        let senders: Arc<[mpsc::WeakSender<Mail>]> = boxes.iter().map(|(tx, _)| tx.downgrade()).collect();
        let mut shards = Vec::with_capacity(boxes.len());
        for (number, (tx, rx)) in (0..count).zip(boxes) {
            let counters = Arc::new(Counters::default());
            shard::start(Wanted {
                number,
                of: count,
                settings: Arc::clone(&settings),
                rules: Arc::clone(&rules),
                listeners: listeners.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?,
                ports: ports.clone(),
                mail: rx,
                others: Arc::clone(&senders),
                counters: Arc::clone(&counters),
                room: Arc::clone(&room),
            })?;
            shards.push(Mailbox { mail: tx, counters });
        }
        let window = settings.drain;
        Ok(Self { inner: Arc::new(Inner { shards, next: AtomicUsize::new(0), room, rules, window }) })
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.inner.shards.len()).unwrap_or(u16::MAX)
    }

    /// Orders something of a shard, or of all. Waits while a mailbox is full. Orders of one caller keep their order on a
    /// shard. What names a session goes to its shard, whatever `shard` says. A hub that ended takes no notice. Cancelled:
    /// some of the shards may have it.
    pub async fn order(&self, shard: Option<u16>, order: Order) {
        if let Some(one) = order.shard().or(shard) {
            return self.send(one, Mail::Order(order)).await;
        }
        let Some(last) = self.shards().checked_sub(1) else { return };
        for number in 0..last {
            if let Some(copy) = order.copy() {
                self.send(number, Mail::Order(copy)).await;
            }
        }
        self.send(last, Mail::Order(order)).await;
    }

    /// The streams that this shard follows, and how far it is in each; those of which nothing came yet are left out.
    pub async fn places(&self, shard: u16) -> Vec<(Stream, Position)> {
        let (tx, rx) = oneshot::channel();
        self.order(Some(shard), Order::Places(tx)).await;
        rx.await.unwrap_or_default()
    }

    /// Begins a session without a socket.
    ///
    /// # Errors
    /// There are as many as may be, or the hub drains.
    pub async fn open(&self, session: Box<dyn Session>) -> Result<SessionKey, Full> {
        let (tx, rx) = oneshot::channel();
        self.send(self.turn(), Mail::Open(session, tx)).await;
        rx.await.map_err(|_| Full)?
    }

    /// Is there no room for another session? (The answer to a request is then 503.)
    pub fn full(&self) -> bool {
        self.inner.room.full()
    }

    /// What this hub allows in a WebSocket handshake, for one that HTTP answers.
    pub fn rules(&self) -> &Rules {
        &self.inner.rules
    }

    /// Takes a socket over that HTTP has answered with 101, with what was read behind the request. `deflate`: the answer
    /// agreed to permessage-deflate.
    ///
    /// # Errors
    /// The socket could not be moved. A refusal in `admission` just closes it.
    pub async fn adopt(&self, io: HttpIo, leftover: Bytes, deflate: bool, admission: Admission) -> io::Result<()> {
        let shard = match &admission {
            Admission::Offer(key, _) => key.shard,
            Admission::Session(_) => self.turn(),
            Admission::Refuse { .. } => return Ok(()),
        };
        let (io, prefix) = io.into_parts()?;
        let read = if prefix.is_empty() { leftover } else { [leftover, prefix].concat().into() };
        self.send(shard, Mail::Socket(Box::new(shard::Arrival { io, read, upgrade: None, deflate, admission }))).await;
        Ok(())
    }

    /// Sessions and sockets at this moment.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for shard in &self.inner.shards {
            let counters = &shard.counters;
            sum.sessions += counters.sessions.get();
            sum.identified += counters.identified.get();
            sum.plain += counters.sockets(Dialect::Plain).get();
            sum.engine4 += counters.sockets(Dialect::Engine4).get();
            sum.engine3 += counters.sockets(Dialect::Engine3).get();
            sum.handshakes += counters.handshakes.get();
            sum.connections += counters.connections.get();
            sum.overflow += counters.overflow.get();
        }
        sum
    }

    /// Takes no more connections, closes every session with 1012, spread over the window (`None` = as configured), and
    /// returns when all is closed. Cancelled: it goes on.
    pub async fn drain(&self, window: Option<Duration>) {
        let window = window.unwrap_or(self.inner.window);
        let mut ends = Vec::new();
        for number in 0..self.shards() {
            let (tx, rx) = oneshot::channel();
            self.send(number, Mail::Drain(window, tx)).await;
            ends.push(rx);
        }
        for end in ends {
            // An error says the same: the shard is no more.
            end.await.ok();
        }
    }

    fn turn(&self) -> u16 {
        let turn = self.inner.next.fetch_add(1, Ordering::Relaxed) % self.inner.shards.len().max(1);
        u16::try_from(turn).unwrap_or(0)
    }

    async fn send(&self, shard: u16, mail: Mail) {
        if let Some(to) = self.inner.shards.get(usize::from(shard)) {
            // A shard that ended has nobody to deliver to.
            to.mail.send(mail).await.ok();
        }
    }
}
