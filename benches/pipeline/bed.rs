//! What a measurement runs on: servers, daemons, and their counters.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use homing_core::queue::QueueName;
use homing_pipeline::lane::Shards;
use redis::aio::MultiplexedConnection;

use crate::{
    child::{Child, free_port},
    company::Company,
    sink::Sink,
};

const DISTRIBUTOR: &str = env!("CARGO_BIN_EXE_homing-distributor");
const SENDER: &str = env!("CARGO_BIN_EXE_homing-sender");
const SCANNER: &str = env!("CARGO_BIN_EXE_homing-scanner");

/// Nothing new for so long: what is missing does not come any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bed {
    pub(crate) dir: PathBuf,
    pub(crate) sink: Sink,
    pub(crate) company: Company,
    /// The core of the workers, and the cores of everything else.
    pub(crate) core: usize,
    pub(crate) others: String,
    /// Where profiles go, when they are wanted.
    pub(crate) profiles: Option<PathBuf>,
    facts_url: String,
    _facts: Child,
}

impl Bed {
    pub(crate) async fn make(
        dir: &Path,
        core: usize,
        others: String,
        users: usize,
        accounts: usize,
        crowd: bool,
    ) -> anyhow::Result<Self> {
        let mysql = std::env::var("HOMING_TEST_MYSQL_URL").context("HOMING_TEST_MYSQL_URL: run scripts/bench")?;
        let (facts, facts_url) = redis_server(dir, "facts", &others, &["--appendonly", "no"]).await?;
        let company = Company::found(users, accounts, crowd, &mysql, &facts_url).await?;
        let sink = Sink::start().await?;
        Ok(Self { dir: dir.to_owned(), sink, company, core, others, profiles: None, facts_url, _facts: facts })
    }

    pub(crate) fn sink_url(&self) -> String {
        format!("http://{}", self.sink.address)
    }

    /// An empty queue server of its own, and the configuration that uses it.
    pub(crate) async fn queues(&self, shards: u32) -> anyhow::Result<Queues> {
        let durable = ["--appendonly", "yes", "--appendfsync", "everysec"];
        let (server, url) = redis_server(&self.dir, "queue", &self.others, &durable).await?;
        let connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
        let config = self.company.config(&self.dir, shards, &url, &self.facts_url, &self.sink_url())?;
        let lists =
            |stage: &str| Shards::new(&if shards > 1 { format!("{stage}{{n}}") } else { stage.to_owned() }, 1, shards);
        let (entry, delivery) = (lists("hg_message_queue")?, lists("hg_xinge_queue")?);
        Ok(Queues { server, connection, config, entry, delivery })
    }

    /// Starts a daemon on the workers' core.
    pub(crate) fn daemon(&self, name: &'static str, queues: &Queues) -> anyhow::Result<Child> {
        self.daemon_on(&self.core.to_string(), name, queues)
    }

    /// Starts a daemon on these cores.
    pub(crate) fn daemon_on(&self, cores: &str, name: &'static str, queues: &Queues) -> anyhow::Result<Child> {
        let program = match name {
            "distributor" => DISTRIBUTOR,
            "sender" => SENDER,
            _ => SCANNER,
        };
        let config = queues.config.to_str().context("path")?;
        Child::start(&self.dir, name, cores, program, &["--config", config])
    }

    /// Samples where a process spends its time, until it is dropped. `name.perf` is for `perf report -i`.
    pub(crate) fn profile(&self, name: &str, process: &Child) -> anyhow::Result<Option<Child>> {
        let Some(folder) = &self.profiles else { return Ok(None) };
        let (file, pid) = (folder.join(format!("{name}.perf")), process.pid().to_string());
        let file = file.to_str().context("path")?;
        // A machine without hardware counters has this clock too.
        let args =
            ["record", "-q", "-e", "cpu-clock", "-F", "1499", "--call-graph", "dwarf,8192", "-o", file, "-p", &pid];
        Child::start(&self.dir, "perf", &self.others, "perf", &args).map(Some)
    }

    /// Waits until the sink got so many requests since it was last emptied.
    pub(crate) async fn arrived(&self, requests: usize, daemons: &mut [&mut Child]) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let count = self.sink.count()?;
            if count >= requests {
                return Ok(());
            }
            if count > last {
                (last, since) = (count, Instant::now());
            } else if since.elapsed() > PATIENCE {
                // The caller says what is missing.
                return Ok(());
            }
            for daemon in daemons.iter_mut() {
                daemon.check(&self.dir)?;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A queue server and its lists.
pub(crate) struct Queues {
    pub(crate) server: Child,
    connection: MultiplexedConnection,
    config: PathBuf,
    entry: Shards,
    delivery: Shards,
}

impl Queues {
    /// RPUSH of one event, as its producer does it: the shard by CRC-32 of the user.
    pub(crate) async fn push(&mut self, user: &str, event: Vec<u8>) -> anyhow::Result<()> {
        let list = self.entry.of(user);
        Ok(redis::cmd("RPUSH").arg(list.as_str()).arg(event).exec_async(&mut self.connection).await?)
    }

    /// RPUSH of many.
    pub(crate) async fn push_all(
        &mut self,
        company: &Company,
        numbers: std::ops::Range<usize>,
        ids: bool,
    ) -> anyhow::Result<()> {
        let mut lists: HashMap<QueueName, Vec<Vec<u8>>> = HashMap::new();
        for number in numbers {
            lists.entry(self.entry.of(&company.user(number))).or_default().push(company.event(number, ids));
        }
        for (list, events) in lists {
            for chunk in events.chunks(500) {
                redis::cmd("RPUSH").arg(list.as_str()).arg(chunk).exec_async(&mut self.connection).await?;
            }
        }
        Ok(())
    }

    /// Has the scanner of the groups noted where it begins?
    pub(crate) async fn scans(&mut self) -> anyhow::Result<bool> {
        let mut ask = redis::cmd("HEXISTS");
        ask.arg("{homing:scanner:group}:state").arg("put:cursor");
        Ok(ask.query_async(&mut self.connection).await?)
    }

    /// Items in the entry lists.
    pub(crate) async fn entered(&mut self) -> anyhow::Result<usize> {
        length(&mut self.connection, &self.entry).await
    }

    /// Items in the delivery lists.
    pub(crate) async fn handed_over(&mut self) -> anyhow::Result<usize> {
        length(&mut self.connection, &self.delivery).await
    }

    /// Waits until all lists are worked off.
    pub(crate) async fn worked_off(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.entered().await? + self.handed_over().await? > 0 {
            if since.elapsed() > PATIENCE {
                bail!("the lists are not worked off");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// What the ledger says was delivered.
    pub(crate) async fn delivered(&mut self) -> anyhow::Result<usize> {
        let mut total = 0;
        for list in self.delivery.all() {
            let mut ask = redis::cmd("HGET");
            ask.arg(format!("{{{list}}}:ledger")).arg("send.delivered");
            total += ask.query_async::<Option<usize>>(&mut self.connection).await?.unwrap_or(0);
        }
        Ok(total)
    }

    /// Forgets the statistics, so that the next [`Queues::spent`] is since now.
    pub(crate) async fn reset(&mut self) -> anyhow::Result<Spent> {
        redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut self.connection).await?;
        self.spent().await
    }

    /// CPU seconds of the server (its children are not in it), and what its scripts took.
    pub(crate) async fn spent(&mut self) -> anyhow::Result<Spent> {
        let mut info = String::new();
        for section in ["cpu", "commandstats", "server"] {
            info += &redis::cmd("INFO").arg(section).query_async::<String>(&mut self.connection).await?;
        }
        let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let seconds = |name: &str| line(name).and_then(|text| text.trim().parse::<f64>().ok()).context(name.to_owned());
        let script = |field: &str| {
            let text =
                line("cmdstat_evalsha")?.split(',').find_map(|part| part.strip_prefix(field)?.strip_prefix('='))?;
            text.parse::<f64>().ok()
        };
        Ok(Spent {
            cpu: seconds("used_cpu_user")? + seconds("used_cpu_sys")?,
            calls: script("calls").unwrap_or(0.0),
            script_us: script("usec").unwrap_or(0.0),
            version: line("redis_version").unwrap_or_default().trim().to_owned(),
        })
    }
}

/// What a queue server has spent so far.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    pub(crate) cpu: f64,
    /// EVALSHA: how often, and microseconds in total.
    pub(crate) calls: f64,
    pub(crate) script_us: f64,
    pub(crate) version: String,
}

async fn length(connection: &mut MultiplexedConnection, lists: &Shards) -> anyhow::Result<usize> {
    let mut total = 0;
    for list in lists.all() {
        total += redis::cmd("LLEN").arg(list.as_str()).query_async::<usize>(connection).await?;
    }
    Ok(total)
}

/// A redis-server on a free port; answers its URL too.
async fn redis_server(dir: &Path, name: &'static str, cores: &str, more: &[&str]) -> anyhow::Result<(Child, String)> {
    let program = std::env::var("HOMING_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let port = free_port()?;
    let port_text = port.to_string();
    let folder = dir.join(format!("{name}-{port}"));
    std::fs::create_dir_all(&folder)?;
    let mut args =
        vec!["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--dir", folder.to_str().context("path")?];
    args.extend_from_slice(more);
    let mut server = Child::start(dir, name, cores, &program, &args)?;
    let patience = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        server.check(dir)?;
        if patience.elapsed() > Duration::from_secs(10) {
            bail!("redis-server does not listen");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((server, format!("redis://127.0.0.1:{port}/0")))
}
