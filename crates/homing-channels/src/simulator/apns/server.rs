//! Connections, and what becomes of a call.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    routing::get,
};
use homing_core::clock::Millis;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER},
    server::conn::http2,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    super::stand::{self, Device, Stand},
    config::Config,
    proof::{Callers, Shown},
    reasons::Refusal,
    request::{self, Push},
};

/// Longer bodies are not read.
const BODY_MAX: usize = 64 * 1024;

/// Longest wait for a handshake, and at the end for connections.
const PATIENCE: Duration = Duration::from_secs(10);

struct Simulator {
    stand: Arc<Stand>,
    callers: Callers,
    routes: TowerToHyperService<Router>,
    max_streams: u32,
    requests: AtomicU64,
    open: AtomicU64,
}

/// One connection.
#[derive(Default)]
struct Conn {
    shown: Shown,
    /// Requests so far, and those under way.
    requests: AtomicU64,
    under_way: AtomicU64,
    /// One of its requests was authenticated.
    warm: AtomicBool,
    goaway: Notify,
    kill: CancellationToken,
}

/// Counts a request while it is under way.
struct UnderWay(Arc<Conn>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What becomes of a call.
enum Fate {
    Accepted(Push),
    Refused(Refusal),
    Cut,
}

/// Serves one environment until `shutdown` completes.
///
/// # Errors
/// A listener fails, an account is none, the authority's certificate cannot be written.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    if let Some(file) = &config.ca_file {
        tokio::fs::write(file, config.authority.pem()).await?;
    }
    let tls = TlsAcceptor::from(config.authority.server()?);
    let routes = Router::new().nest("/_sim", config.stand.routes()).route("/healthz", get(async || "ok"));
    let simulator = Arc::new(Simulator {
        callers: Callers::new(&config.accounts, config.environment)?,
        routes: TowerToHyperService::new(routes.clone()),
        stand: config.stand,
        max_streams: config.max_streams,
        requests: AtomicU64::new(0),
        open: AtomicU64::new(0),
    });
    let stop = CancellationToken::new();
    let plain = async {
        match config.plain {
            Some(plain) => stand::serve(plain, routes, stop.clone().cancelled_owned()).await,
            None => Ok(()),
        }
    };
    let secure = async {
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let (simulator, tls, stop) = (Arc::clone(&simulator), tls.clone(), stop.clone());
                    connections.spawn(async move { simulator.connection(stream, tls, stop).await });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        stop.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        // Who does not let go is cut when the set is dropped.
        time::timeout(PATIENCE, all).await.ok();
        Ok(())
    };
    tokio::try_join!(secure, plain).map(drop)
}

impl Simulator {
    async fn connection(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor, stop: CancellationToken) {
        let stream = match time::timeout(PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.stand.count("handshakes_failed");
                tracing::debug!(%error, "A handshake failed.");
                return;
            }
            Err(_) => return,
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|first| first.to_vec());
        let conn = Arc::new(Conn { shown: Shown { certificate, ..Shown::default() }, ..Conn::default() });
        self.stand.count("connections");
        self.stand.peak("most_connections", self.open.fetch_add(1, Ordering::AcqRel) + 1);
        let streams = self.number("max_streams").and_then(|n| u32::try_from(n).ok()).unwrap_or(self.max_streams);
        let handler = service_fn(|request| Arc::clone(&self).serve(Arc::clone(&conn), request));
        let mut served = pin!(
            http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(streams)
                .serve_connection(TokioIo::new(stream), handler)
        );
        let mut told = false;
        loop {
            tokio::select! {
                // A killed connection must not write once more.
                biased;
                () = conn.kill.cancelled() => break,
                () = conn.goaway.notified() => served.as_mut().graceful_shutdown(),
                () = stop.cancelled(), if !told => {
                    told = true;
                    served.as_mut().graceful_shutdown();
                }
                _ = &mut served => break,
            }
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// A number of the script's `own`; 0 is none.
    fn number(&self, name: &str) -> Option<u64> {
        self.stand.own(name).and_then(|value| value.as_u64()).filter(|number| *number > 0)
    }

    /// Counts the call before anything is awaited: calls arrive here in the order of their streams.
    fn serve(
        self: Arc<Self>,
        conn: Arc<Conn>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, h2::Error>> + Send {
        let own = request.uri().path().starts_with("/_sim") || request.uri().path() == "/healthz";
        let mut early = false;
        let mut under_way = None;
        if !own {
            let at_once = conn.under_way.fetch_add(1, Ordering::AcqRel) + 1;
            under_way = Some(UnderWay(Arc::clone(&conn)));
            self.stand.peak("most_streams", at_once);
            early = at_once > 1 && !conn.warm.load(Ordering::Acquire);
            let so_far = conn.requests.fetch_add(1, Ordering::AcqRel) + 1;
            if self.number("goaway_every").is_some_and(|every| so_far == every) {
                self.stand.count("goaways");
                conn.goaway.notify_one();
            }
        }
        async move {
            let _under_way = under_way;
            if own {
                let answer = self.routes.call(request).await;
                return Ok(answer.unwrap_or_else(|never| match never {}));
            }
            if early {
                self.stand.count("early_streams");
                return Err(h2::Reason::REFUSED_STREAM.into());
            }
            match self.fate(&conn, request).await {
                Fate::Accepted(push) => Ok(self.accepted(&push)),
                Fate::Refused(refusal) => Ok(self.refused(refusal)),
                Fate::Cut => {
                    conn.kill.cancel();
                    Err(h2::Reason::CANCEL.into())
                }
            }
        }
    }

    async fn fate(&self, conn: &Conn, request: Request<Incoming>) -> Fate {
        let (head, body) = request.into_parts();
        let meeting = self.stand.meet(head.uri.path());
        let turn = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let body = to_bytes(Body::new(body), BODY_MAX).await;
        if !meeting.wait.is_zero() {
            time::sleep(meeting.wait).await;
        }
        if meeting.drop_before {
            return Fate::Cut;
        }
        if let Some((status, retry_after)) = meeting.status {
            return Fate::Refused(Refusal::of_status(status, retry_after));
        }
        let now = self.stand.now();
        let push = match body {
            Ok(body) => self.judge(conn, &head, &body, now),
            Err(_) => Err("PayloadTooLarge".into()),
        };
        let push = match push {
            Ok(push) => push,
            Err(refusal) => return Fate::Refused(refusal),
        };
        self.stand.accept(&push.token, Some(&push.id), Arc::new(push.seen.clone()));
        let killed = self.number("kill_every").is_some_and(|every| turn.is_multiple_of(every));
        if killed {
            self.stand.count("kills");
        }
        if killed || meeting.drop_after { Fate::Cut } else { Fate::Accepted(push) }
    }

    fn judge(
        &self,
        conn: &Conn,
        head: &hyper::http::request::Parts,
        body: &[u8],
        now: Millis,
    ) -> Result<Push, Refusal> {
        let token = request::token(head)?;
        let caller = self.callers.check(&head.headers, &conn.shown, now)?;
        conn.warm.store(true, Ordering::Release);
        if caller.fresh {
            self.stand.count("tokens_seen");
        }
        let push = request::check(token, &head.headers, caller.topics, body)?;
        if !request::is_token(token) {
            return Err("BadDeviceToken".into());
        }
        match self.stand.device(token) {
            Device::Good => Ok(push),
            Device::Dead(since) => Err(Refusal { timestamp: Some(since), ..Refusal::new("Unregistered") }),
            Device::Foreign => Err("BadDeviceToken".into()),
            Device::Throttled(retry_after) => Err(Refusal { retry_after, ..Refusal::new("TooManyRequests") }),
            Device::Code(code) => Err(Refusal::scripted(&code, now)),
        }
    }

    fn accepted(&self, push: &Push) -> Response<Body> {
        self.stand.answered("200");
        let mut response = self.dated(Response::default());
        if let Ok(id) = HeaderValue::try_from(push.apns_id.as_str()) {
            response.headers_mut().insert("apns-id", id);
        }
        response
    }

    fn refused(&self, refusal: Refusal) -> Response<Body> {
        self.stand.answered(format!("{} {}", refusal.status, refusal.reason).trim_end());
        let mut body = json!({ "reason": refusal.reason });
        if let Some(timestamp) = refusal.timestamp {
            body["timestamp"] = timestamp.into();
        }
        let bare = refusal.reason.is_empty() && refusal.timestamp.is_none();
        let text = if bare { String::new() } else { body.to_string() };
        let mut response = self.dated(Response::new(Body::from(text)));
        *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = refusal.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// With the simulator's time, which need not be the machine's.
    fn dated(&self, mut response: Response<Body>) -> Response<Body> {
        let date = Timestamp::from_millisecond(self.stand.now())
            .ok()
            .and_then(|now| DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok())
            .and_then(|text| HeaderValue::try_from(text).ok());
        if let Some(date) = date {
            response.headers_mut().insert(DATE, date);
        }
        response
    }
}
