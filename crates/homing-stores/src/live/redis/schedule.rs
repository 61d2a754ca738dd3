//! Messages that wait for their time, in a sorted set that others write to, too.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{Agenda, Due, LiveDown, Schedule},
};
use redis::Value;

use super::{
    RedisLive,
    inbox::json,
    link::Ask,
    script::{array, bytes, text},
};
use crate::live::{Unit, failure::check_member};

const PART: &str = "schedule";

impl Schedule for RedisLive {
    fn put<'a>(&'a self, id: &'a str, member: &'a [u8], at: Millis) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            check_member(&self.what(PART), id, member)?;
            let script = &self.scripts.put;
            let mut cmd = script.call(2);
            cmd.arg(self.keys.schedule()).arg(self.keys.schedule_ids());
            cmd.arg(id).arg(member).arg(score(self.settings.schedule.unit, at));
            self.writes.ask(Ask::Script(script, &cmd)).await.map(drop).map_err(|error| self.down(PART, error))
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, LiveDown>> {
        Box::pin(async move {
            let script = &self.scripts.cancel;
            let mut cmd = script.call(2);
            cmd.arg(self.keys.schedule()).arg(self.keys.schedule_ids()).arg(id);
            let answer = self.writes.ask_once(Ask::Script(script, &cmd)).await;
            Ok(matches!(answer.map_err(|error| self.down(PART, error))?, Value::Int(1)))
        })
    }

    fn look(&self, limit: usize) -> BoxFuture<'_, Result<Agenda, LiveDown>> {
        Box::pin(async move {
            let script = &self.scripts.look;
            let unit = self.settings.schedule.unit.millis();
            let mut cmd = script.call(1);
            cmd.arg(self.keys.schedule()).arg(limit).arg(unit);
            let answer = self.looks.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
            agenda(answer, limit, unit).ok_or_else(|| self.unexpected(PART, script, &Value::Nil))
        })
    }

    fn bury<'a>(&'a self, member: &'a [u8], why: &'a str) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            let script = &self.scripts.bury;
            let mut letter = format!("{{\"why\":{}}}\n", json(why)).into_bytes();
            letter.extend_from_slice(member);
            let mut cmd = script.call(2);
            cmd.arg(self.keys.schedule()).arg(self.keys.dead()).arg(member).arg(letter);
            cmd.arg(self.settings.schedule.dead_max.max(1));
            self.writes.ask(Ask::Script(script, &cmd)).await.map(drop).map_err(|error| self.down(PART, error))
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.changed.notified())
    }
}

/// A moment as a score, exact to the millisecond.
fn score(unit: Unit, at: Millis) -> String {
    match unit {
        Unit::Millis => at.to_string(),
        Unit::Seconds => {
            let sign = if at < 0 { "-" } else { "" };
            format!("{sign}{}.{:03}", at.unsigned_abs() / 1_000, at.unsigned_abs() % 1_000)
        }
    }
}

fn agenda(answer: Value, limit: usize, unit: f64) -> Option<Agenda> {
    let [now, due, next]: [Value; 3] = array(answer)?.try_into().ok()?;
    let Value::Int(now) = now else { return None };
    let mut all = Vec::new();
    let mut due = array(due)?.into_iter();
    while let (Some(member), Some(score)) = (due.next(), due.next()) {
        // A score that counts seconds is exact to a fraction of a microsecond: within that it means the millisecond.
        let at = clamp((text(score)?.parse::<f64>().ok()? * unit + 0.001).floor());
        all.push(Due { member: Bytes::from(bytes(member)?), at });
    }
    if all.len() > limit {
        all.truncate(limit);
        return Some(Agenda { due: all, next: Some(0) });
    }
    let next = text(next)?.parse::<f64>().ok().filter(|score| score.is_finite());
    let next = next.map(|score| clamp((score * unit - 0.001).ceil()).saturating_sub(now).max(1));
    Some(Agenda { due: all, next })
}

#[expect(clippy::cast_possible_truncation, reason = "it saturates, and that is what is wanted")]
fn clamp(millis: f64) -> Millis {
    (millis as Millis).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_say_the_millisecond() {
        assert_eq!(score(Unit::Seconds, 1_795_190_400_007), "1795190400.007");
        assert_eq!(score(Unit::Seconds, -7), "-0.007");
        assert_eq!(score(Unit::Millis, 1_795_190_400_007), "1795190400007");
        let bulk = |text: &str| Value::BulkString(text.into());
        let answer = |due: &[&str], next: &str| {
            let due = due.iter().flat_map(|score| [bulk("m"), bulk(score)]).collect();
            Value::Array(vec![Value::Int(1_795_190_400_000), Value::Array(due), bulk(next)])
        };
        let look = |due: &[&str], next: &str| {
            let agenda = agenda(answer(due, next), 2, 1_000.0)?;
            Some((agenda.due.iter().map(|due| due.at).collect::<Vec<_>>(), agenda.next))
        };
        let second = "1795190399.9990001";
        assert_eq!(look(&["-inf", second], "1795190400.123"), Some((vec![0, 1_795_190_399_999], Some(123))));
        assert_eq!(look(&[], "inf"), Some((vec![], None)));
        assert_eq!(look(&[], ""), Some((vec![], None)));
        assert_eq!(look(&["1", "2", "3"], "1795190400.123"), Some((vec![1_000, 2_000], Some(0))));
    }
}
