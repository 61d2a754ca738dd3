//! HTTP on the gateway's listeners: Engine.IO polling, JSON-RPC and REST, health. A shard hands a connection over whose
//! first request is none for a WebSocket; one that comes later on the same connection is handed back.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, StatusCode, Version,
    body::Incoming,
    header::{self, HeaderValue},
    http::uri::PathAndQuery,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use crate::{
    engine::{
        self, Site,
        http::{Answer, Asked},
    },
    hub::{Http, HttpIo, Hub},
    net::{
        deflate,
        handshake::{self, Upgrade},
    },
    session::{Admission, Doorman, Request},
};

/// The largest head of a request in bytes.
const HEAD: usize = 16 << 10;
/// Most headers of a request.
const HEADERS: usize = 64;
/// Time for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Time for the last answer of a connection that is closed.
const LAST: Duration = Duration::from_secs(10);
/// Time for a request's body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Connections at once.
const CONNECTIONS: usize = 20_000;

/// The server; it learns of hub and routes when they are there.
pub(crate) struct Server {
    runtime: Handle,
    doorman: Arc<dyn Doorman>,
    wired: OnceLock<(Hub, Router, Vec<Arc<Site>>)>,
    seats: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Serves on the runtime that is entered, until `stop`.
    pub(crate) fn new(doorman: Arc<dyn Doorman>, stop: CancellationToken) -> Self {
        Self {
            runtime: Handle::current(),
            doorman,
            wired: OnceLock::new(),
            seats: Arc::new(Semaphore::new(CONNECTIONS)),
            stop,
            tasks: TaskTracker::new(),
        }
    }

    /// What it serves; said once. Connections before that are closed.
    pub(crate) fn wire(&self, hub: Hub, router: Router, sites: Vec<Arc<Site>>) {
        // Said twice, the first holds.
        self.wired.set((hub, router, sites)).ok();
    }

    /// Returns when the last connection has its answer.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Http for Server {
    fn serve(&self, io: HttpIo, remote: SocketAddr) {
        let Some((hub, router, sites)) = self.wired.get().cloned() else { return };
        // Beyond the bound a connection is closed at once: it is a poll at most, and comes again.
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else { return };
        let (doorman, stop) = (Arc::clone(&self.doorman), self.stop.clone());
        let serving = Serving { hub, router: TowerToHyperService::new(router), sites, doorman, remote };
        let task = async move {
            connection(io, serving, &stop).await;
            drop(seat);
        };
        self.tasks.spawn_on(task, &self.runtime);
    }
}

/// What a connection is served with.
struct Serving {
    hub: Hub,
    router: TowerToHyperService<Router>,
    sites: Vec<Arc<Site>>,
    doorman: Arc<dyn Doorman>,
    remote: SocketAddr,
}

async fn connection(io: HttpIo, serving: Serving, stop: &CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD).max_headers(HEADERS);
    let serving = Arc::new(serving);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let serving = Arc::clone(&serving);
        async move { Ok::<_, Infallible>(serving.answer(request).await) }
    });
    let mut serving = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            timeout(LAST, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "A connection ended early.");
    }
}

impl Serving {
    async fn answer(&self, mut request: hyper::Request<Incoming>) -> Response {
        let http11 = request.version() == Version::HTTP_11;
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let upgrade = handshake::upgrade(request.method() == Method::GET, http11, headers, self.hub.rules());
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let asked = handshake::request(target, headers, Some(self.remote.ip()));
        if let Some(upgrade) = upgrade {
            return self.socket(request, &asked, upgrade);
        }
        if let Some(site) = self.sites.iter().find(|site| site.serves(&asked.path)) {
            return self.poll(site, request, asked).await;
        }
        request.extensions_mut().insert(ConnectInfo(self.remote));
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// A request of a client of Engine.IO that polls.
    async fn poll(&self, site: &Arc<Site>, request: hyper::Request<Incoming>, asked: Request) -> Response {
        let (parts, body) = request.into_parts();
        // One byte too many shows that it is too large.
        let body = Limited::new(body, site.settings().max_payload.saturating_add(1));
        let body = match timeout(BODY_TIME, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return refuse(413, "the body is too large, or broken off"),
            Err(_) => return refuse(408, "the body did not come in time"),
        };
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let asked = Asked {
            method: &parts.method,
            request: asked,
            content_type: text(header::CONTENT_TYPE),
            wanted_headers: text(header::ACCESS_CONTROL_REQUEST_HEADERS),
            body,
        };
        let Answer { status, headers, body } = engine::http::serve(site, &self.hub, asked).await;
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }

    /// A WebSocket on a connection that was used for HTTP before, as proxies do: the socket goes to a shard.
    fn socket(
        &self,
        request: hyper::Request<Incoming>,
        asked: &Request,
        upgrade: Result<Upgrade, handshake::Refused>,
    ) -> Response {
        let upgrade = match upgrade {
            Ok(upgrade) => upgrade,
            Err(refused) => return refuse(refused.status, refused.why),
        };
        let admission = match self.doorman.websocket(asked) {
            None => return refuse(404, "there is no such path"),
            Some(Admission::Refuse { status, why }) => return refuse(status, &why),
            Some(_) if self.hub.full() => return refuse(503, "there is no room"),
            Some(admission) => admission,
        };
        let (hub, deflate) = (self.hub.clone(), upgrade.deflate);
        tokio::spawn(async move {
            let adopted = async {
                let upgraded = hyper::upgrade::on(request).await.map_err(|error| error.to_string())?;
                let parts = upgraded.downcast::<TokioIo<HttpIo>>().map_err(|_| "it is none of ours".to_owned())?;
                let io = parts.io.into_inner();
                hub.adopt(io, parts.read_buf, deflate, admission).await.map_err(|error| error.to_string())
            };
            if let Err(error) = adopted.await {
                debug!(error, "A socket could not be taken over.");
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let own = [
            (header::SEC_WEBSOCKET_ACCEPT, Some(upgrade.accept.as_str())),
            (header::SEC_WEBSOCKET_PROTOCOL, upgrade.protocol.as_deref()),
            (header::SEC_WEBSOCKET_EXTENSIONS, deflate.then_some(deflate::ANSWER)),
        ];
        for (name, value) in own {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

fn refuse(status: u16, why: &str) -> Response {
    let mut response = Response::new(Body::from(format!("{why}\n")));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    if status == 426 {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
