//! A shard's sockets. Each has a small task ([`Watch`]) that waits until it can be read, or written when something waits;
//! all else is done here, at once, by whoever has something to do: a broadcast writes to thousands of sockets and wakes
//! none of their tasks.

use std::{
    cell::RefCell,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::{
    queue::{PIECES, Queue},
    slots::NONE,
    state::{Alarm, State},
    wheel::Wheel,
};
use crate::{
    net::{deflate, frame, io::Io, parser::Parser},
    parcel::{Dialect, Payload},
    session::{Close, Socket, code},
};

/// So many empty queues are kept for the next write.
const SPARE: usize = 64;
/// A socket may read so often before others have their turn.
const READS: usize = 8;
/// A session's own words go to the socket when so many have gathered, even before its method has returned.
const GATHER: usize = 64 * 1024;

/// A peer that has closed in good order goes within this, or is left.
const LINGER: Duration = Duration::from_secs(1);

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its first request has not come.
    Opening,
    /// Frames.
    Open,
    /// A close frame was sent, the client's is awaited.
    Closing,
    /// All was said. It is read until the client goes, so that the last words are not lost by a reset.
    Lingering,
    /// Its task is to remove it.
    Dead,
}

#[derive(Debug)]
pub(super) struct Sock {
    /// Missing once it has gone elsewhere.
    pub(super) io: Option<Io>,
    waker: Option<Waker>,
    pub(super) queue: Option<Box<Queue>>,
    pub(super) parser: Parser,
    /// The first request, while it is in pieces.
    pub(super) head: Vec<u8>,
    pub(super) owner: u32,
    serial: u32,
    pub(super) pinged: u32,
    pub(super) answered: u32,
    /// Frames that it may send.
    pub(super) tokens: u32,
    pub(super) phase: Phase,
    pub(super) which: Socket,
    pub(super) deflate: bool,
    shut: bool,
    /// The session's dialect, for the count.
    counted: Option<Dialect>,
    /// When the last byte came.
    pub(super) heard: u64,
    /// When the tokens were last filled.
    pub(super) filled: u64,
    /// When it is to be cut off; in `Open` never.
    deadline: u64,
}

/// The task of a socket.
pub(super) struct Watch {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) sock: u32,
}

impl Future for Watch {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.state.borrow_mut().poll_socket(self.sock, cx)
    }
}

impl State {
    /// A connection that is new to this shard. Its task is for the caller to start.
    pub(super) fn add_socket(&mut self, io: Io) -> u32 {
        self.refresh();
        self.serial = self.serial.wrapping_add(1);
        let timeout = self.settings.handshake_timeout;
        let sock = Sock {
            io: Some(io),
            waker: None,
            queue: None,
            parser: Parser::default(),
            head: Vec::new(),
            owner: NONE,
            serial: self.serial,
            pinged: 0,
            answered: 0,
            tokens: self.settings.burst.max(self.settings.rate),
            phase: Phase::Opening,
            which: Socket::Main,
            deflate: false,
            shut: false,
            counted: None,
            heard: self.now,
            filled: self.now,
            deadline: 0,
        };
        let id = u32::try_from(self.socks.insert(sock)).unwrap_or(NONE);
        self.counters.connections.up(1);
        self.counters.handshakes.up(1);
        self.until(id, timeout);
        id
    }

    /// It is cut off after this time.
    fn until(&mut self, id: u32, time: Duration) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        sock.deadline = self.now + u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2);
        self.wheel.add(Wheel::<Alarm>::tick(sock.deadline), Alarm::Socket(id, sock.serial));
    }

    pub(super) fn expire(&mut self, id: u32, serial: u32) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        if sock.serial == serial && !matches!(sock.phase, Phase::Open | Phase::Dead) && sock.deadline <= self.now {
            self.kill(id);
        }
    }

    /// Connections that have been silent about what they want for so long are cut off: others wait.
    pub(super) fn make_room(&mut self, time: Duration) {
        self.refresh();
        let spare = self.settings.handshake_timeout.saturating_sub(time);
        let latest = self.now + u64::try_from(spare.as_millis()).unwrap_or(u64::MAX / 2);
        let slow = |sock: &Sock| sock.phase == Phase::Opening && sock.deadline <= latest;
        let ids: Vec<_> = self.socks.iter().filter(|(_, sock)| slow(sock)).map(|(id, _)| id).collect();
        for id in ids.into_iter().filter_map(|id| u32::try_from(id).ok()) {
            self.tally.refused(408);
            self.kill(id);
        }
    }

    /// Its task removes it.
    pub(super) fn kill(&mut self, id: u32) {
        self.set_phase(id, Phase::Dead);
        self.wake(id);
    }

    pub(super) fn wake(&self, id: u32) {
        if let Some(waker) = self.socks.get(id as usize).and_then(|sock| sock.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    pub(super) fn set_phase(&mut self, id: u32, phase: Phase) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        let was = std::mem::replace(&mut sock.phase, phase);
        if was == Phase::Opening && phase != Phase::Opening {
            sock.head = Vec::new();
            self.counters.handshakes.down(1);
            self.accept.notify_one();
        }
    }

    /// It carries, or offers to carry, this session from now on.
    pub(super) fn attach(&mut self, id: u32, slot: u32, which: Socket) {
        self.set_phase(id, Phase::Open);
        let Some(body) = self.slots.get_mut(slot) else { return };
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        (sock.owner, sock.which, sock.counted) = (slot, which, Some(body.dialect));
        self.counters.sockets(body.dialect).up(1);
        match which {
            Socket::Main => body.main = id,
            Socket::Candidate => body.candidate = id,
        }
    }

    pub(super) fn is_main(&mut self, id: u32) {
        if let Some(sock) = self.socks.get_mut(id as usize) {
            sock.which = Socket::Main;
        }
    }

    /// A message as this socket wants it; `None` = there is no socket.
    pub(super) fn framed(&mut self, id: u32, payload: &Payload) -> Option<Bytes> {
        if !self.socks.get(id as usize)?.deflate {
            return Some(frame::wire(std::slice::from_ref(payload)));
        }
        let compress = self.deflate.get_or_insert_with(|| Box::new(deflate::compressor()));
        Some(frame::deflated(compress, std::slice::from_ref(payload), self.settings.deflate_from))
    }

    /// A session's own words: they gather while its method runs, and go out in one write. False = it takes too much memory.
    pub(super) fn cork(&mut self, id: u32, bytes: Bytes) -> bool {
        let (overflow, held, own) = (self.settings.overflow, self.settings.max_held, self.own);
        let length = bytes.len();
        let Some(sock) = self.socks.get_mut(id as usize).filter(|sock| sock.phase == Phase::Open) else { return true };
        let queue = sock.queue.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        let limit = overflow + if own { held } else { queue.own.min(held) };
        // One message of any length may wait.
        if !queue.is_empty() && queue.bytes() + length > limit {
            return false;
        }
        queue.push(bytes);
        if own {
            queue.own = queue.bytes();
        }
        if queue.bytes() >= GATHER {
            self.write_queue(id);
        }
        true
    }

    /// Bytes for a socket, now. False = it takes too much memory: the session is to be ended.
    pub(super) fn send(&mut self, id: u32, bytes: Bytes, own: bool) -> bool {
        if own {
            let fits = self.cork(id, bytes);
            self.flush(id);
            return fits;
        }
        let limit = self.settings.overflow;
        let Some(sock) = self.socks.get_mut(id as usize).filter(|sock| sock.phase == Phase::Open) else { return true };
        if let Some(queue) = &mut sock.queue {
            if !queue.is_empty() && queue.bytes() + bytes.len() > limit + queue.own.min(self.settings.max_held) {
                return false;
            }
            // Its task waits until it can write already.
            queue.push(bytes);
        } else {
            let Some(io) = &mut sock.io else { return true };
            let written = match io.try_write(&[IoSlice::new(&bytes)]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => {
                    self.lost(id, 1006);
                    return true;
                }
            };
            self.tally.sent += written as u64;
            let unsent = io.unsent();
            if written < bytes.len() {
                let mut queue = self.spare.pop().unwrap_or_default();
                queue.push_rest(bytes, written);
                sock.queue = Some(queue);
            } else if !unsent {
                return true;
            }
            self.wake(id);
        }
        self.tell(id);
        true
    }

    /// Tells the counters how much waits for a socket.
    fn tell(&mut self, id: u32) {
        let Some(queue) = self.socks.get_mut(id as usize).and_then(|sock| sock.queue.as_mut()) else { return };
        let (told, now) = (queue.told, queue.bytes());
        queue.told = now;
        if now >= told {
            self.counters.overflow.up(now - told);
        } else {
            self.counters.overflow.down(told - now);
        }
    }

    fn give_back(&mut self, id: u32) {
        let Some(mut queue) = self.socks.get_mut(id as usize).and_then(|sock| sock.queue.take()) else { return };
        self.counters.overflow.down(queue.told);
        if self.spare.len() < SPARE && queue.is_empty() {
            (queue.told, queue.own) = (0, 0);
            self.spare.push(queue);
        }
    }

    /// Writes what waits, as far as it goes; the rest is its task's.
    pub(super) fn flush(&mut self, id: u32) {
        let Some(sock) = self.socks.get(id as usize).filter(|sock| sock.queue.is_some()) else { return };
        if sock.phase != Phase::Dead && self.write_queue(id) {
            self.tell(id);
            self.wake(id);
        }
    }

    /// True = something is left, and the socket takes nothing now.
    fn write_queue(&mut self, id: u32) -> bool {
        loop {
            let Some(sock) = self.socks.get_mut(id as usize) else { return false };
            let (Some(io), Some(queue)) = (&mut sock.io, &mut sock.queue) else { return false };
            if queue.is_empty() {
                let unsent = io.unsent();
                self.give_back(id);
                return unsent;
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = queue.slices(&mut slices);
            match io.try_write(slices.get(..count).unwrap_or_default()) {
                Ok(written) => {
                    queue.advance(written);
                    self.tally.sent += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // Reading tells the session: this may be called while its method runs.
                Err(_) => {
                    queue.cut();
                    queue.advance(usize::MAX);
                    self.broken_pipe(id);
                    return false;
                }
            }
        }
    }

    /// A write failed: the next read will fail, too, or is made to.
    fn broken_pipe(&mut self, id: u32) {
        if let Some(sock) = self.socks.get_mut(id as usize) {
            sock.shut = true;
        }
        self.wake(id);
    }

    /// Closes a socket that has no session any more. A slow one is cut off in its queue.
    pub(super) fn close_socket(&mut self, id: u32, close: &Close) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        sock.owner = NONE;
        if sock.phase != Phase::Open {
            return;
        }
        let queue = sock.queue.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        if close.code == code::SLOW {
            queue.cut();
        }
        queue.push(frame::close(close));
        self.set_phase(id, Phase::Closing);
        self.until(id, self.settings.close_timeout);
        self.flush(id);
    }

    /// The last words to a peer with whom all is said. `both` = it has said its own last words, too, and will soon be gone.
    pub(super) fn linger(&mut self, id: u32, last: Bytes, both: bool) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        sock.queue.get_or_insert_with(|| self.spare.pop().unwrap_or_default()).push(last);
        self.set_phase(id, Phase::Lingering);
        let patience = self.settings.close_timeout;
        self.until(id, if both { patience.min(LINGER) } else { patience });
        self.flush(id);
        self.wake(id);
    }

    /// The socket's session is told that it is gone; `code` = why it ends then.
    pub(super) fn detach(&mut self, id: u32, close: &Close) {
        let Some(sock) = self.socks.get_mut(id as usize) else { return };
        let (slot, which, heard) = (std::mem::replace(&mut sock.owner, NONE), sock.which, sock.heard);
        let Some(body) = self.slots.get_mut(slot) else { return };
        match which {
            Socket::Main => (body.main, body.heard) = (NONE, heard),
            Socket::Candidate => body.candidate = NONE,
        }
        let stays = self.call(slot, |session, link| session.lost(link, which));
        if which == Socket::Main && stays == Some(false) {
            self.end(slot, close);
        }
    }

    /// The connection is no more.
    pub(super) fn lost(&mut self, id: u32, code: u16) {
        self.kill(id);
        self.detach(id, &Close::new(code, "the connection was lost"));
    }

    /// Cuts off whoever is left: the shard ends.
    pub(super) fn cut_off(&mut self) {
        let ids: Vec<_> = self.socks.iter().filter_map(|(id, _)| u32::try_from(id).ok()).collect();
        for id in ids {
            self.set_phase(id, Phase::Dead);
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u32) {
        self.give_back(id);
        let Some(sock) = self.socks.try_remove(id as usize) else { return };
        self.counters.connections.down(1);
        if let Some(dialect) = sock.counted {
            self.counters.sockets(dialect).down(1);
        }
        if self.socks.is_empty() {
            self.socks.shrink_to_fit();
        }
    }

    /// What a socket's task does: writes what waits, reads what is there.
    fn poll_socket(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<()> {
        self.refresh();
        if let Some(sock) = self.socks.get_mut(id as usize)
            && !sock.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            sock.waker = Some(cx.waker().clone());
        }
        for _ in 0..READS {
            let Some(sock) = self.socks.get(id as usize) else { return Poll::Ready(()) };
            if sock.phase == Phase::Dead {
                self.remove(id);
                return Poll::Ready(());
            }
            if self.poll_write(id, cx).is_err() {
                self.lost(id, 1006);
                continue;
            }
            self.relieve(id);
            let mut space = std::mem::take(&mut self.read);
            let read = self.poll_read(id, cx, &mut space);
            match read {
                Poll::Ready(Ok(length @ 1..)) => self.received(id, space.get_mut(..length).unwrap_or_default()),
                Poll::Ready(_) => self.lost(id, 1006),
                Poll::Pending => {}
            }
            self.read = space;
            if read.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells a session that waits for it that nothing waits for its socket any more.
    fn relieve(&mut self, id: u32) {
        let Some(sock) = self.socks.get(id as usize).filter(|sock| sock.queue.is_none() && sock.owner != NONE) else {
            return;
        };
        let (slot, which) = (sock.owner, sock.which);
        if let Some(body) = self.slots.get_mut(slot)
            && which == Socket::Main
            && std::mem::take(&mut body.starved)
        {
            self.call(slot, |session, link| session.drained(link));
        }
    }

    fn poll_read(&mut self, id: u32, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let gone = || Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        let Some(sock) = self.socks.get_mut(id as usize) else { return gone() };
        let Some(io) = &mut sock.io else { return gone() };
        let mut buf = ReadBuf::new(space);
        io.poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    fn poll_write(&mut self, id: u32, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let Some(sock) = self.socks.get_mut(id as usize) else { return Ok(()) };
            let broken = sock.shut && sock.phase != Phase::Lingering;
            let Some(io) = &mut sock.io else { return Ok(()) };
            if broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let Some(queue) = &mut sock.queue else {
                if io.unsent()
                    && let Poll::Ready(Err(error)) = io.poll_flush(cx)
                {
                    return Err(error);
                }
                if sock.phase == Phase::Lingering
                    && !sock.shut
                    && let Poll::Ready(done) = io.poll_shutdown(cx)
                {
                    sock.shut = true;
                    return done;
                }
                return Ok(());
            };
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = queue.slices(&mut slices);
            if count == 0 {
                self.give_back(id);
                continue;
            }
            match io.poll_write(cx, slices.get(..count).unwrap_or_default()) {
                Poll::Ready(written) => {
                    let written = written?;
                    queue.advance(written);
                    self.tally.sent += written as u64;
                    self.tell(id);
                }
                Poll::Pending => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_socket_is_small() {
        assert!(size_of::<Watch>() <= 16, "the task's future: {}", size_of::<Watch>());
        assert!(size_of::<Sock>() <= 192, "{}", size_of::<Sock>());
        assert!(size_of::<crate::hub::slots::Body>() <= 192, "{}", size_of::<crate::hub::slots::Body>());
    }
}
