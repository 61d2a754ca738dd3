//! A shard: a thread that owns sockets and sessions, and its tasks.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{
    Order, Settings,
    handle::{Full, Ports},
    meter::{Counters, Room},
};
use crate::{
    net::{
        handshake::{Rules, Upgrade},
        io::Resting,
    },
    session::{Admission, Session, SessionKey},
};

/// What a shard is sent.
pub(super) enum Mail {
    Order(Order),
    Open(Box<dyn Session>, oneshot::Sender<Result<SessionKey, Full>>),
    Socket(Box<Arrival>),
    /// Dropped when the shard has ended.
    Drain(Duration, oneshot::Sender<()>),
}

/// A socket from another thread.
pub(super) struct Arrival {
    pub(super) io: Resting,
    pub(super) read: Bytes,
    /// To be answered; `None` = that was done.
    pub(super) upgrade: Option<Upgrade>,
    pub(super) deflate: bool,
    pub(super) admission: Admission,
}

/// What a shard is made of.
#[allow(dead_code, reason = "being built")]
pub(super) struct Wanted {
    pub(super) number: u16,
    pub(super) of: u16,
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Arc<Rules>,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) ports: Ports,
    pub(super) mail: mpsc::Receiver<Mail>,
    pub(super) others: Arc<[mpsc::WeakSender<Mail>]>,
    pub(super) counters: Arc<Counters>,
    pub(super) room: Arc<Room>,
}

pub(super) fn start(wanted: Wanted) -> io::Result<()> {
    std::thread::Builder::new().name(format!("shard-{}", wanted.number)).spawn(move || drop(wanted)).map(|_| ())
}
