//! The pipeline's speed: the real daemons, each a process, on one core; servers, producer and provider on the others.
//! `scripts/bench pipeline` builds it, brings MariaDB and runs it. `scripts/bench fanout` measures something else with the
//! same means: how long it takes to tell a large group.
//!
//! Nothing is asserted about speed, because machines differ: read the figures beside the limit that the same machine
//! showed in the same minute. The exit status is not 0 when a message is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may panic and prints figures"
)]

#[path = "pipeline/bed.rs"]
mod bed;
#[path = "pipeline/child.rs"]
mod child;
#[path = "pipeline/company.rs"]
mod company;
#[path = "pipeline/fanout.rs"]
mod fanout;
#[path = "pipeline/limit.rs"]
mod limit;
#[path = "pipeline/measure.rs"]
mod measure;
#[path = "pipeline/sink.rs"]
mod sink;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;

use crate::{bed::Bed, measure::Figures, sink::Call};

/// Measures the pipeline.
#[derive(Parser)]
struct Arguments {
    /// Events of the backlog.
    #[arg(default_value_t = 30_000, env = "HOMING_BENCH_EVENTS")]
    events: usize,
    /// Users; each has one device.
    #[arg(long, default_value_t = 10_000, env = "HOMING_BENCH_USERS")]
    users: usize,
    /// Apps and platforms among the users, 1 to 4.
    #[arg(long, default_value_t = 4, env = "HOMING_BENCH_ACCOUNTS")]
    accounts: usize,
    /// Which runs: numbers of shards, and `apart` for the daemons one after the other; with `-ids` (`1-ids`) the events
    /// have ids of their own, which are compared with those that were seen.
    #[arg(long, value_delimiter = ',', default_value = "1,1-ids,4,apart,apart-ids", env = "HOMING_BENCH_RUNS")]
    runs: Vec<String>,
    /// Samples the daemons of the run `apart` with perf, into this folder.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.as_slice() {
        [first, rest @ ..] if first == "limit" => runtime.block_on(limit::run(rest)).map(|()| true),
        [first, ..] if first == "fanout" => {
            let args = fanout::Arguments::parse_from(args.iter().filter(|arg| *arg != "--bench"));
            runtime.block_on(fanout::run(&args))
        }
        _ => runtime.block_on(run(Arguments::parse())),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Pins this process to `cores`.
fn pin(cores: &str) -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    std::process::Command::new("taskset").args(["-acp", cores, &pid]).stdout(std::process::Stdio::null()).status()?;
    Ok(())
}

async fn run(args: Arguments) -> anyhow::Result<bool> {
    let cores = std::thread::available_parallelism()?.get();
    let others = match cores {
        1 | 2 => (cores - 1).to_string(),
        _ => format!("1-{}", cores - 1),
    };
    pin(&others)?;
    let dir = tempfile::tempdir()?;
    let mut bed = Bed::make(dir.path(), 0, others, args.users, args.accounts, false).await?;
    bed.profiles = args.profile;
    if let Some(folder) = &bed.profiles {
        std::fs::create_dir_all(folder)?;
    }

    let mut columns = Vec::new();
    for run in &args.runs {
        let (kind, ids) = run.strip_suffix("-ids").map_or((run.as_str(), false), |kind| (kind, true));
        if kind == "apart" {
            columns.extend(measure::apart(&bed, args.events, ids).await?);
        } else {
            let shards = kind.parse().with_context(|| format!("run `{run}`"))?;
            columns.push(measure::together(&bed, shards, args.events, ids).await?);
        }
    }
    let body = bed.sink.sample(Call::Single);
    let file = dir.path().join("body");
    std::fs::write(&file, &body)?;
    let mut limits = Vec::new();
    for kind in ["bare", "channel"] {
        // Another process drives the load; this one serves, so it must not block.
        let (core, sink, file) = (bed.core.to_string(), bed.sink_url(), file.clone());
        let rate =
            tokio::task::spawn_blocking(move || limit::measure(kind, &core, &sink, args.events, &file)).await??;
        bed.sink.take();
        limits.push(rate);
    }

    let version = bed.queues(1).await?.spent().await?.version;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cores} cores ({}), load {}; both daemons on core {}, all else on {}; redis {version} appendonly everysec",
        cpu.trim_start_matches([' ', '\t', ':']),
        load.split(' ').next().unwrap_or_default(),
        bed.core,
        bed.others,
    );
    println!(
        "{} events of {} bytes (PHP), requests of {} bytes; {} users, {} accounts; rules login, online, account, dnd",
        args.events,
        bed.company.event(args.events / 2, false).len(),
        body.len(),
        bed.company.users,
        bed.company.accounts,
    );
    table(&columns, &limits);
    Ok(columns.iter().all(|c| c.lost == 0))
}

fn table(columns: &[Figures], limits: &[f64]) {
    let row = |name: &str, cell: &dyn Fn(&Figures) -> String| {
        let cells: String = columns.iter().map(|c| format!("{:>18}", cell(c))).collect();
        println!("{name:<34}{cells}");
    };
    let some = |value: f64, places: usize| if value == 0.0 { "-".to_owned() } else { format!("{value:.places$}") };
    let bare = limits.first().copied().unwrap_or(f64::NAN);
    row("", &|c| c.name.clone());
    row("messages/s", &|c| some(c.rate, 0));
    row("  part of the bare client's", &|c| some(c.rate / bare, 2));
    row("CPU us/message: distributor", &|c| some(c.distributor_us, 1));
    row("  sender", &|c| some(c.sender_us, 1));
    row("  redis (queues only)", &|c| some(c.redis_us, 1));
    row("messages/script call, us/call", &|c| format!("{:.1}, {:.0}", c.per_call, c.call_us));
    row("core: daemons, others, idle %", &|c| {
        if c.ours == 0.0 { "-".to_owned() } else { format!("{:.0}, {:.0}, {:.0}", c.ours, c.theirs, c.idle) }
    });
    let memory = |(now, most): (f64, f64)| if now == 0.0 { "-".to_owned() } else { format!("{now:.1} ({most:.1})") };
    row("memory MB (highest): distributor", &|c| memory(c.distributor_mb));
    row("  sender", &|c| memory(c.sender_mb));
    row("idle latency ms p50/p99/max", &|c| {
        c.latency.map_or("-".to_owned(), |(p50, p99, max)| format!("{p50:.2}/{p99:.2}/{max:.2}"))
    });
    row("lost, repeated, ledger", &|c| format!("{}, {}, {:+}", c.lost, c.repeated, c.ledger));
    println!(
        "limit, {} at once on the same core: bare client {:.0} requests/s ({:.1} us), channel {:.0}/s ({:.1} us)",
        limit::CONCURRENCY,
        bare,
        1e6 / bare,
        limits.get(1).copied().unwrap_or(f64::NAN),
        1e6 / limits.get(1).copied().unwrap_or(f64::NAN),
    );
}
