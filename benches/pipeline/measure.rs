//! The measurements.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    bed::{Bed, Queues},
    child::{Child, core},
};

/// Events a second of the idle run, and its length in seconds.
pub(crate) const IDLE_RATE: usize = 100;
pub(crate) const IDLE_SECONDS: usize = 10;

/// One column of the table.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) name: String,
    /// Messages per second, from the first to the last arrival.
    pub(crate) rate: f64,
    /// CPU in microseconds per message.
    pub(crate) distributor_us: f64,
    pub(crate) sender_us: f64,
    pub(crate) redis_us: f64,
    /// Messages per call of a script, and microseconds of one.
    pub(crate) per_call: f64,
    pub(crate) call_us: f64,
    /// The workers' core, in percent: our daemons, somebody else, nobody.
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) idle: f64,
    /// Resident memory in MB at the end, and the highest.
    pub(crate) distributor_mb: (f64, f64),
    pub(crate) sender_mb: (f64, f64),
    /// p50, p99 and highest, in milliseconds.
    pub(crate) latency: Option<(f64, f64, f64)>,
    pub(crate) lost: usize,
    pub(crate) repeated: usize,
    /// What the ledger counted as delivered less what was sent; 0 is right.
    pub(crate) ledger: i64,
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn number(n: usize) -> f64 {
    n as f64
}

fn with(ids: bool) -> &'static str {
    if ids { ", ids" } else { "" }
}

/// A backlog of `n` events, with ids of their own or without; both daemons on one core; then single events.
pub(crate) async fn together(bed: &Bed, shards: u32, n: usize, ids: bool) -> anyhow::Result<Figures> {
    let mut queues = bed.queues(shards).await?;
    queues.push_all(&bed.company, 0..n, ids).await?;
    // The append-only file of the backlog is on disk, and not in the figures.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    bed.sink.take();
    let before = queues.reset().await?;
    let busy = core(bed.core)?;
    let began = Instant::now();
    let mut sender = bed.daemon("sender", &queues)?;
    let mut distributor = bed.daemon("distributor", &queues)?;
    bed.arrived(n, &mut [&mut sender, &mut distributor]).await?;
    let took = began.elapsed();
    let (busy, cpu) = (core(bed.core)?.0 - busy.0, (distributor.cpu()?, sender.cpu()?));
    queues.worked_off().await?;
    let after = queues.spent().await?;
    let mut figures = Figures {
        name: format!("{shards} shard{}{}", if shards == 1 { "" } else { "s" }, with(ids)),
        ..arrivals(bed, 0..n)
    };
    let share = |seconds: f64| 100.0 * seconds / took.as_secs_f64();
    figures.ours = share(cpu.0 + cpu.1);
    figures.theirs = share((busy - cpu.0 - cpu.1).max(0.0));
    figures.idle = (100.0 - share(busy)).max(0.0);
    figures.distributor_us = distributor.cpu()? * 1e6 / number(n);
    figures.sender_us = sender.cpu()? * 1e6 / number(n);
    figures.redis_us = (after.cpu - before.cpu) * 1e6 / number(n);
    figures.per_call = number(n) / after.calls.max(1.0);
    figures.call_us = after.script_us / after.calls.max(1.0);

    let singles = IDLE_RATE * IDLE_SECONDS;
    let (latency, lost) = idle(bed, &mut queues, n..n + singles, ids).await?;
    figures.latency = Some(latency);
    figures.lost += lost;
    queues.worked_off().await?;
    figures.ledger = i64::try_from(queues.delivered().await?)? - i64::try_from(n + singles)?;
    figures.distributor_mb = distributor.memory()?;
    figures.sender_mb = sender.memory()?;
    distributor.stop().await?;
    sender.stop().await?;
    Ok(figures)
}

/// The distributor alone, then the sender alone: what each hand-over costs.
pub(crate) async fn apart(bed: &Bed, n: usize, ids: bool) -> anyhow::Result<[Figures; 2]> {
    let mut queues = bed.queues(1).await?;
    queues.push_all(&bed.company, 0..n, ids).await?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    bed.sink.take();

    let before = queues.reset().await?;
    let mut distributor = bed.daemon("distributor", &queues)?;
    let profiles = profiles(bed, "distributor", &distributor, &queues)?;
    while queues.handed_over().await? == 0 {
        distributor.check(&bed.dir)?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, left) = (Instant::now(), queues.entered().await?);
    while queues.entered().await? > 0 {
        distributor.check(&bed.dir)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    let after = queues.spent().await?;
    let mut first = Figures {
        name: format!("distributor{}", with(ids)),
        rate: number(left) / took.as_secs_f64(),
        distributor_us: distributor.cpu()? * 1e6 / number(n),
        redis_us: (after.cpu - before.cpu) * 1e6 / number(n),
        per_call: number(n) / after.calls.max(1.0),
        call_us: after.script_us / after.calls.max(1.0),
        ..Figures::default()
    };
    first.distributor_mb = distributor.memory()?;
    end(profiles).await?;
    distributor.stop().await?;

    let before = queues.reset().await?;
    let mut sender = bed.daemon("sender", &queues)?;
    let profiles = self::profiles(bed, "sender", &sender, &queues)?;
    bed.arrived(n, &mut [&mut sender]).await?;
    queues.worked_off().await?;
    let after = queues.spent().await?;
    let second = Figures {
        name: format!("sender{}", with(ids)),
        sender_us: sender.cpu()? * 1e6 / number(n),
        redis_us: (after.cpu - before.cpu) * 1e6 / number(n),
        per_call: number(n) / after.calls.max(1.0),
        call_us: after.script_us / after.calls.max(1.0),
        sender_mb: sender.memory()?,
        ..arrivals(bed, 0..n)
    };
    end(profiles).await?;
    sender.stop().await?;
    Ok([first, second])
}

fn profiles(bed: &Bed, name: &str, daemon: &Child, queues: &Queues) -> anyhow::Result<Vec<Child>> {
    let both = [bed.profile(name, daemon)?, bed.profile(&format!("redis-{name}"), &queues.server)?];
    Ok(both.into_iter().flatten().collect())
}

async fn end(profiles: Vec<Child>) -> anyhow::Result<()> {
    for profile in profiles {
        profile.stop().await?;
    }
    Ok(())
}

/// Rate, and what is lost or repeated, of what the sink got.
fn arrivals(bed: &Bed, sent: std::ops::Range<usize>) -> Figures {
    let arrived = bed.sink.take();
    let (first, last) = (arrived.iter().map(|a| a.1).min(), arrived.iter().map(|a| a.1).max());
    let time = first.zip(last).map_or(f64::NAN, |(first, last)| (last - first).as_secs_f64());
    let mut times: HashMap<usize, usize> = HashMap::new();
    for (id, _) in &arrived {
        *times.entry(*id).or_default() += 1;
    }
    Figures {
        rate: number(arrived.len().saturating_sub(1)) / time,
        lost: sent.filter(|id| !times.contains_key(id)).count(),
        repeated: times.values().map(|n| n - 1).sum(),
        ..Figures::default()
    }
}

/// Single events at a steady rate: p50, p99 and the highest time from RPUSH to arrival; and how many never arrived.
async fn idle(
    bed: &Bed,
    queues: &mut Queues,
    numbers: std::ops::Range<usize>,
    ids: bool,
) -> anyhow::Result<((f64, f64, f64), usize)> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    bed.sink.take();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(IDLE_RATE)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent: HashMap<usize, Instant> = HashMap::new();
    for number in numbers.clone() {
        ticks.tick().await;
        let (user, event) = (bed.company.user(number), bed.company.event(number, ids));
        sent.insert(number, Instant::now());
        queues.push(&user, event).await?;
    }
    bed.arrived(numbers.len(), &mut []).await?;
    let mut took: Vec<f64> = Vec::new();
    for (number, at) in bed.sink.take() {
        took.extend(sent.remove(&number).map(|since| at.duration_since(since).as_secs_f64() * 1e3));
    }
    took.sort_by(f64::total_cmp);
    let rank =
        |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN);
    Ok(((rank(50), rank(99), rank(100)), sent.len()))
}
