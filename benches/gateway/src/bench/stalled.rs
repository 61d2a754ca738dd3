//! Clients that stop reading. Blocks of broadcasts in which they do take turns with blocks in which they do not; only the
//! others are timed. After each block the stalled ones read again, come back where the server has closed them, and must
//! have everything once or know that they have not.

use std::time::Duration;

use homing_gateway_bench::talk::{Checked, Command, READERS, STALLERS};

use super::{
    Bed,
    load::{Heard, Load},
    nap,
    row::{broadcast, open},
    server::{Kind, Server},
};

/// Who has not everything after so many milliseconds will never have it.
const MOST: u64 = 60_000;

/// What was measured.
#[derive(Default)]
pub(crate) struct Stalled {
    /// p99 in milliseconds of the blocks without and with.
    pub(crate) control_p99: f64,
    pub(crate) p99: f64,
    /// Per control and stalled block.
    pub(crate) blocks: Vec<(f64, f64)>,
    /// Server's memory in KiB: before the first block, and the most in a block with stalled clients.
    pub(crate) before_kib: f64,
    pub(crate) most_kib: f64,
    pub(crate) stallers: u32,
    pub(crate) checked: Checked,
    pub(crate) lost: u64,
}

pub(crate) fn measure(bed: &mut Bed, kind: Kind) -> anyhow::Result<Stalled> {
    let redis = bed.redis(kind)?;
    // The kernel takes up to 700 KB for a client that is slow; what the gateway keeps comes on top.
    bed.hub = "overflow = 65536\n";
    let server = Server::start(bed, kind, 0);
    bed.hub = "";
    let server = server?;
    let args = bed.args.clone();
    let stallers = args.stalled_connections * args.stalled_percent / 100;
    let readers = args.stalled_connections - stallers;
    let mut load = Load::start(&bed.dir, &args.client_core, 0)?;
    open(bed, &mut load, &server, 1, (0, readers), READERS)?;
    load.opened()?;
    open(bed, &mut load, &server, 1, (readers, stallers), STALLERS)?;
    load.opened()?;
    nap(Duration::from_secs(1));

    let mut number = 0;
    let mut result = Stalled { stallers, before_kib: server.child.memory()?.0, ..Stalled::default() };
    let (mut control, mut stalled) = (Heard::default(), Heard::default());
    // The first block warms up.
    let length = args.stalled_broadcasts.div_ceil(args.stalled_blocks);
    for block in 0..=2 * args.stalled_blocks {
        let stall = block > 0 && block % 2 == 0;
        if stall {
            load.done(&Command::Stall(true))?;
        }
        let first = number;
        // A connection that was idle for long may be closed.
        let mut triggers = [server.trigger()?];
        let mut heard = Heard::default();
        for _ in 0..if block == 0 { 10 } else { length } {
            heard.add(broadcast(&mut [(&mut load, u64::from(readers))], &mut triggers, number, args.stalled_payload)?);
            number += 1;
            // Looking is work for the server's memory map, too.
            if number % 10 == 0 {
                result.most_kib = result.most_kib.max(server.child.memory()?.0);
            }
        }
        let expected = u64::from(readers) * u64::from(number - first);
        result.lost += expected.saturating_sub(heard.micros.len() as u64) + u64::from(heard.closed);
        if stall {
            load.done(&Command::Stall(false))?;
        }
        load.tell(&Command::Check { first, last: number - 1, patience: super::row::PATIENCE, most: MOST })?;
        let checked = load.checked()?;
        result.note(checked, stall);
        if block > 0 {
            let p99 = heard.within(0.99);
            if stall {
                if let Some(pair) = result.blocks.last_mut() {
                    pair.1 = p99;
                }
                stalled.add(heard);
            } else {
                result.blocks.push((p99, f64::NAN));
                control.add(heard);
            }
        }
        nap(Duration::from_millis(500));
    }
    (result.control_p99, result.p99) = (control.within(0.99), stalled.within(0.99));
    drop(load);
    server.child.stop();
    drop(redis);
    Ok(result)
}

impl Stalled {
    fn note(&mut self, checked: Checked, stall: bool) {
        let sum = &mut self.checked;
        if stall {
            sum.whole += checked.whole;
            sum.told += checked.told;
            for (code, count) in checked.closed {
                *sum.closed.entry(code).or_default() += count;
            }
            sum.resumed += checked.resumed;
        }
        sum.lost += checked.lost;
        sum.repeated += checked.repeated;
        sum.why.extend(checked.why);
    }
}
