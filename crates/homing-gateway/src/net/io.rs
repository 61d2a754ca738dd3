//! A TCP connection, with TLS or without, for non-blocking use: what cannot be read or written now is said to be so.
//!
//! TLS is driven here and not by a wrapper, so that a connection may move to another thread ([`Io::rest`], [`Resting::wake`])
//! with its keys.

use std::{
    io::{self, IoSlice, Read, Write},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::ServerConnection;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// So many bytes of ciphertext may wait inside a TLS connection.
const TLS_BUFFER: usize = 32 * 1024;

/// A connection that is registered with a runtime.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

#[derive(Debug)]
pub(crate) struct Tls {
    stream: TcpStream,
    session: ServerConnection,
    closing: bool,
}

/// A connection that is registered nowhere, on its way between threads.
#[derive(Debug)]
pub(crate) struct Resting {
    stream: std::net::TcpStream,
    session: Option<Box<ServerConnection>>,
}

impl Resting {
    /// Registers it with the runtime that is entered.
    pub(crate) fn wake(self) -> io::Result<Io> {
        let stream = TcpStream::from_std(self.stream)?;
        Ok(match self.session {
            None => Io::Plain(stream),
            Some(session) => Io::Tls(Box::new(Tls { stream, session: *session, closing: false })),
        })
    }
}

impl Io {
    /// A fresh connection.
    pub(crate) fn new(stream: TcpStream, tls: Option<ServerConnection>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(mut session) => {
                session.set_buffer_limit(Some(TLS_BUFFER));
                Self::Tls(Box::new(Tls { stream, session, closing: false }))
            }
        }
    }

    /// Where it comes from, while it is connected.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.peer_addr(),
            Self::Tls(tls) => tls.stream.peer_addr(),
        }
        .ok()
    }

    /// Takes it from its runtime.
    pub(crate) fn rest(self) -> io::Result<Resting> {
        match self {
            Self::Plain(stream) => Ok(Resting { stream: stream.into_std()?, session: None }),
            Self::Tls(tls) => {
                let Tls { stream, session, .. } = *tls;
                Ok(Resting { stream: stream.into_std()?, session: Some(Box::new(session)) })
            }
        }
    }

    /// Bytes that were accepted by [`try_write`](Self::try_write) and wait inside.
    pub(crate) fn unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Reads what is there; 0 bytes = the end. Registers for what comes next when there is nothing.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(tls) => tls.poll_read(cx, buf),
        }
    }

    /// Writes without waiting; the error `WouldBlock` = nothing now.
    pub(crate) fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write_vectored(bufs),
            Self::Tls(tls) => {
                let taken = tls.session.writer().write_vectored(bufs)?;
                match tls.send() {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                if taken == 0 && bufs.iter().any(|buf| !buf.is_empty()) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(taken)
            }
        }
    }

    /// As [`try_write`](Self::try_write), and registers when nothing can be written.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_writable(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(cx),
            Self::Tls(tls) => tls.stream.poll_write_ready(cx),
        }
    }

    /// Ready when nothing waits inside any more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Tls(tls) = self else { return Poll::Ready(Ok(())) };
        loop {
            match tls.send() {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tls.stream.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Says that no more will be written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Tls(tls) = self
            && !std::mem::replace(&mut tls.closing, true)
        {
            tls.session.send_close_notify();
        }
        ready!(self.poll_flush(cx))?;
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}

impl Tls {
    /// Sends what waits; the error `WouldBlock` = not all of it.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Try(&self.stream))?;
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.session.reader().read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer left without saying so: an end like any other, frames have their own.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            match self.session.read_tls(&mut Try(&self.stream)) {
                Ok(0) if self.session.is_handshaking() => return Poll::Ready(Ok(())),
                Ok(_) => {
                    let state = self.session.process_new_packets();
                    // The alert, or the next step of the handshake. What does not go now goes with the next write.
                    let sent = self.send();
                    state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    if let Err(error) = sent {
                        if error.kind() != io::ErrorKind::WouldBlock {
                            return Poll::Ready(Err(error));
                        }
                        if let Poll::Ready(Err(error)) = self.stream.poll_write_ready(cx) {
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.stream.poll_read_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// A socket as rustls wants it.
struct Try<'a>(&'a TcpStream);

impl Read for Try<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Try<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
