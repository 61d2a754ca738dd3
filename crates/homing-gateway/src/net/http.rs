//! A connection that asked for HTTP, handed to whoever serves that.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::{Io, Resting};

/// Serves connections whose first request is none for a WebSocket.
pub trait Http: Send + Sync {
    /// Takes a connection over, with the bytes that were read already. It is called on a thread that writes to sockets
    /// and returns at once: it starts a task on a runtime of its own.
    fn serve(&self, io: HttpIo, remote: SocketAddr);
}

/// A connection with what was read of it already. It registers itself with the runtime that first reads or writes it, so
/// it may be made on one thread and used on another.
pub struct HttpIo {
    prefix: Bytes,
    state: State,
}

enum State {
    Resting(Resting),
    Awake(Io),
    /// It could not be registered.
    Gone,
}

impl HttpIo {
    pub(crate) fn new(resting: Resting, prefix: Bytes) -> Self {
        Self { prefix, state: State::Resting(resting) }
    }

    /// The socket, no longer registered with a runtime, and what was read of it but not taken.
    ///
    /// # Errors
    /// The runtime could not let go of it.
    pub(crate) fn into_parts(self) -> io::Result<(Resting, Bytes)> {
        let resting = match self.state {
            State::Resting(resting) => resting,
            State::Awake(io) => io.rest()?,
            State::Gone => return Err(io::ErrorKind::NotConnected.into()),
        };
        Ok((resting, self.prefix))
    }

    fn io(&mut self) -> io::Result<&mut Io> {
        if let State::Resting(_) = self.state
            && let State::Resting(resting) = std::mem::replace(&mut self.state, State::Gone)
        {
            self.state = State::Awake(resting.wake()?);
        }
        match &mut self.state {
            State::Awake(io) => Ok(io),
            State::Resting(_) | State::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for HttpIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.has_remaining() {
            let part = this.prefix.split_to(this.prefix.len().min(buf.remaining()));
            buf.put_slice(&part);
            return Poll::Ready(Ok(()));
        }
        this.io()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for HttpIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().io()?.poll_write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().io()?.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_shutdown(cx)
    }
}
