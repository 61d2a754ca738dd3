//! A shard: a thread that owns sockets and sessions, and its tasks: one that accepts (per listener), one for the mail, one
//! for the clock, and a small one per socket.

use std::{cell::RefCell, io, net::TcpListener, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::{ServerConfig, ServerConnection};
use secrecy::ExposeSecret;
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{Notify, mpsc, oneshot},
    task::spawn_local,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Order, Settings,
    deliver::{Foreman, Post},
    handle::{Full, Ports},
    meter::{Counters, Room},
    socket::Watch,
    state::State,
    wheel::TICK,
};
use crate::{
    net::{
        handshake::{Rules, Upgrade},
        io::{Io, Resting},
        tls,
    },
    session::{Admission, Close, Session, SessionKey, code},
};

/// While there is no room for another handshake, those give way that have taken longer.
const CROWDED: Duration = Duration::from_secs(1);
/// So many connections are accepted before others have their turn.
const ACCEPTS: u32 = 32;
/// So many alarms go off before others have their turn.
const ALARMS: usize = 256;

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

/// Starts the thread. It ends when the hub drains, or when nobody can send it anything any more.
pub(super) fn start(wanted: Wanted) -> io::Result<()> {
    let tls = match &wanted.settings.tls {
        None => None,
        Some(tls) => Some(
            tls::server(&tls.certificate, tls.key.expose_secret())
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?,
        ),
    };
    std::thread::Builder::new().name(format!("shard-{}", wanted.number)).spawn(move || {
        let number = wanted.number;
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => run(&runtime, wanted, tls),
            Err(error) => tracing::error!(shard = number, %error, "A shard could not be started."),
        }
    })?;
    Ok(())
}

fn run(runtime: &LocalRuntime, wanted: Wanted, tls: Option<Arc<ServerConfig>>) {
    let Wanted { number, of, settings, rules, listeners, ports, mut mail, others, counters, room } = wanted;
    let handshakes = settings.handshakes.div_ceil(usize::from(of)).max(1);
    runtime.block_on(async move {
        let state = Rc::new(RefCell::new(State::new(number, settings, rules, ports, counters, room, others)));
        let doors: Vec<_> = listeners
            .into_iter()
            .map(|listener| spawn_local(accept(Rc::clone(&state), listener, tls.clone(), handshakes)))
            .collect();
        spawn_local(tick(Rc::clone(&state)));
        let over = Rc::new(Notify::new());
        let mut foreman = Foreman::new(Rc::clone(&state));
        let mut ends = Vec::new();
        loop {
            let next = tokio::select! {
                mail = mail.recv() => mail,
                () = over.notified() => None,
            };
            let Some(next) = next else { break };
            let left = state.borrow_mut().open_mail(next);
            match left {
                Post::Done => {}
                Post::Order(order) => foreman.carry_out(order).await,
                Post::Socket(sock) => drop(spawn_local(Watch { state: Rc::clone(&state), sock })),
                Post::Drain(window, done) => {
                    ends.push(done);
                    doors.iter().for_each(tokio::task::JoinHandle::abort);
                    let (state, over) = (Rc::clone(&state), Rc::clone(&over));
                    let draining = std::mem::replace(&mut state.borrow_mut().draining, true);
                    if !draining {
                        spawn_local(async move {
                            drain(&state, window).await;
                            over.notify_one();
                        });
                    }
                }
            }
        }
        {
            let state = &mut *state.borrow_mut();
            state.cut_off();
            state.tell_meter();
        }
        drop(ends);
    });
}

/// Accepts connections as long as not too many are in their handshake.
async fn accept(state: Rc<RefCell<State>>, listener: TcpListener, tls: Option<Arc<ServerConfig>>, handshakes: usize) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "A listener cannot be used."),
    };
    let (room, counters) = {
        let state = state.borrow();
        (Arc::clone(&state.accept), Arc::clone(&state.counters))
    };
    let mut turn = 0;
    loop {
        while counters.handshakes.get() >= handshakes {
            if timeout(CROWDED, room.notified()).await.is_err() {
                state.borrow_mut().make_room(CROWDED);
            }
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                // Only a socket that is dead already has no such option.
                stream.set_nodelay(true).ok();
                let session = match tls.clone().map(ServerConnection::new).transpose() {
                    Ok(session) => session,
                    Err(error) => {
                        tracing::error!(%error, "TLS could not be begun.");
                        continue;
                    }
                };
                let sock = {
                    let mut state = state.borrow_mut();
                    state.tally.accepted += 1;
                    state.add_socket(Io::new(stream, session))
                };
                drop(spawn_local(Watch { state: Rc::clone(&state), sock }));
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                // No descriptors, most likely: the others wait in the kernel.
                tracing::warn!(%error, "A connection could not be accepted.");
                sleep(Duration::from_millis(200)).await;
            }
        }
        turn += 1;
        if turn % ACCEPTS == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The clock of the shard.
async fn tick(state: Rc<RefCell<State>>) {
    let mut clock = interval(Duration::from_millis(TICK));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Vec::new();
    loop {
        clock.tick().await;
        {
            let state = &mut *state.borrow_mut();
            state.refresh();
            state.wheel.turn(state.now / TICK, &mut due);
            state.tell_meter();
        }
        for some in due.chunks(ALARMS) {
            {
                let state = &mut *state.borrow_mut();
                state.refresh();
                for alarm in some {
                    state.alarm(*alarm);
                }
            }
            tokio::task::yield_now().await;
        }
        due.clear();
        due.shrink_to(4 * ALARMS);
    }
}

/// Ends every session, spread over the window, and waits until their sockets are closed.
async fn drain(state: &RefCell<State>, window: Duration) {
    let (mut keys, patience) = {
        let state = state.borrow();
        (state.slots.keys().collect::<Vec<_>>(), state.settings.close_timeout)
    };
    let tick = Duration::from_millis(TICK);
    let mut turns = usize::try_from(window.as_millis() / u128::from(TICK)).unwrap_or(usize::MAX);
    let close = Close::new(code::RESTART, "the node restarts: come back");
    while !keys.is_empty() {
        for (slot, generation) in keys.split_off(keys.len() - keys.len().div_ceil(turns.max(1))) {
            let state = &mut *state.borrow_mut();
            state.refresh();
            if state.slots.is(slot, generation) {
                state.end(slot, &close);
            }
        }
        turns = turns.saturating_sub(1);
        if !keys.is_empty() {
            sleep(tick).await;
        }
    }
    let until = tokio::time::Instant::now() + patience + 2 * tick;
    while !state.borrow().socks.is_empty() && tokio::time::Instant::now() < until {
        sleep(tick / 4).await;
    }
}
