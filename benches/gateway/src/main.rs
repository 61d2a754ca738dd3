//! How fast the gateway is, beside other servers on the same machine in the same minutes. `scripts/bench gateway` builds
//! everything and runs it; docs/gateway-bench.md says what is measured and how to read it.
//!
//! Speed is not asserted, because machines differ: a target that was missed is printed as such. The exit status is not 0
//! when something could not be measured or a message was lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a bench may panic and waits")]
#![allow(clippy::cast_precision_loss, reason = "figures")]

mod bench {
    pub(crate) mod child;
    pub(crate) mod homing;
    pub(crate) mod load;
    pub(crate) mod nodes;
    pub(crate) mod report;
    pub(crate) mod row;
    pub(crate) mod server;
    pub(crate) mod stalled;

    use std::{path::PathBuf, time::Duration};

    use anyhow::Context as _;
    use clap::{Parser, ValueEnum};

    use self::{child::Child, server::Kind};

    /// Measures the gateway.
    #[derive(Clone, Debug, Parser)]
    pub(crate) struct Arguments {
        /// What is measured.
        #[arg(long, value_delimiter = ',', default_value = "table,stalled,nodes")]
        pub(crate) parts: Vec<Part>,
        /// Servers of the table, in this order.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "epoll,homing,homing-sio,homing-emit,tungstenite,oxide,node-ws"
        )]
        pub(crate) servers: Vec<Kind>,
        /// Connections of the table.
        #[arg(long, default_value_t = 10_000)]
        pub(crate) connections: u32,
        /// Broadcasts that count; one before them does not.
        #[arg(long, default_value_t = 9)]
        pub(crate) broadcasts: u32,
        /// Bytes of a message.
        #[arg(long, default_value_t = 200)]
        pub(crate) payload: usize,
        /// Handshakes at a time, of each load process.
        #[arg(long, default_value_t = 256)]
        pub(crate) in_flight: u32,
        /// Seconds without a message, for the idle CPU time.
        #[arg(long, default_value_t = 5)]
        pub(crate) idle: u64,
        /// Seconds with 1,000 messages to single users each.
        #[arg(long, default_value_t = 5)]
        pub(crate) unicast_seconds: u64,
        /// Servers of two nodes each; the first one is the limit.
        #[arg(long, value_delimiter = ',', default_value = "epoll,homing")]
        pub(crate) nodes_servers: Vec<Kind>,
        /// Connections over two nodes.
        #[arg(long, default_value_t = 30_000)]
        pub(crate) nodes_connections: u32,
        /// How often the bare loop and the gateway take turns with two nodes.
        #[arg(long, default_value_t = 2)]
        pub(crate) nodes_rounds: u32,
        /// The server whose clients stall. Servers that know no resuming lose messages here.
        #[arg(long, default_value = "homing")]
        pub(crate) stalled_server: Kind,
        /// Connections of which some stall.
        #[arg(long, default_value_t = 2_000)]
        pub(crate) stalled_connections: u32,
        /// So many of a hundred.
        #[arg(long, default_value_t = 5)]
        pub(crate) stalled_percent: u32,
        /// Broadcasts while they stall, and as many while they do not.
        #[arg(long, default_value_t = 1_000)]
        pub(crate) stalled_broadcasts: u32,
        /// In so many blocks each.
        #[arg(long, default_value_t = 4)]
        pub(crate) stalled_blocks: u32,
        /// Bytes of a message while some stall: a block must be more than a socket and its queue hold.
        #[arg(long, default_value_t = 4_000)]
        pub(crate) stalled_payload: usize,
        /// The gateway's program.
        #[arg(long, env = "HOMING_BENCH_GATEWAY", default_value = "target/release/homing-gateway")]
        pub(crate) gateway: PathBuf,
        /// A folder with ws.cjs and the package `ws`.
        #[arg(long, env = "HOMING_BENCH_NODE", default_value = "target/bench/node")]
        pub(crate) node_modules: PathBuf,
        /// Where servers run.
        #[arg(long, default_value = "0")]
        pub(crate) server_core: String,
        /// Where clients and Redis run.
        #[arg(long, default_value = "1")]
        pub(crate) client_core: String,
        /// Keeps configurations and logs here.
        #[arg(long)]
        pub(crate) keep: Option<PathBuf>,
    }

    /// A part of the bench.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
    pub(crate) enum Part {
        /// All servers, one after the other.
        Table,
        /// Clients that stop reading.
        Stalled,
        /// Two nodes.
        Nodes,
    }

    /// What measurements share.
    pub(crate) struct Bed {
        pub(crate) dir: PathBuf,
        pub(crate) args: Arguments,
        /// Signs tokens.
        pub(crate) secret: String,
        /// Of the Redis that runs now.
        pub(crate) redis_port: u16,
        /// More lines of `[gateway.hub]`.
        pub(crate) hub: &'static str,
    }

    impl Bed {
        /// An empty Redis, where the server needs one; it runs until it is dropped.
        pub(crate) fn redis(&mut self, kind: Kind) -> anyhow::Result<Option<Child>> {
            if !kind.is_homing() {
                return Ok(None);
            }
            let program = std::env::var("HOMING_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
            let port = child::free_port()?;
            let folder = self.dir.join(format!("redis-{port}"));
            std::fs::create_dir_all(&folder)?;
            let (port_text, folder) = (port.to_string(), folder.to_str().context("path")?.to_owned());
            let command = [
                &*program,
                "--port",
                &port_text,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                &folder,
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
            ];
            let mut server = Child::start(&self.dir, "redis", &self.args.client_core, &command, false)?;
            server.listens(port)?;
            self.redis_port = port;
            Ok(Some(server))
        }
    }

    /// Waits.
    pub(crate) fn nap(time: Duration) {
        std::thread::sleep(time);
    }

    /// Everything; false when something was lost.
    pub(crate) fn run() -> anyhow::Result<bool> {
        let args = Arguments::parse();
        let folder = tempfile::tempdir()?;
        let dir = args.keep.clone().unwrap_or_else(|| folder.path().to_owned());
        std::fs::create_dir_all(&dir)?;
        let mut bytes = [0; 24];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok().context("random")?;
        let secret = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut bed = Bed { dir, args, secret, redis_port: 0, hub: "" };
        report::machine(&bed.args);
        let mut report = report::Report::default();
        if bed.args.parts.contains(&Part::Table) {
            report::head();
            for kind in bed.args.servers.clone() {
                if kind == Kind::NodeWs && !bed.args.node_modules.join("ws.cjs").exists() {
                    println!("{:<24}left out: no npm here, or ws could not be fetched", kind.name());
                    continue;
                }
                let row = row::measure(&mut bed, kind).with_context(|| kind.name().to_owned())?;
                report.row(kind, row);
            }
            report.table_targets();
        }
        if bed.args.parts.contains(&Part::Stalled) {
            let server = bed.args.stalled_server;
            let stalled = stalled::measure(&mut bed, server).context("stalled clients")?;
            report.stalled(&bed.args, &stalled);
        }
        if bed.args.parts.contains(&Part::Nodes) {
            let kinds = bed.args.nodes_servers.clone();
            let nodes = nodes::measure(&mut bed, &kinds).context("two nodes")?;
            report.nodes(&bed.args, &nodes);
        }
        Ok(report.lost == 0)
    }
}

fn main() -> std::process::ExitCode {
    match bench::run() {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: something was lost");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
