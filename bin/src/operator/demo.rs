//! `homing demo`: the whole path on one command. A private redis-server, sample users, the provider's simulator, one
//! distributor and one sender per shard, and a small HTTP API, all on loopback. One event is sent and shown arriving.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as Ports},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use homing_channels::simulator::{SimulatorConfig, serve};
use homing_runtime::{Daemon, GRACE, Settings};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::sleep,
};

use super::{demo_api, simulate};
use crate::{config::Config, daemon, wiring};

/// The demo's settings, laid over the defaults.
const DEMO: &str = include_str!("../../../config/demo.toml");

/// Arguments of `homing demo`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The port of the demo's API on 127.0.0.1.
    #[arg(long, default_value_t = 7700)]
    port: u16,
    /// Where to keep the queues; without it they live in a temporary folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// A user of the demo: id, logged in, online, push_status, platform.
const USERS: [(&str, bool, bool, &str, &str); 3] =
    [("1", true, true, "1", "android"), ("2", true, false, "0", "android"), ("42", true, false, "1", "ios")];

/// Runs until Ctrl-C.
///
/// # Errors
/// A port is taken, or redis-server is missing.
pub async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let api = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; use --port"))?;
    let data = Data::open(options.data.as_deref())?;
    let (mut redis, redis_url) = start_redis(&data.path).await?;
    let simulator = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let config = configure(&data.path, &redis_url, simulator.local_addr()?)?;
    seed(&redis_url).await?;

    let settings = Settings { log: config.log.clone(), admin: config.admin.clone() };
    let mut daemon = Daemon::start("homing-demo", &settings).await?;
    let apps = simulate::apps(&config);
    let phones = simulator.local_addr()?;
    let stop = daemon.shutdown();
    let until = async move { stop.cancelled().await };
    daemon.supervise(
        "simulator",
        serve(simulator, SimulatorConfig { keep: 10_000, ..SimulatorConfig::new(apps) }, until),
    );
    let cx = daemon::context(&config, &daemon)?;
    let stores = homing_stores::build(&config.stores())?;
    let scope = wiring::Scope::default();
    let mut workers = wiring::distributors(&config, &stores, &scope, &cx)?;
    workers.extend(wiring::senders(&config, &stores, &scope, &cx)?);
    for worker in workers {
        daemon::employ(&mut daemon, &cx, worker);
    }
    let demo = Arc::new(demo_api::Demo::new(config, Arc::clone(&cx.queue), phones)?);
    let stop = daemon.shutdown();
    daemon.supervise("api", demo_api::serve(api, Arc::clone(&demo), async move { stop.cancelled().await }));
    let stop = daemon.shutdown();
    let port = redis_port(&redis_url).to_owned();
    daemon.supervise("show", async move {
        tokio::select! {
            () = show(&demo, address, &port) => {}
            () = stop.cancelled() => {}
        }
        stop.cancelled().await;
        Ok::<(), std::convert::Infallible>(())
    });
    let done = daemon.run_until_done(GRACE).await;
    stop_redis(&mut redis).await;
    Ok(if done.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends one event, shows it on the phone with its trace, and says what to try.
async fn show(demo: &demo_api::Demo, address: SocketAddr, redis_port: &str) {
    println!("\nHoming demo: http://{address}  (queues: 127.0.0.1:{redis_port}; Ctrl-C ends it)\n");
    let event = r#"{"type":"GOODS_SENT","to":{"user":"42"},"data":{"order_id":"A1001"}}"#;
    println!("Sending {event}");
    match demo.post(event.as_bytes()).await {
        Ok(ids) => {
            let id = ids.first().cloned().unwrap_or_default();
            for _ in 0..200 {
                let shown = demo.phone("42").await.unwrap_or_default();
                if let Some(push) = shown.iter().find(|p| p["id"] == id.as_str()) {
                    println!("The phone of user 42 shows: {}\n\nIts trace:", push["body"].as_str().unwrap_or_default());
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
            // The trace is committed with the checkpoint, some milliseconds after the phone has it.
            sleep(Duration::from_millis(100)).await;
            match demo.trace(&id).await {
                Ok(trace) => print!("{}", super::trace::lines(&trace)),
                Err(error) => println!("The trace could not be read: {error:#}"),
            }
        }
        Err(error) => println!("The event was refused: {error}"),
    }
    println!(
        "\nTry:\n  curl -s -XPOST http://{address}/v1/events -d '{{\"type\":\"NEW_ORDER\",\"to\":{{\"users\":[\"1\",\"2\",\"42\"]}}}}'\n  \
         curl -s http://{address}/v1/phones/42      # what the phone shows, newest first\n  \
         curl -s http://{address}/v1/events/ID      # why somebody got it or not (user 1 is online, 2 is do-not-disturb)\n  \
         curl -s http://{address}/v1/ledger\n  \
         redis-cli -p {redis_port} RPUSH message_queue_1 '{{\"type\":7,\"to\":{{\"user\":42}}}}'\n"
    );
}

fn configure(data: &Path, redis_url: &str, simulator: SocketAddr) -> anyhow::Result<Config> {
    let overlay = format!(
        "[redis]\nurl = \"{redis_url}\"\n[stores.demo]\nurl = \"{redis_url}\"\n\
         [account.android_higo]\nbase_url = \"http://{simulator}\"\nsecret = \"{secret}\"\n\
         [account.ios_higo]\nbase_url = \"http://{simulator}\"\nsecret = \"{secret}\"\n[log]\nfilter = \"warn\"\n",
        secret = demo_api::random_hex(),
    );
    let (demo, private) = (data.join("demo.toml"), data.join("demo-private.toml"));
    std::fs::write(&demo, DEMO)?;
    std::fs::write(&private, overlay)?;
    Config::load(&[demo, private])
}

async fn seed(redis_url: &str) -> anyhow::Result<()> {
    let mut connection = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    let mut pipe = redis::pipe();
    for (i, (user, logged_in, online, push_status, platform)) in USERS.into_iter().enumerate() {
        let token = format!("{:0>1$x}", 0xabc0 + i, if platform == "ios" { 64 } else { 40 });
        pipe.set(format!("login_status:{user}"), u8::from(logged_in)).ignore();
        pipe.hset(format!("account:{user}"), "push_status", push_status).ignore();
        let device = format!("device:{user}");
        pipe.hset_multiple(device, &[("token", token.as_str()), ("platform", platform), ("app", "higo")]).ignore();
        if online {
            // Far in the future: this user stays online as long as the demo runs.
            pipe.zadd("online_users", user, 32_503_680_000_i64).ignore();
        }
    }
    pipe.exec_async(&mut connection).await?;
    Ok(())
}

/// The token that a demo user's phone has.
pub(super) fn token_of(user: &str) -> Option<String> {
    let (i, (.., platform)) = USERS.iter().enumerate().find(|(_, u)| u.0 == user)?;
    Some(format!("{:0>1$x}", 0xabc0 + i, if *platform == "ios" { 64 } else { 40 }))
}

/// The folder of the demo's files; a temporary one is removed at the end.
struct Data {
    path: PathBuf,
    temporary: bool,
}

impl Data {
    fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("homing-demo-{}-{}", std::process::id(), demo_api::random_hex())),
        };
        std::fs::create_dir_all(&path).with_context(|| format!("cannot use the folder {}", path.display()))?;
        let path = path.canonicalize()?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(Self { path, temporary: given.is_none() })
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is a few kilobytes in the temporary folder.
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

async fn start_redis(dir: &Path) -> anyhow::Result<(Child, String)> {
    // The port is free now; should somebody take it in between, redis-server says so and the demo ends.
    let port = Ports::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let program = std::env::var("HOMING_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut child = Command::new(&program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "everysec", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Ctrl-C goes to the whole group of a terminal: the queues must outlive the workers' last commit.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} could not be started; scripts/demo installs it"))?;
    for _ in 0..200 {
        if tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return Ok((child, format!("redis://127.0.0.1:{port}/0")));
        }
        if let Some(status) = child.try_wait()? {
            bail!("{program} ended with {status}");
        }
        sleep(Duration::from_millis(25)).await;
    }
    bail!("{program} did not listen within 5 s")
}

async fn stop_redis(child: &mut Child) {
    // Its file is written at every second and at every reply; nothing is lost by ending it so.
    if child.start_kill().is_ok() {
        child.wait().await.ok();
    }
}

fn redis_port(url: &str) -> &str {
    url.rsplit_once(':').map_or("", |(_, rest)| rest.trim_end_matches("/0"))
}
