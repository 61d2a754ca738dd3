//! What is printed.

use homing_gateway_bench::speech::Speech;

use super::{Arguments, nodes::Nodes, row::Row, server::Kind, stalled::Stalled};

/// What was lost so far, and the rows.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(Kind, Row)>,
    pub(crate) lost: u64,
}

/// The machine and the settings.
pub(crate) fn machine(args: &Arguments) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cores} cores ({}), load {}; servers on core {}, clients and Redis (appendonly everysec) on core {}",
        cpu.trim_start_matches([' ', '\t', ':']),
        load.split(' ').next().unwrap_or_default(),
        args.server_core,
        args.client_core,
    );
    println!(
        "{} connections, {} broadcasts of {} bytes, medians; {} handshakes at a time; times in ms",
        args.connections, args.broadcasts, args.payload, args.in_flight
    );
}

/// The table's first line.
pub(crate) fn head() {
    println!(
        "{:<24}{:>8}{:>10}{:>8}{:>8}{:>8}{:>8}{:>12}{:>13}{:>13}{:>6}",
        "server",
        "conn/s",
        "KiB/conn",
        "(after)",
        "p50",
        "p99",
        "last",
        "us CPU/msg",
        "unicast p50",
        "unicast p99",
        "lost"
    );
}

fn target(what: &str, value: f64, limit: f64, places: usize, at_least: bool) {
    let good = if at_least { value >= limit } else { value <= limit };
    let sign = if at_least { ">=" } else { "<=" };
    let verdict = if good { "ok" } else { "MISSED" };
    println!("{what:<64}{value:>10.places$}  {sign} {limit:<8} {verdict}");
}

impl Report {
    /// Prints a row at once: a run takes minutes.
    pub(crate) fn row(&mut self, kind: Kind, row: Row) {
        println!(
            "{:<24}{:>8.0}{:>10.2}{:>8.2}{:>8.1}{:>8.1}{:>8.1}{:>12.2}{:>13.2}{:>13.2}{:>6}",
            row.name,
            row.rate,
            row.idle_kib,
            row.after_kib,
            row.p50,
            row.p99,
            row.last,
            row.cpu,
            row.unicast_p50,
            row.unicast_p99,
            row.lost
        );
        // What others lose is shown, and is theirs.
        self.lost += if kind.is_homing() { row.lost } else { 0 };
        self.rows.push((kind, row));
    }

    /// What the table is to show of Homing.
    pub(crate) fn table_targets(&self) {
        for (kind, row) in &self.rows {
            match kind {
                kind if kind.is_homing() => {
                    let memory = if kind.speech() == Speech::Plain { 3.0 } else { 5.0 };
                    target(&format!("{}: broadcast p99, ms", row.name), row.p99, 120.0, 1, false);
                    target(&format!("{}: KiB per idle connection", row.name), row.idle_kib, memory, 2, false);
                    target(&format!("{}: connects per second", row.name), row.rate, 8_000.0, 0, true);
                    target(&format!("{}: unicast p99 at 1,000/s, ms", row.name), row.unicast_p99, 5.0, 2, false);
                    target(&format!("{}: idle CPU, us/s per connection", row.name), row.idle_cpu, 2.0, 2, false);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn stalled(&mut self, args: &Arguments, stalled: &Stalled) {
        let checked = &stalled.checked;
        println!(
            "stalled: {} connections, {} of them stall during {} broadcasts of {} bytes, in {} blocks; as many without",
            args.stalled_connections,
            stalled.stallers,
            args.stalled_broadcasts,
            args.stalled_payload,
            args.stalled_blocks
        );
        let blocks: Vec<String> = stalled.blocks.iter().map(|(a, b)| format!("{a:.1}/{b:.1}")).collect();
        println!("  p99 without/with, block by block: {}", blocks.join(" "));
        println!(
            "  p99 without {:.1} ms, with {:.1} ms; server's memory {:.0} KiB before, {:.0} KiB at most ({:+.1} KiB per staller)",
            stalled.control_p99,
            stalled.p99,
            stalled.before_kib,
            stalled.most_kib,
            (stalled.most_kib - stalled.before_kib) / f64::from(stalled.stallers.max(1)),
        );
        println!(
            "  closed by code {:?}, came back {} times; whole {}, told {}, lost {}, repeated {} {}",
            checked.closed,
            checked.resumed,
            checked.whole,
            checked.told,
            checked.lost,
            checked.repeated,
            checked.why.join("; ")
        );
        target(
            "stalled: p99 of the others, times that of the control blocks",
            stalled.p99 / stalled.control_p99,
            1.5,
            2,
            false,
        );
        self.lost += stalled.lost + u64::from(checked.lost) + u64::from(checked.repeated);
        if stalled.lost > 0 {
            println!("  lost by readers: {}", stalled.lost);
        }
    }

    pub(crate) fn nodes(&mut self, args: &Arguments, nodes: &Nodes) {
        println!("two nodes, {} connections, medians of {} rounds", args.nodes_connections, args.nodes_rounds);
        for side in &nodes.kinds {
            println!(
                "  {:<22}{:>8.0} conn/s   p50 {:.1}   p99 {:.1}   last {:.1}",
                side.name, side.rate, side.p50, side.p99, side.last
            );
        }
        if let [limit, others @ ..] = &nodes.kinds[..] {
            for ours in others {
                let what = format!("two nodes: p99 of {}, times that of {}", ours.name, limit.name);
                target(&what, ours.p99 / limit.p99, 1.35, 2, false);
            }
        }
        self.lost += nodes.lost;
        if nodes.lost > 0 {
            println!("  lost: {}", nodes.lost);
        }
    }
}
