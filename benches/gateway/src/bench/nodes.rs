//! Many connections over two servers, and two load processes: a process may have 20,000 descriptors. The bare loop and
//! the gateway take turns, with the same load processes.

use std::time::Duration;

use homing_gateway_bench::talk::{Command, READERS};

use super::{
    Bed,
    load::Load,
    nap,
    row::{broadcast, median, open},
    server::{Kind, Server, Trigger},
};

/// Milliseconds, of the bare loop and of the gateway.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    pub(crate) kinds: Vec<Side>,
    pub(crate) lost: u64,
}

/// One kind of server.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) last: f64,
}

pub(crate) fn measure(bed: &mut Bed, kinds: &[Kind]) -> anyhow::Result<Nodes> {
    let args = bed.args.clone();
    let mut loads = [Load::start(&bed.dir, &args.client_core, 0)?, Load::start(&bed.dir, &args.client_core, 1)?];
    let half = args.nodes_connections / 2;
    let mut nodes = Nodes::default();
    let mut figures: Vec<[Vec<f64>; 4]> = kinds.iter().map(|_| Default::default()).collect();
    for _ in 0..args.nodes_rounds {
        for (kind, [rate, p50, p99, last]) in kinds.iter().zip(&mut figures) {
            let redis = bed.redis(*kind)?;
            let servers = [Server::start(bed, *kind, 0)?, Server::start(bed, *kind, 1)?];
            // Broadcasts go by the first node; servers that do not know of each other are told one after the other.
            let told = if kind.is_homing() { 1 } else { servers.len() };
            let mut triggers: Vec<Trigger> = servers[..told].iter().map(Server::trigger).collect::<Result<_, _>>()?;
            for (number, (load, server)) in loads.iter_mut().zip(&servers).enumerate() {
                let number = u32::try_from(number)?;
                open(bed, load, server, u8::try_from(number)? + 1, (number * half, half), READERS)?;
            }
            let mut slowest: f64 = 0.0;
            for load in &mut loads {
                slowest = slowest.max(load.opened()?);
            }
            rate.push(f64::from(half * 2) / slowest);
            nap(Duration::from_secs(2));
            for number in 0..=args.broadcasts {
                let [one, two] = &mut loads;
                let expected = u64::from(half);
                let mut both = [(one, expected), (two, expected)];
                let mut heard = broadcast(&mut both, &mut triggers, number, args.payload)?;
                let missing = (2 * expected).saturating_sub(heard.micros.len() as u64) + u64::from(heard.closed);
                nodes.lost += if kind.is_homing() { missing } else { 0 };
                if number > 0 {
                    p50.push(heard.within(0.5));
                    p99.push(heard.within(0.99));
                    last.push(heard.within(1.0));
                }
                nap(Duration::from_millis(100));
            }
            for load in &mut loads {
                load.done(&Command::Close)?;
            }
            for server in servers {
                server.child.stop();
            }
            drop(redis);
        }
    }
    nodes.kinds = kinds
        .iter()
        .zip(&mut figures)
        .map(|(kind, [rate, p50, p99, last])| Side {
            name: kind.name(),
            rate: median(rate),
            p50: median(p50),
            p99: median(p99),
            last: median(last),
        })
        .collect();
    Ok(nodes)
}
