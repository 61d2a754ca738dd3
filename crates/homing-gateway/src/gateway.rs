//! A gateway from its parts: doors, shards, node, HTTP, emitters.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{extract::State, http::StatusCode, routing::get};
use homing_core::{
    clock::{Clock, SystemClock},
    live,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{self, Auth},
    echo::EchoDoor,
    emit,
    engine::{self, Site},
    http::Server,
    hub::{self, Hub, Ports},
    identity::Authenticate,
    node::{self, Node, Status},
    parcel::{Dialect, Encode, Payload, Source},
    plain::{self, Door},
    rpc::{self, Rpc},
    session::{Admission, Doorman, Request},
    socketio,
};

/// `[gateway]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where to listen, for everything.
    pub listen: Vec<SocketAddr>,
    /// The node's name, unlike that of any other and the same after a restart; empty = the machine's name and the first
    /// port.
    pub name: String,
    /// `[gateway.hub]`.
    pub hub: hub::Settings,
    /// `[gateway.node]`.
    pub node: node::Settings,
    /// `[gateway.auth]`.
    pub auth: auth::Settings,
    /// `[gateway.plain]`.
    pub plain: plain::Settings,
    /// `[gateway.socketio]`.
    pub socketio: socketio::Settings,
    /// `[gateway.rpc]`.
    pub rpc: rpc::Settings,
    /// `[[gateway.emitters]]`.
    pub emitters: emit::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 9990))],
            name: String::new(),
            hub: hub::Settings::default(),
            node: node::Settings::default(),
            auth: auth::Settings::default(),
            plain: plain::Settings::default(),
            socketio: socketio::Settings::default(),
            rpc: rpc::Settings::default(),
            emitters: emit::Settings::default(),
        }
    }
}

impl Settings {
    /// Can it be used?
    ///
    /// # Errors
    /// In words that begin with the field's path.
    pub fn check(&self) -> Result<(), String> {
        if self.listen.is_empty() {
            return Err("gateway.listen: it is empty".to_owned());
        }
        if self.name.len() > 128 || self.name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)) {
            return Err("gateway.name: at most 128 letters, digits, - _ .".to_owned());
        }
        self.hub.check()?;
        self.node.check()?;
        self.auth.check()?;
        self.plain.check()?;
        self.socketio.check()?;
        self.rpc.check()?;
        self.emitters.check()?;
        // Keys and files are read as they will be.
        rpc::Keys::new(&self.rpc, self.is_local())?;
        Auth::new(self.auth.clone(), Arc::new(SystemClock::default()))?;
        Ok(())
    }

    /// Can only this machine reach it?
    fn is_local(&self) -> bool {
        self.listen.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

/// What a gateway is given.
pub struct Parts {
    /// Its settings, checked.
    pub settings: Settings,
    /// Its name among nodes.
    pub name: Arc<str>,
    /// Streams, bus, presence, schedule.
    pub stores: live::Ports,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Where its health is told.
    pub status: Arc<dyn Status>,
    /// The Prometheus text of `/metrics`; `None` = there is no such path.
    pub metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    /// Serve what the official protocol suites expect in place of the rest.
    pub fixture: bool,
}

/// A gateway at work.
pub struct Gateway {
    hub: Hub,
    node: Arc<Node>,
    auth: Arc<Auth>,
    server: Arc<Server>,
    emitters: emit::Settings,
    name: Arc<str>,
    stopping: CancellationToken,
}

impl Gateway {
    /// Starts the shards on these listeners; to be called inside of the runtime on which the rest works.
    ///
    /// # Errors
    /// A setting that cannot work, or the system gives no thread.
    pub fn start(parts: Parts, listeners: Vec<TcpListener>) -> io::Result<Self> {
        let Parts { settings, name, stores, clock, status, metrics, fixture } = parts;
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        settings.check().map_err(wrong)?;
        let auth = Arc::new(Auth::new(settings.auth.clone(), Arc::clone(&clock)).map_err(wrong)?);
        let checks: Arc<dyn Authenticate> = Arc::clone(&auth) as _;
        let node = Node::new(node::Parts {
            name: Arc::clone(&name),
            stores,
            auth: Arc::clone(&checks),
            settings: settings.node.clone(),
            clock: Arc::clone(&clock),
            status,
            emitters: settings.emitters.clone(),
        });
        let sites = if fixture {
            engine::fixture::sites(Arc::clone(&clock)).map_err(wrong)?
        } else {
            let (checks, clock) = (Arc::clone(&checks), Arc::clone(&clock));
            vec![Site::socketio(settings.socketio.clone(), checks, clock, None).map_err(wrong)?]
        };
        let plain: Arc<dyn Doorman> = if fixture {
            Arc::new(EchoDoor)
        } else {
            Arc::new(Door::new(settings.plain.clone(), checks, clock).map_err(wrong)?)
        };
        let doors = Arc::new(Doors { sites: sites.clone(), plain });
        let stopping = CancellationToken::new();
        let server = Arc::new(Server::new(Arc::clone(&doors) as _, stopping.clone()));
        let encode = Arc::new(Forms { plain: settings.plain.frames(), meta: settings.socketio.meta });
        let local = settings.is_local();
        let rpc = Arc::new(Rpc::new(settings.rpc, Arc::clone(&node) as _, local).map_err(wrong)?);
        node.speak(Arc::clone(&rpc));
        let writers = settings.emitters.0.iter().enumerate();
        node.answer_by(writers.map(|(i, emitter)| Arc::new(emit::Writer::new(i, emitter.clone()))).collect());
        let ports = Ports { doorman: doors, desk: Arc::clone(&node) as _, encode, http: Arc::clone(&server) as _ };
        let hub = Hub::start(settings.hub, listeners, ports)?;
        node.command(Arc::new(hub.clone()));
        let mut router = rpc::router(rpc).route("/healthz", get(async || "ok\n"));
        let elsewhere = format!("there is no such path; WebSockets are at {}\n", settings.plain.ws_paths.join(", "));
        router = router.fallback(move || std::future::ready((StatusCode::NOT_FOUND, elsewhere)));
        if let Some(render) = metrics.filter(|_| local) {
            router = router.route("/metrics", get(scrape).with_state(Metrics(render)));
        }
        server.wire(hub.clone(), router, sites);
        Ok(Self { hub, node, auth, server, emitters: settings.emitters, name, stopping })
    }

    /// Sessions and sockets at this moment.
    pub fn counts(&self) -> hub::Counts {
        self.hub.counts()
    }

    /// Works until `stop`; then closes every session within the window of the settings, and returns.
    pub async fn run(self, stop: CancellationToken) {
        let Self { hub, node, auth, server, emitters, name, stopping } = self;
        let work = CancellationToken::new();
        let sources = emitters.0.into_iter().enumerate().map(|(i, emitter)| {
            let (node, name, stop) = (Arc::clone(&node), Arc::clone(&name), work.clone());
            async move { emit::reader::run(i, emitter, &name, Arc::clone(&node) as _, node, stop).await }
        });
        let sources = futures_util::future::join_all(sources);
        let ending = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = auth.keep() => {}
            }
            // Sessions first: what is read meanwhile still reaches them, and presence is void only when they are gone.
            hub.drain(None).await;
            stopping.cancel();
            tokio::time::timeout(Duration::from_secs(10), server.finish()).await.ok();
            work.cancel();
        };
        tokio::join!(sources, Arc::clone(&node).run(work.clone()), ending);
    }
}

#[derive(Clone)]
struct Metrics(Arc<dyn Fn() -> String + Send + Sync>);

async fn scrape(State(Metrics(render)): State<Metrics>) -> (StatusCode, String) {
    (StatusCode::OK, render())
}

/// Everybody who may take a WebSocket, in their order; who takes any path comes last.
struct Doors {
    sites: Vec<Arc<Site>>,
    plain: Arc<dyn Doorman>,
}

impl Doorman for Doors {
    fn websocket(&self, request: &Request) -> Option<Admission> {
        engine::doorman(&self.sites, request).or_else(|| self.plain.websocket(request))
    }
}

/// The forms of parcels.
struct Forms {
    plain: plain::Frames,
    meta: bool,
}

impl Encode for Forms {
    fn encode(&self, source: &Source, dialect: Dialect) -> Option<Vec<Payload>> {
        match dialect {
            Dialect::Plain => self.plain.encode(source),
            Dialect::Engine4 | Dialect::Engine3 => socketio::encode(source, dialect, self.meta),
        }
    }
}
