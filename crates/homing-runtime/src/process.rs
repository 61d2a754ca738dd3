//! Figures of this process, read from `/proc` when Prometheus asks. They are written by hand and not through the recorder,
//! because its counters are whole numbers and CPU time is not.

use std::{fmt::Write as _, fs};

/// Of `/proc/self/stat`. The kernel reports to user space in hundredths on every architecture that Rust's tier 1 has.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends what can be read; without `/proc` that is nothing.
pub(crate) fn render(text: &mut String) {
    let resident = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_bytes(&status));
    let cpu = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat));
    // One of them is the listing itself.
    let fds = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));
    let mut write = |name: &str, kind: &str, help: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ok = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    };
    write("process_resident_memory_bytes", "gauge", "Resident memory.", resident.map(|n| n.to_string()));
    write("process_cpu_seconds_total", "counter", "CPU time, user and system.", cpu.map(|n| n.to_string()));
    write("process_open_fds", "gauge", "Open file descriptors.", fds.map(|n| n.to_string()));
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<u64>().ok()? * 1024)
}

/// Fields 14 and 15, counted after the program's name, which may hold blanks and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).map_while(|n| n.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 150 25 0 0 20 0 4 0 99 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(cpu_seconds("42 (x) S 1"), None);
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\nVmRSS:\t    5120 kB\n"), Some(5_242_880));
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\n"), None);
    }

    #[test]
    fn this_process_has_all_three() {
        let mut text = String::new();
        render(&mut text);
        let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value("process_resident_memory_bytes ") > Some(100_000.0), "{text}");
        assert!(value("process_cpu_seconds_total ") >= Some(0.0), "{text}");
        assert!(value("process_open_fds ") >= Some(3.0), "{text}");
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
    }
}
