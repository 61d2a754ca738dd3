//! [`Shard::resync`](homing_core::queue::Shard::resync): looks, reads what the books need, and sets all in one script.

use std::time::Instant;

use homing_core::queue::{Budget, Error, Log, LogState, Result, Seq};
use redis::Value;

use super::{
    inspect::{self, Picture, Seen},
    script::{array, number, unavailable, unexpected},
    shard::{RedisShard, add_counts, usable},
};
use crate::resync::{Found, plan, reads_main, reads_own};

/// Items per read.
const PAGE: usize = 1_000;

impl RedisShard {
    pub(super) async fn do_resync(&mut self) -> Result<u64> {
        loop {
            let Picture { snapshot, tail } = self.picture().await?;
            let main = if reads_main(&snapshot) { Some(self.read_main(length(&snapshot)).await?) } else { None };
            let own = if reads_own(&snapshot) { Some(self.read_own(&snapshot).await?) } else { None };
            let plan = plan(&snapshot, tail.max(self.reach), main, own);
            let mut cmd = self.scripts.resync.call(4);
            cmd.arg(self.keys.own()).arg(self.keys.state()).arg(self.keys.ledger()).arg(self.keys.log(&Log::MAIN));
            cmd.arg(&self.token).arg(self.options.lease.as_millis()).arg(self.commits + 1);
            cmd.arg(length(&snapshot)).arg(plan.head).arg(snapshot.logs.len());
            for log in &snapshot.logs {
                cmd.arg(log.log.name());
            }
            add_counts(&mut cmd, &plan.counts);
            let asked = Instant::now();
            let answer = self.link.run(&self.scripts.resync, &cmd).await.map_err(unavailable)?;
            match number(&answer) {
                Some(0) => {}
                // The commit before, or this one, had run without an answer: look again.
                Some(1) => {
                    self.commits += 1;
                    continue;
                }
                Some(-1) => return Err(self.fenced()),
                Some(-2) => {
                    let expected = self.heads.get(&Log::MAIN).copied().unwrap_or(0);
                    return Err(Error::Foreign { queue: self.name.clone(), log: "main".to_owned(), expected });
                }
                Some(-4) => return Err(Error::RolledBack(self.name.clone())),
                _ => return Err(unexpected("resync", &answer)),
            }
            self.commits += 1;
            self.deadline = asked + usable(&self.options);
            let head = |log: &Log, head: Seq| if *log == Log::MAIN { plan.head } else { head };
            self.heads = snapshot.logs.iter().map(|l| (l.log.clone(), head(&l.log, l.head))).collect();
            self.reach = 0;
            let state = |l: &homing_core::queue::LogDepth| LogState {
                log: l.log.clone(),
                head: head(&l.log, l.head),
                checkpoint: Default::default(),
            };
            self.opened.logs = snapshot.logs.iter().map(state).collect();
            return Ok(plan.taken);
        }
    }

    async fn picture(&mut self) -> Result<Picture> {
        let mut logs = vec![Log::MAIN, Log::RETRY];
        loop {
            let cmd = inspect::call(&self.scripts, &self.keys, &logs);
            let answer = self.link.run(&self.scripts.inspect, &cmd).await.map_err(unavailable)?;
            match inspect::read(answer, &logs)? {
                Seen::Whole(picture) => return Ok(*picture),
                Seen::Again(known) => logs = known,
            }
        }
    }

    /// The first `length` items: what comes later is counted by who brings it.
    async fn read_main(&mut self, length: u64) -> Result<Found> {
        let mut found = Found::default();
        let mut at = 0;
        while at < length {
            let items = usize::try_from(length - at).unwrap_or(PAGE).min(PAGE);
            let page = self.read(self.keys.log(&Log::MAIN), at, Budget { items, bytes: 8 << 20 }, false).await?;
            if page.is_empty() {
                break;
            }
            at += page.len() as u64;
            page.iter().for_each(|body| found.main(body));
        }
        Ok(found)
    }

    async fn read_own(&mut self, snapshot: &homing_core::queue::Snapshot) -> Result<Found> {
        let mut found = Found::default();
        for log in snapshot.logs.iter().filter(|l| l.log != Log::MAIN) {
            let mut at = 0;
            loop {
                let page = Budget { items: PAGE, bytes: 8 << 20 };
                let page = self.read(self.keys.log(&log.log), at, page, false).await?;
                if page.is_empty() {
                    break;
                }
                at += page.len() as u64;
                page.iter().for_each(|body| found.own(body));
            }
        }
        let mut at = 0;
        loop {
            let mut cmd = redis::cmd("ZRANGE");
            cmd.arg(self.keys.delayed()).arg(at).arg(at + PAGE - 1);
            let page = array("ZRANGE", self.link.ask(&cmd).await.map_err(unavailable)?)?;
            for member in &page {
                if let Value::BulkString(member) = member {
                    let body = member.iter().position(|b| *b == b':').and_then(|i| member.get(i + 1..));
                    found.own(body.unwrap_or(member));
                }
            }
            at += page.len();
            if page.len() < PAGE {
                return Ok(found);
            }
        }
    }
}

fn length(snapshot: &homing_core::queue::Snapshot) -> u64 {
    snapshot.logs.iter().find(|l| l.log == Log::MAIN).map_or(0, |l| l.length)
}
