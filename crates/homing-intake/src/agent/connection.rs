//! One client: frames in, one append for all that came together, and then their answers.
//!
//! What is answered stands in its queue. Frames are worked in their order, and nothing is read while an append is under
//! way, so that a slow queue is seen by the client as a slow agent.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Agent, Dialect,
    frame::{Frame, Frames, Garbage},
    job::Reader,
    meter,
};
use crate::check::Checked;

/// Room for a read.
const READ: usize = 64 << 10;
/// Bytes of events that are appended together.
const BATCH: usize = 4 << 20;
/// Longest time for one frame, however steadily it drips.
const SLOWEST: Duration = Duration::from_secs(60);
/// Longest time for the client to take its answers.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two offers to a queue that does not take them.
const AGAIN: Duration = Duration::from_millis(250);
/// Before a connection is closed on garbage, so long its client may read the answers to what came before.
const LAST: Duration = Duration::from_millis(500);

/// Frames that came together.
#[derive(Default)]
struct Batch {
    frames: usize,
    heartbeats: usize,
    events: Vec<Checked>,
    bytes: usize,
    buried: usize,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client closed it.
    Closed,
    /// The client broke it, or does not read.
    Broken(io::Error),
    /// It was silent too long.
    Idle,
    /// It stopped within a frame.
    Partial(usize),
    Garbage(Garbage),
    /// The queue did not take it.
    Unavailable(String, usize),
    Stopped,
}

/// Serves one client to its end.
pub(super) async fn run(agent: &Agent, mut stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "A connection keeps its delay.");
    }
    let mut frames = Frames::new(&agent.options.dialects, agent.options.max_frame);
    let end = converse(agent, &mut stream, peer, &mut frames, stop).await;
    match end {
        End::Closed => debug!(%peer, "A client has gone."),
        End::Broken(error) => debug!(%peer, %error, "A client has gone."),
        End::Idle => info!(%peer, idle = ?agent.options.idle, "Closes an idle connection."),
        End::Stopped => debug!(%peer, "Closes a connection: the agent stops."),
        End::Partial(bytes) => {
            meter::frames(frames.dialect, "garbage", 1);
            if let Some(hidden) = agent.seldom.may() {
                warn!(%peer, bytes, hidden, "Closes a connection: it stopped within a frame.");
            }
        }
        End::Garbage(Garbage { at, what }) => {
            meter::frames(frames.dialect, "garbage", 1);
            if let Some(hidden) = agent.seldom.may() {
                warn!(%peer, position = at, reason = what, hidden, "Closes a connection: this is no frame.");
            }
            leave(&mut stream).await;
        }
        End::Unavailable(why, count) => {
            meter::frames(frames.dialect, "unavailable", count);
            if frames.dialect == Some(Dialect::Bare) {
                error!(%peer, frames = count, why, "Closes a connection: frames are lost that no queue took.");
            } else if let Some(hidden) = agent.seldom.may() {
                warn!(%peer, frames = count, why, hidden, "Closes a connection without an answer: no queue took its frames.");
            }
        }
    }
}

async fn converse(
    agent: &Agent,
    stream: &mut TcpStream,
    peer: SocketAddr,
    frames: &mut Frames,
    stop: &CancellationToken,
) -> End {
    let options = &agent.options;
    let (mut last, mut began) = (Instant::now(), None);
    loop {
        let (batch, garbage) = gather(agent, peer, frames);
        if batch.frames > 0 {
            began = None;
            if let Err(end) = settle(agent, stream, frames.dialect, batch, stop).await {
                return end;
            }
            last = Instant::now();
        }
        match garbage {
            Some(garbage) => return End::Garbage(garbage),
            // The window was full: there may be more.
            None if frames.is_partial() && began.is_none() => {
                began = Some(Instant::now());
                continue;
            }
            None => {}
        }
        let until = match began {
            Some(began) if frames.is_partial() => (last + options.partial).min(began + SLOWEST),
            _ => last + options.idle,
        };
        frames.buffer.reserve(READ);
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return End::Stopped,
            read = timeout_at(until, stream.read_buf(&mut frames.buffer)) => read,
        };
        match read {
            Ok(Ok(0)) if frames.is_partial() => return End::Partial(frames.buffer.len()),
            Ok(Ok(0)) => return End::Closed,
            Ok(Ok(_)) => last = Instant::now(),
            Ok(Err(error)) => return End::Broken(error),
            Err(_) if frames.is_partial() => return End::Partial(frames.buffer.len()),
            Err(_) => return End::Idle,
        }
    }
}

/// What is there of whole frames, up to a window, and what ends it.
fn gather(agent: &Agent, peer: SocketAddr, frames: &mut Frames) -> (Batch, Option<Garbage>) {
    let reader = Reader { intake: &agent.intake, options: &agent.options, conventions: &agent.conventions };
    let mut batch = Batch::default();
    while batch.frames < agent.options.window && batch.bytes < BATCH {
        let frame: Frame = match frames.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(garbage) => return (batch, Some(garbage)),
        };
        batch.frames += 1;
        if frame.bytes.is_empty() {
            batch.heartbeats += 1;
            continue;
        }
        match reader.read(&frame) {
            Ok(job) => {
                if let Some(reason) = job.refused {
                    batch.buried += 1;
                    if let Some(hidden) = agent.seldom.may() {
                        warn!(%peer, position = frame.at, reason, hidden, "A frame goes to the dead list.");
                    }
                }
                batch.bytes += job.events.iter().map(|event| event.item.body.len()).sum::<usize>();
                batch.events.extend(job.events);
            }
            Err(garbage) => {
                batch.frames -= 1;
                return (batch, Some(garbage));
            }
        }
    }
    (batch, None)
}

/// Appends a batch and answers it, in the framed dialect with a byte per frame.
async fn settle(
    agent: &Agent,
    stream: &mut TcpStream,
    dialect: Option<Dialect>,
    batch: Batch,
    stop: &CancellationToken,
) -> Result<(), End> {
    let Batch { frames, heartbeats, events, bytes, buried } = batch;
    let framed = dialect == Some(Dialect::Framed);
    if !events.is_empty() {
        // A client of the framed dialect is told nothing and sends again; of the other it would be lost, so it waits.
        let deadline = framed.then(|| Instant::now() + agent.options.give_up);
        let offered = offer(agent, &events, bytes, deadline, stop).await;
        offered.map_err(|why| End::Unavailable(why, frames - heartbeats))?;
    }
    meter::frames(dialect, "heartbeat", heartbeats);
    meter::frames(dialect, "buried", buried);
    meter::frames(dialect, "accepted", frames - heartbeats - buried);
    if !framed {
        return Ok(());
    }
    let zeros = vec![0; frames];
    match timeout(ANSWER, stream.write_all(&zeros)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::Broken(error)),
        Err(_) => Err(End::Broken(io::Error::new(io::ErrorKind::TimedOut, "it does not read its answers"))),
    }
}

/// Offers events to their queues until they stand there, or until the deadline. They have ids: what was taken is not taken
/// twice.
async fn offer(
    agent: &Agent,
    events: &[Checked],
    bytes: usize,
    deadline: Option<Instant>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let mut why = "other clients' events wait".to_owned();
    let trying = async {
        let _room = agent.room(bytes).await;
        loop {
            match agent.intake.put(events.to_vec()).await {
                Ok(()) => return,
                Err(refusal) => why = refusal.to_string(),
            }
            sleep_until(Instant::now() + AGAIN).await;
        }
    };
    // The bare dialect waits for as long as the agent runs, and then as long as the other.
    let end = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => {
                stop.cancelled().await;
                sleep_until(Instant::now() + agent.options.give_up).await;
            }
        }
    };
    let done = tokio::select! {
        biased;
        () = trying => true,
        () = end => false,
    };
    if done { Ok(()) } else { Err(why) }
}

/// Closes so that the client can read what was answered before: unread bytes would take the answers with them.
async fn leave(stream: &mut TcpStream) {
    let mut scrap = vec![0; 16 << 10];
    let rest = async {
        stream.shutdown().await?;
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever happens, it is closed then.
    timeout(LAST, rest).await.ok();
}
