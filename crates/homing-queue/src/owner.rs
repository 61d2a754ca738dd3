//! Who holds a lease. A token is `epoch|nonce|host|boot|pid namespace|pid|start time`: equality fences, the rest lets
//! a successor on the same host see that the process behind it is dead and need not wait for the lease to run out.

use std::{fs, sync::Arc};

/// This process, as it signs its leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    host: Arc<str>,
    boot: Arc<str>,
    namespace: Arc<str>,
    pid: u32,
    start: Arc<str>,
}

impl Owner {
    /// Reads this process's identity from `/proc`. Where that cannot be read the parts are empty, and takeover waits
    /// for the lease to expire.
    pub fn this_process() -> Self {
        let read = |path: &str| fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default();
        let pid = std::process::id();
        Self {
            host: clean(&read("/proc/sys/kernel/hostname")),
            boot: clean(&read("/proc/sys/kernel/random/boot_id")),
            namespace: clean(&namespace()),
            pid,
            start: clean(&start_time(pid).unwrap_or_default()),
        }
    }

    /// The token without its epoch, which the server puts in front.
    pub(crate) fn suffix(&self, nonce: u64) -> String {
        format!("{nonce:016x}|{}|{}|{}|{}|{}", self.host, self.boot, self.namespace, self.pid, self.start)
    }

    /// Is the process that signed `token` provably dead? Only a token of this boot and this pid namespace can tell.
    pub(crate) fn is_dead(&self, token: &str) -> bool {
        let parts: Vec<&str> = token.split('|').collect();
        let [_, _, _, boot, namespace, pid, start] = parts.as_slice() else { return false };
        if self.boot.is_empty() || **boot != *self.boot || **namespace != *self.namespace || start.is_empty() {
            return false;
        }
        let Ok(pid) = pid.parse::<u32>() else { return false };
        if !fs::exists("/proc/self/stat").unwrap_or(false) {
            return false;
        }
        start_time(pid).is_none_or(|now| now != **start)
    }
}

/// `|` separates the parts of a token.
fn clean(part: &str) -> Arc<str> {
    part.replace('|', "_").into()
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Start time of a live process in clock ticks since boot; `None` when there is none or it is a zombie.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from the last one: state is the first field behind it.
    let (_, behind) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19).map(|s| (*s).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn only_a_process_of_this_boot_that_is_gone_is_dead() {
        let me = Owner::this_process();
        let mine = format!("7|{}", me.suffix(1));
        assert!(!me.is_dead(&mine), "this process lives");

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Owner { pid: child.id(), start: start_time(child.id()).unwrap().into(), ..me.clone() };
        let token = format!("7|{}", other.suffix(2));
        assert!(!me.is_dead(&token), "the child lives");
        child.kill().unwrap();
        assert!(!start_time(child.id()).is_some_and(|s| s.is_empty()));
        child.wait().unwrap();
        assert!(me.is_dead(&token), "the child is gone");

        let elsewhere = Owner { boot: "another boot".into(), ..other };
        assert!(!me.is_dead(&format!("7|{}", elsewhere.suffix(2))), "nothing is known of another machine");
        let recycled = Owner { pid: std::process::id(), start: "1".into(), ..me.clone() };
        assert!(me.is_dead(&format!("7|{}", recycled.suffix(2))), "the pid is another process now");
        assert!(!me.is_dead("garbage"));
    }
}
