//! Who is online.

use futures_util::future::BoxFuture;
use homing_core::live::{Attendance, LiveDown, Presence, Seen};
use redis::Value;

use super::{
    RedisLive,
    link::Ask,
    millis,
    script::{array, number, text},
};
use crate::live::failure::check_name;

const PART: &str = "presence";

/// Users in one call of a script.
const USERS: usize = 1_000;

impl Presence for RedisLive {
    fn attend<'a>(&'a self, changes: &'a [Attendance]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(self.say(changes))
    }

    fn beat(&self) -> BoxFuture<'_, Result<Vec<String>, LiveDown>> {
        Box::pin(self.live(millis(self.settings.presence_ttl)))
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), LiveDown>> {
        Box::pin(async move { self.live(0).await.map(drop) })
    }

    fn seen<'a>(&'a self, users: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Seen>, LiveDown>> {
        Box::pin(self.look_for(users))
    }
}

impl RedisLive {
    async fn say(&self, changes: &[Attendance]) -> Result<(), LiveDown> {
        let script = &self.scripts.attend;
        let settings = &self.settings;
        for some in changes.chunks(USERS) {
            let mut cmd = script.call(some.len() + 1);
            cmd.arg(self.keys.nodes());
            for change in some {
                check_name(&self.what(PART), &change.user)?;
                cmd.arg(self.keys.presence(&change.user));
            }
            cmd.arg(&self.instance).arg(&*self.node).arg(millis(settings.presence_ttl));
            cmd.arg(millis(settings.attend_ttl)).arg(millis(settings.gone_ttl));
            for change in some {
                cmd.arg(change.sessions);
            }
            self.writes.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
        }
        Ok(())
    }

    async fn live(&self, ttl: u64) -> Result<Vec<String>, LiveDown> {
        let script = &self.scripts.beat;
        let mut cmd = script.call(1);
        cmd.arg(self.keys.nodes()).arg(&self.instance).arg(&*self.node).arg(ttl).arg(millis(self.settings.gone_ttl));
        let answer = self.writes.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
        let names = array(answer).and_then(|names| names.into_iter().map(text).collect::<Option<Vec<_>>>());
        let mut names = names.ok_or_else(|| self.unexpected(PART, script, &Value::Nil))?;
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn look_for(&self, users: &[&str]) -> Result<Vec<Seen>, LiveDown> {
        let script = &self.scripts.seen;
        let mut all = Vec::with_capacity(users.len());
        for some in users.chunks(USERS) {
            let mut cmd = script.call(some.len() + 1);
            cmd.arg(self.keys.nodes());
            for user in some {
                cmd.arg(self.keys.presence(user));
            }
            cmd.arg(millis(self.settings.gone_ttl));
            let answer = self.reads.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
            let Value::Array(numbers) = &answer else { return Err(self.unexpected(PART, script, &answer)) };
            let small = |value: &Value| number(value).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            let seen = |part: &[Value]| match part {
                [sessions, nodes, Value::Int(gone)] => {
                    let gone_at = (*gone > 0).then_some(*gone);
                    Some(Seen { sessions: small(sessions)?, nodes: small(nodes)?, gone_at })
                }
                _ => None,
            };
            let answers: Option<Vec<_>> = numbers.chunks(3).map(seen).collect();
            match answers {
                Some(answers) if answers.len() == some.len() => all.extend(answers),
                _ => return Err(self.unexpected(PART, script, &answer)),
            }
        }
        Ok(all)
    }
}
