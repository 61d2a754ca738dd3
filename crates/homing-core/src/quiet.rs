//! Quiet hours: a daily span of local time in which nobody is woken.

use jiff::{Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// A daily span in a time zone, `23:00` to `08:00` in `Asia/Shanghai`. It may pass midnight.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QuietHours {
    /// First quiet minute of the local day, 0..=1439.
    pub from: u16,
    /// First minute that is not quiet any more, 0..=1439.
    pub to: u16,
    /// IANA name of the time zone.
    pub zone: String,
}

impl QuietHours {
    /// From texts as a configuration or a user's profile has them.
    ///
    /// # Errors
    /// Says which of the three is not what it should be.
    pub fn parse(from: &str, to: &str, zone: &str) -> Result<Self, String> {
        let from = minutes(from).ok_or_else(|| format!("quiet_from `{from}` is not a time of day such as 23:00"))?;
        let to = minutes(to).ok_or_else(|| format!("quiet_to `{to}` is not a time of day such as 08:00"))?;
        TimeZone::get(zone).map_err(|_| format!("`{zone}` is not a time zone such as Asia/Shanghai"))?;
        Ok(Self { from, to, zone: zone.to_owned() })
    }

    /// When the quiet span that `now` lies in ends; `None` outside of it. Equal ends mean: never quiet. A zone that this
    /// machine does not know (checked by [`parse`](Self::parse)) counts as UTC.
    ///
    /// The end is a wall-clock time: over a change to or from summer time the span is an hour shorter or longer.
    pub fn ends(&self, now: Millis) -> Option<Millis> {
        let zone = TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC);
        let local = Timestamp::from_millisecond(now).ok()?.to_zoned(zone);
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let tomorrow = if self.from <= self.to {
            if !(self.from..self.to).contains(&minute) {
                return None;
            }
            false
        } else {
            if (self.to..self.from).contains(&minute) {
                return None;
            }
            minute >= self.from
        };
        let day = if tomorrow { local.checked_add(Span::new().days(1)).ok()?.date() } else { local.date() };
        let (hour, minute) = (i8::try_from(self.to / 60).ok()?, i8::try_from(self.to % 60).ok()?);
        let end = day.at(hour, minute, 0, 0).to_zoned(local.time_zone().clone()).ok()?.timestamp().as_millisecond();
        // A local time that a change of clocks repeats may lie behind us: one more minute, then it is looked at again.
        Some(if end > now { end } else { now + 60_000 })
    }
}

/// `23:00`, `8:30`, or whole hours: `23`.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':').unwrap_or((text.trim(), "0"));
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.get(..2).unwrap_or(minute).parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[track_caller]
    fn check(hours: &QuietHours, now: &str, expected: Option<&str>) {
        assert_eq!(hours.ends(at(now)), expected.map(at), "at {now}");
    }

    #[test]
    fn a_night_passes_midnight() {
        let night = QuietHours::parse("23:00", "8", "Asia/Shanghai").unwrap();
        check(&night, "2026-11-21T22:59:00+08:00", None);
        check(&night, "2026-11-21T23:00:00+08:00", Some("2026-11-22T08:00:00+08:00"));
        check(&night, "2026-11-22T07:59:59+08:00", Some("2026-11-22T08:00:00+08:00"));
        check(&night, "2026-11-22T07:00:00+08:00", Some("2026-11-22T08:00:00+08:00"));
        check(&night, "2026-11-22T08:00:00+08:00", None);
    }

    #[test]
    fn a_span_within_a_day_and_an_empty_one() {
        let noon = QuietHours::parse("12:00", "13:30", "UTC").unwrap();
        check(&noon, "2026-11-21T12:15:00Z", Some("2026-11-21T13:30:00Z"));
        check(&noon, "2026-11-21T13:30:00Z", None);
        check(&QuietHours::parse("8", "8", "UTC").unwrap(), "2026-11-21T08:00:00Z", None);
    }

    #[test]
    fn clocks_that_change_move_the_end() {
        // Berlin puts its clocks forward on 2026-03-29 at 02:00.
        let night = QuietHours::parse("23:00", "08:00", "Europe/Berlin").unwrap();
        check(&night, "2026-03-28T23:00:00+01:00", Some("2026-03-29T08:00:00+02:00"));
        check(&night, "2026-10-24T23:00:00+02:00", Some("2026-10-25T08:00:00+01:00"));
        // On 2026-10-25 the hour from 02:00 comes twice; the end is behind us in the second.
        let early = QuietHours::parse("23:00", "02:30", "Europe/Berlin").unwrap();
        check(&early, "2026-10-25T02:10:00+02:00", Some("2026-10-25T02:30:00+02:00"));
        check(&early, "2026-10-25T02:10:00+01:00", Some("2026-10-25T02:11:00+01:00"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |from, to, zone| QuietHours::parse(from, to, zone).unwrap_err();
        assert_eq!(error("late", "8", "UTC"), "quiet_from `late` is not a time of day such as 23:00");
        assert_eq!(error("23", "24:00", "UTC"), "quiet_to `24:00` is not a time of day such as 08:00");
        assert_eq!(error("23", "8", "Mars/Base"), "`Mars/Base` is not a time zone such as Asia/Shanghai");
    }
}
