//! One server's figures.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use homing_gateway_bench::{
    mark,
    talk::{Command, READERS},
};

use super::{
    Bed,
    load::{Heard, Load},
    nap,
    server::{Kind, Server, Trigger},
};

/// Nothing new for so many milliseconds: what is missing does not come any more.
pub(crate) const PATIENCE: u64 = 5_000;

/// What was measured. Times in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
    /// KiB per connection, idle, and after the broadcasts.
    pub(crate) idle_kib: f64,
    pub(crate) after_kib: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) last: f64,
    /// Microseconds of the server's CPU per delivered message.
    pub(crate) cpu: f64,
    /// The same per idle connection and second.
    pub(crate) idle_cpu: f64,
    pub(crate) unicast_p50: f64,
    pub(crate) unicast_p99: f64,
    /// Messages that did not come, and connections that were lost.
    pub(crate) lost: u64,
}

/// The median; NaN of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Opens `count` connections of users from `first` on.
pub(crate) fn open(
    bed: &Bed,
    load: &mut Load,
    server: &Server,
    source: u8,
    (first, count): (u32, u32),
    group: u8,
) -> anyhow::Result<()> {
    load.tell(&Command::Open {
        server: server.address,
        source: Ipv4Addr::new(127, 0, source, 1),
        speech: server.kind.speech(),
        first,
        count,
        in_flight: bed.args.in_flight,
        secret: bed.secret.clone(),
        group,
    })
}

/// Broadcasts once and takes what was heard.
pub(crate) fn broadcast(
    loads: &mut [(&mut Load, u64)],
    triggers: &mut [Trigger],
    number: u32,
    size: usize,
) -> anyhow::Result<Heard> {
    for (load, expected) in loads.iter_mut() {
        load.tell(&Command::Hear { messages: *expected, patience: PATIENCE })?;
    }
    for trigger in triggers.iter_mut() {
        trigger.broadcast(number, size)?;
    }
    let mut all = Heard::default();
    for (load, _) in loads.iter_mut() {
        all.add(load.heard()?);
    }
    for trigger in triggers {
        trigger.answered()?;
    }
    Ok(all)
}

/// Measures one server.
pub(crate) fn measure(bed: &mut Bed, kind: Kind) -> anyhow::Result<Row> {
    let redis = bed.redis(kind)?;
    let server = Server::start(bed, kind, 0)?;
    let args = bed.args.clone();
    let count = u64::from(args.connections);
    let mut load = Load::start(&bed.dir, &args.client_core, 0)?;
    nap(Duration::from_millis(500));
    let mut row = Row { name: kind.name(), ..Row::default() };

    let before = server.child.memory()?.0;
    open(bed, &mut load, &server, 1, (0, args.connections), READERS)?;
    row.rate = f64::from(args.connections) / load.opened()?;
    nap(Duration::from_secs(2));
    row.idle_kib = (server.child.memory()?.0 - before) / count as f64;
    let (since, cpu) = (Instant::now(), server.child.cpu()?);
    nap(Duration::from_secs(args.idle));
    row.idle_cpu = (server.child.cpu()? - cpu) * 1e6 / since.elapsed().as_secs_f64() / count as f64;

    let mut triggers = [server.trigger()?];
    let (mut p50, mut p99, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let mut cpu = 0.0;
    for number in 0..=args.broadcasts {
        if number == 1 {
            cpu = server.child.cpu()?;
        }
        let mut heard = broadcast(&mut [(&mut load, count)], &mut triggers, number, args.payload)?;
        row.lost += count.saturating_sub(heard.micros.len() as u64) + u64::from(heard.closed);
        // The first one warms everything up.
        if number > 0 {
            p50.push(heard.within(0.5));
            p99.push(heard.within(0.99));
            last.push(heard.within(1.0));
        }
        nap(Duration::from_millis(100));
    }
    row.cpu = (server.child.cpu()? - cpu) * 1e6 / (count * u64::from(args.broadcasts)) as f64;
    (row.p50, row.p99, row.last) = (median(&mut p50), median(&mut p99), median(&mut last));
    row.after_kib = (server.child.memory()?.0 - before) / count as f64;

    // What the broadcasts left to do is done by then.
    nap(Duration::from_secs(3));
    let mut heard = unicast(bed, &mut load, &server)?;
    let sent = args.unicast_seconds * UNICASTS;
    row.lost += sent.saturating_sub(heard.micros.len() as u64) + u64::from(heard.closed);
    (row.unicast_p50, row.unicast_p99) = (heard.within(0.5), heard.within(0.99));
    drop(load);
    server.child.stop();
    drop(redis);
    Ok(row)
}

/// Messages to single users a second.
const UNICASTS: u64 = 1_000;
/// Over so many connections.
const CALLERS: u64 = 8;

/// Messages to random users at a steady rate. Their time runs from the moment at which each was to be sent.
fn unicast(bed: &Bed, load: &mut Load, server: &Server) -> anyhow::Result<Heard> {
    let total = bed.args.unicast_seconds * UNICASTS;
    load.tell(&Command::Hear { messages: total, patience: PATIENCE })?;
    let begin = mark::now() + 50_000_000;
    let step = 1_000_000_000 / UNICASTS;
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut trigger = server.trigger()?;
                    // Any sequence that spreads will do: a multiplier prime to 2^32.
                    let mut random = u32::try_from(caller)?.wrapping_mul(747_796_405).wrapping_add(1);
                    for turn in (caller..total).step_by(usize::try_from(CALLERS)?) {
                        let due = begin + turn * step;
                        let now = mark::now();
                        if now < due {
                            nap(Duration::from_nanos(due - now));
                        }
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let user = (random >> 8) % bed.args.connections;
                        trigger.unicast(user, u32::try_from(turn)?, due, bed.args.payload)?;
                        trigger.answered()?;
                    }
                    Ok(())
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| caller.join().unwrap_or_else(|_| anyhow::bail!("a caller panicked")))
    })?;
    load.heard()
}
