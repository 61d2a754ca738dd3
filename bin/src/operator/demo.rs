//! `homing demo`: the whole path on one command and without any service. Queues and directory in SQLite files, sample
//! users, distributors, senders and the provider's simulator in this process, and one port on loopback with the intake,
//! the simulated phones and a page, which may have a browser told by Web Push for real. One event is sent and shown
//! arriving.

mod api;
mod browsers;
mod folder;
mod phones;
mod sample;
mod tabs;

use std::{
    collections::HashSet,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use homing_channels::simulator::{Faults, SimulatorConfig};
use homing_codec::Value;
use homing_intake::{Accepted, Caller, Intake};
use homing_runtime::{Daemon, GRACE, Health, Settings};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};

use self::{api::Demo, browsers::Browsers, folder::Folder, phones::Phones, tabs::Tabs};
use super::{shards, simulate, trace};
use crate::{config::Config, daemon, gateway, intake, wiring};

/// The lane of most events.
const SYSTEM: &str = "system";

/// Deliveries that the phones remember together.
const KEEP: usize = 10_000;

/// Arguments of `homing demo`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The demo's port on 127.0.0.1.
    #[arg(long, default_value_t = 7700)]
    port: u16,
    /// Where to keep queues and directory between runs; without it they live in a temporary folder that is removed at
    /// the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A push service that may be called besides those of the browsers: a simulator's origin.
    #[arg(long, value_name = "ORIGIN", hide = true)]
    push_origin: Vec<String>,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// The port is taken, or the folder cannot be used.
pub async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; use --port"))?;
    let address = listener.local_addr()?;
    let folder = Folder::open(options.data.as_deref())?;
    let fresh = sample::directory(&folder.directory())?;
    let browsers = Browsers::new(folder.directory(), folder.keys()?);
    let simulator = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let provider = simulator.local_addr()?;
    let config = Arc::new(folder.configure(provider, &options.push_origin)?);

    let settings = Settings { log: config.log.clone(), admin: config.admin.clone() };
    let mut daemon = Daemon::start("homing-demo", &settings).await?;
    let (stop, known) = (daemon.shutdown(), provider_of(&config));
    let until = async move { stop.cancelled().await };
    daemon.supervise("simulator", homing_channels::simulator::serve(simulator, known, until));
    let cx = daemon::context(&config, &daemon)?;
    let stores = homing_stores::build(&config.stores())?;
    let scope = wiring::Scope::default();
    let kit = wiring::Kit::start(cx.clone(), crate::live::open(&config, "demo", &cx.clock)?);
    let mut workers = wiring::distributors(&config, &stores, &scope, &kit)?;
    let channels = wiring::channels(&config, &scope, &cx.clock, kit.live.as_ref())?;
    workers.extend(wiring::senders(&config, &stores, &scope, &channels, &kit)?);
    for worker in workers {
        daemon::employ(&mut daemon, &kit, worker);
    }

    let open = homing_intake::Settings {
        listen: address,
        open_on_loopback: true,
        gorush_app: Some("higo".to_owned()),
        ..homing_intake::Settings::default()
    };
    let intake = intake::build(&config, open.clone(), Arc::clone(&cx.queue), Arc::clone(&cx.clock), None)?;
    let intake = Arc::new(intake);
    let sockets = gateway::bind(&config)?;
    let socket = sockets.first().context("config/demo.toml has no gateway.listen")?.local_addr()?;
    let demo = Arc::new(Demo {
        queue: Arc::clone(&cx.queue),
        shards: shards(&config)?,
        lanes: wiring::lanes(&config, &stores, &kit.board, kit.live.as_ref())?,
        catalogue: config.catalogue()?,
        clock: Arc::clone(&cx.clock),
        browsers,
        phones: Phones::new(&config, &stores, provider)?,
        tabs: Tabs::new(&folder.tokens()?, socket),
        admin: daemon.admin_address(),
        http: reqwest::Client::builder().no_proxy().build()?,
        config: Arc::clone(&config),
    });
    let (gate, of) = (kit.clone(), config);
    daemon.supervise("gateway", async move {
        gateway::serve(&of, &gate, sockets, false).await.map_err(|error| format!("{error:#}"))
    });
    let (router, stop) = (api::router(Arc::clone(&demo), Arc::clone(&intake)), daemon.shutdown());
    daemon.supervise("api", async move {
        homing_intake::serve(listener, router, &open, async move { stop.cancelled().await }).await
    });

    let show = Show { demo, intake, health: daemon.health().clone(), address, began, chats: fresh };
    let about = about(&folder, address);
    let stop = daemon.shutdown();
    daemon.supervise("show", async move {
        tokio::select! {
            () = show.run(&about) => {}
            () = stop.cancelled() => {}
        }
        Ok::<(), std::convert::Infallible>(())
    });
    let done = daemon.run_until_done(GRACE).await;
    Ok(if done.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the simulator knows.
fn provider_of(config: &Config) -> SimulatorConfig {
    let faults = Faults { dead_tokens: HashSet::from([sample::DEAD_TOKEN.to_owned()]), ..Faults::default() };
    SimulatorConfig { keep: KEEP, faults, ..SimulatorConfig::new(simulate::apps(config)) }
}

/// What is printed when everything is ready.
struct Show {
    demo: Arc<Demo>,
    intake: Arc<Intake>,
    health: Health,
    address: SocketAddr,
    began: Instant,
    /// Send the sample chats: the folder is new.
    chats: bool,
}

// === impl Show ===

impl Show {
    /// Sends one event, shows it on the phone with its trace, and says what to try.
    async fn run(&self, about: &str) {
        while !self.health.is_ready() {
            sleep(Duration::from_millis(5)).await;
        }
        say(&format!(
            "\nHoming demo: http://{}  (ready after {} ms; Ctrl-C ends it)\n",
            self.address,
            self.began.elapsed().as_millis()
        ));
        let event = json!({"type": "GOODS_SENT", "to": {"user": "42"}, "data": {"order_id": "A1001"}});
        say(&format!("Sending {event}"));
        match self.send(SYSTEM, event).await {
            Ok(accepted) => self.follow(accepted.ids.first().map_or("", String::as_str)).await,
            Err(error) => say(&format!("The event was refused: {error}")),
        }
        if self.chats {
            for chat in sample::chats() {
                if let Err(error) = self.send(chat.lane, chat.event).await {
                    say(&format!("A sample chat was refused: {error}"));
                }
            }
        }
        say(about);
    }

    async fn send(&self, lane: &str, event: serde_json::Value) -> Result<Accepted, homing_intake::Refusal> {
        self.intake.send(&Caller::local("demo"), Value::from_json(event), Some(lane)).await
    }

    async fn follow(&self, id: &str) {
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_secs(5) {
            let shown = self.demo.phones.of("42").await.unwrap_or_default();
            if let Some(push) = shown.iter().find(|push| push.is(id)) {
                say(&format!(
                    "The phone of user 42 shows after {} ms: {}\n\nIts trace:",
                    sent.elapsed().as_millis(),
                    push.text()
                ));
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        // The end is committed with the checkpoint, some milliseconds after the phone has it.
        sleep(Duration::from_millis(100)).await;
        match trace::read(&self.demo.config, &*self.demo.queue, id).await {
            Ok(trace) => say(trace::lines(&trace).trim_end()),
            Err(error) => say(&format!("The trace could not be read: {error:#}")),
        }
    }
}

/// Prints a line. Whoever read it may be gone; the demo goes on.
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// What to try, and where the files are.
fn about(folder: &Folder, address: SocketAddr) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("homing"));
    let (homing, config) = (program.display(), folder.config());
    let config = format!("--config '{}'", config.display());
    let kept = if folder.is_temporary() { "removed at the end; --data DIR keeps them" } else { "kept" };
    format!(
        "\nThe page is at http://{address}/ . In another terminal:\n\n  \
         curl -s http://{address}/v1/events -d '{{\"type\":\"NEW_ORDER\",\"to\":{{\"users\":[\"1\",\"2\",\"3\",\"42\"]}}}}'\n  \
         curl -s http://{address}/v1/phones/42       # what the phone shows, newest first\n  \
         xdg-open 'http://{address}/tab?user=42'     # a browser tab of that user; open two\n  \
         curl -s http://{address}/v1/events/ID       # who got it, who did not, and why\n  \
         curl -s http://{address}/v1/ledger\n\n  \
         {homing} send --type GOODS_SENT --user 42 {config}\n  \
         {homing} explain --user 2 {config}   # online; 3 is do-not-disturb, 6 has quiet hours\n  \
         {homing} trace ID {config}\n  \
         {homing} ledger {config}\n\n\
         Files: {} ({kept})\n",
        folder.path().display()
    )
}

/// 128 random bits: the standard library's hasher keys are random per process and per call.
fn random_hex() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
