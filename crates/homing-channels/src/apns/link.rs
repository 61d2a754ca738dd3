//! One HTTP/2 connection to APNs.
//!
//! With token authentication APNs takes one request on a new connection until it has authenticated it, and then as many as
//! its SETTINGS say. (Apple, "Establishing a token-based connection to APNs".) So a connection has one permit until the
//! first authenticated answer; all others wait for theirs here, outside of the request's time. Permits never exceed what
//! the server allows, so nothing queues inside of HTTP/2, and what has no permit surely has not been sent.
//!
//! A connection counts as made when it has answered a PING: by then the server's SETTINGS are known, and a certificate that
//! it refuses (under TLS 1.3 that shows only after the handshake) has broken it before any request was written.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason,
    client::{Builder, Connection, SendRequest},
};
use hyper::{Request, Response};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::{Semaphore, SemaphorePermit},
    time::{self, Instant},
};

use crate::common::http::{BODY_MAX, Reply};

/// An idle or silent connection is asked whether it lives. A dead one shows here, and not by a lost request.
const ASK: Duration = Duration::from_secs(60);

/// And is given up without an answer within this.
const ANSWER: Duration = Duration::from_secs(10);

/// Where the other end is.
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Instead of what DNS says.
    pub(crate) resolve: Option<SocketAddr>,
    /// `None` = without TLS (`http://`).
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Why there is no connection.
pub(crate) enum Unmade {
    /// It cannot be reached, or broke at once.
    Unreached(String),
    /// One side refuses the other's certificate.
    Refused(String),
}

/// Why there is no answer.
pub(crate) enum Lost {
    /// The server closes this connection and surely did not look at the request.
    Unseen,
    /// The server refused the stream: it did not look at it.
    Refused(String),
    /// The request was written.
    Open(String),
}

/// See the module.
pub(crate) struct Link {
    requests: SendRequest<Bytes>,
    gate: Semaphore,
    /// Permits that there are.
    granted: Mutex<usize>,
    /// Permits that there are to be at most.
    most: usize,
    warm: AtomicBool,
    closed: AtomicBool,
    made: Instant,
}

/// The right to have one request under way.
pub(crate) struct Pass<'a> {
    link: &'a Link,
    permit: Option<SemaphorePermit<'a>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Link {
    /// Connects, at most within `limit`.
    pub(crate) async fn make(place: &Place, most: usize, limit: Duration) -> Result<Arc<Self>, Unmade> {
        let late = |_| Unmade::Unreached(format!("not within {} ms", limit.as_millis()));
        let (requests, connection, pings) = time::timeout(limit, connect(place)).await.map_err(late)??;
        let link = Arc::new(Self {
            requests,
            gate: Semaphore::new(1),
            granted: Mutex::new(1),
            most,
            warm: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            made: Instant::now(),
        });
        tokio::spawn(drive(connection, pings, Arc::downgrade(&link)));
        Ok(link)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Was a request authenticated on it?
    pub(crate) fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Acquire)
    }

    pub(crate) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Nothing new goes this way: who waits goes elsewhere.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.gate.close();
    }

    /// Waits for a turn; `None` when the connection is closed first.
    pub(crate) async fn enter(&self) -> Option<Pass<'_>> {
        let permit = self.gate.acquire().await.ok()?;
        Some(Pass { link: self, permit: Some(permit) })
    }

    /// The server authenticated a request on this connection.
    pub(crate) fn warmed(&self) {
        if !self.warm.swap(true, Ordering::AcqRel) {
            self.widen();
        }
    }

    /// As many permits as the server's SETTINGS allow.
    fn widen(&self) {
        let allowed = self.allowed();
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = allowed.checked_sub(*granted) {
            self.gate.add_permits(more);
            *granted = allowed;
        }
    }

    fn allowed(&self) -> usize {
        if self.is_warm() { self.requests.current_max_send_streams().clamp(1, self.most) } else { 1 }
    }

    /// One request and its whole answer, within `limit`.
    pub(crate) async fn exchange(&self, request: Request<()>, body: Bytes, limit: Duration) -> Result<Reply, Lost> {
        // After GOAWAY this fails, and the request never left.
        let unseen = |_| {
            self.close();
            Lost::Unseen
        };
        let mut requests = self.requests.clone().ready().await.map_err(unseen)?;
        let (response, mut upload) = requests.send_request(request, false).map_err(unseen)?;
        let answer = async {
            upload.send_data(body, true).map_err(|error| self.lost(&error))?;
            read(response.await.map_err(|error| self.lost(&error))?).await
        };
        match time::timeout(limit, answer).await {
            Ok(reply) => reply,
            Err(_) => Err(Lost::Open(format!("no answer within {} ms", limit.as_millis()))),
        }
    }

    fn lost(&self, error: &h2::Error) -> Lost {
        // GOAWAY names the last stream that the server looked at; streams after it end with this error, those before with
        // their answer or with a broken connection. (RFC 9113, 6.8.)
        if error.is_go_away() && error.is_remote() {
            self.close();
            return Lost::Unseen;
        }
        if error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
            return Lost::Refused(error.to_string());
        }
        if !error.is_reset() {
            self.close();
        }
        Lost::Open(format!("connection broke: {error}"))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let allowed = self.link.allowed();
        {
            let mut granted = self.link.granted.lock().unwrap_or_else(PoisonError::into_inner);
            if *granted > allowed {
                // The server allows fewer than before.
                *granted -= 1;
                if let Some(permit) = self.permit.take() {
                    permit.forget();
                }
            }
        }
        self.permit = None;
        self.link.widen();
    }
}

/// A status is the answer; words that break off do not change it.
async fn read(response: Response<h2::RecvStream>) -> Result<Reply, Lost> {
    let (head, mut download) = response.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = download.data().await {
        if body.len() + chunk.len() > BODY_MAX || download.flow_control().release_capacity(chunk.len()).is_err() {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: head.status, headers: head.headers, body })
}

type Made = (SendRequest<Bytes>, Connection<Box<dyn Stream>, Bytes>, PingPong);

async fn connect(place: &Place) -> Result<Made, Unmade> {
    let unreached = |what: &str, error: &dyn std::fmt::Display| Unmade::Unreached(format!("{what}: {error}"));
    let stream = dial(place).await.map_err(|error| unreached("no connection", &error))?;
    stream.set_nodelay(true).map_err(|error| unreached("no connection", &error))?;
    let stream: Box<dyn Stream> = match &place.tls {
        None => Box::new(stream),
        Some(tls) => {
            let bare = place.host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare).map_err(|error| unreached("TLS", &error))?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
            Box::new(connector.connect(name, stream).await.map_err(|error| tls_failed(&error))?)
        }
    };
    let mut builder = Builder::new();
    // Until SETTINGS say more; nothing is sent before they do.
    let (requests, mut connection) = builder
        .initial_max_send_streams(1)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|error| unreached("HTTP/2", &error))?;
    let Some(mut pings) = connection.ping_pong() else {
        return Err(Unmade::Unreached("HTTP/2: no PING".to_owned()));
    };
    let broke = tokio::select! {
        ended = &mut connection => ended.err(),
        pong = pings.ping(Ping::opaque()) => match pong {
            Ok(_) => return Ok((requests, connection, pings)),
            Err(error) => Some(error),
        },
    };
    Err(broke.map_or_else(|| Unmade::Unreached("closed at once".to_owned()), |error| alerted(error.to_string())))
}

async fn dial(place: &Place) -> io::Result<TcpStream> {
    if let Some(address) = place.resolve {
        return TcpStream::connect(address).await;
    }
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((place.host.trim_start_matches('[').trim_end_matches(']'), place.port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn tls_failed(error: &io::Error) -> Unmade {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => {
            Unmade::Refused(format!("TLS: we do not trust the server: {error}"))
        }
        _ => alerted(format!("TLS: {error}")),
    }
}

/// HTTP/2 hands on errors of TLS as text only.
fn alerted(text: String) -> Unmade {
    if text.contains("received fatal alert") { Unmade::Refused(text) } else { Unmade::Unreached(text) }
}

/// Runs the connection until it ends or does not answer any more.
async fn drive(mut connection: Connection<Box<dyn Stream>, Bytes>, mut pings: PingPong, link: Weak<Link>) {
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "A connection to APNs ended.");
                }
                break;
            }
            () = time::sleep(ASK) => {}
        }
        let pong = time::timeout(ANSWER, async {
            tokio::select! {
                _ = &mut connection => false,
                pong = pings.ping(Ping::opaque()) => pong.is_ok(),
            }
        });
        if !pong.await.unwrap_or(false) {
            tracing::info!("A connection to APNs did not answer a ping and was given up.");
            break;
        }
    }
    if let Some(link) = link.upgrade() {
        link.close();
    }
}
