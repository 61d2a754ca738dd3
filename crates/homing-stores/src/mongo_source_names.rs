//! The collections of a source: one, or one per year, month or day (`chats_{yyyyMM}`).
//!
//! Which of them hold a time is read from their names. A writer's clock and time zone decide in which one a message of
//! midnight lands, so each is taken to reach a day further on both sides: the turn of a month is read in both.

use homing_core::clock::Millis;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How far a collection may reach beyond its name.
const SLACK: Millis = 24 * 3_600_000;

/// The names of a source's collections.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    /// A single one.
    One(String),
    /// One per stretch of time.
    Dated(Template),
}

/// `chats_{yyyyMM}`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Year,
    Month,
    Day,
}

/// A collection that exists, and the time that its name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dated {
    pub(crate) name: String,
    from: Millis,
    to: Millis,
}

// === impl Names ===

impl Names {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let Some((before, rest)) = text.split_once('{') else { return Ok(Self::One(text.to_owned())) };
        let unknown = || format!("`{text}`: a template reads chats_{{yyyyMM}}: one pair of braces with yyyy, MM, dd");
        let (inside, after) = rest.split_once('}').ok_or_else(unknown)?;
        if after.contains(['{', '}']) || before.contains('}') {
            return Err(unknown());
        }
        let mut pieces = vec![Piece::Text(before.to_owned())];
        let mut inside = inside;
        while let Some(c) = inside.chars().next() {
            let (piece, length) = match c {
                'y' if inside.starts_with("yyyy") => (Piece::Year, 4),
                'M' if inside.starts_with("MM") => (Piece::Month, 2),
                'd' if inside.starts_with("dd") => (Piece::Day, 2),
                '-' | '_' | '.' => (Piece::Text(c.to_string()), 1),
                _ => return Err(unknown()),
            };
            if !matches!(piece, Piece::Text(_)) && pieces.contains(&piece) {
                return Err(unknown());
            }
            pieces.push(piece);
            inside = inside.get(length..).unwrap_or_default();
        }
        pieces.push(Piece::Text(after.to_owned()));
        let has = |piece| pieces.contains(&piece);
        if !has(Piece::Year) || (has(Piece::Day) && !has(Piece::Month)) {
            return Err(unknown());
        }
        Ok(Self::Dated(Template { pieces }))
    }
}

// === impl Template ===

impl Template {
    /// A regular expression that the names match.
    pub(crate) fn pattern(&self) -> String {
        let digits = |n: usize| "[0-9]".repeat(n);
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.chars().fold(String::new(), |mut pattern, c| {
                if c.is_ascii_punctuation() && c != '_' {
                    pattern.push('\\');
                }
                pattern.push(c);
                pattern
            }),
            Piece::Year => digits(4),
            Piece::Month | Piece::Day => digits(2),
        };
        format!("^{}$", self.pieces.iter().map(piece).collect::<String>())
    }

    /// Those of `names` that are of this template, oldest first.
    pub(crate) fn dated(&self, names: Vec<String>) -> Vec<Dated> {
        let mut dated: Vec<Dated> = names.into_iter().filter_map(|name| self.read(name)).collect();
        dated.sort_by(|a, b| (a.from, &a.name).cmp(&(b.from, &b.name)));
        dated
    }

    fn read(&self, name: String) -> Option<Dated> {
        let (mut year, mut month, mut day) = (None, None, None);
        let mut rest = name.as_str();
        for piece in &self.pieces {
            let mut number = |length| {
                let (digits, after) = rest.split_at_checked(length)?;
                rest = after;
                digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i16>().ok())?
            };
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Year => year = Some(number(4)?),
                Piece::Month => month = Some(i8::try_from(number(2)?).ok()?),
                Piece::Day => day = Some(i8::try_from(number(2)?).ok()?),
            }
        }
        if !rest.is_empty() {
            return None;
        }
        let first = Date::new(year?, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
        let next = match (month, day) {
            (_, Some(_)) => first.tomorrow().ok()?,
            (Some(_), None) => first.last_of_month().tomorrow().ok()?,
            (None, None) => first.last_of_year().tomorrow().ok()?,
        };
        let millis = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
        Some(Dated { from: millis(first)?, to: millis(next)?, name })
    }
}

// === impl Dated ===

impl Dated {
    /// May it hold messages of these times, from the first on and up to the second?
    pub(crate) fn may_hold(&self, from: Option<Millis>, to: Option<Millis>) -> bool {
        from.is_none_or(|from| self.to.saturating_add(SLACK) >= from)
            && to.is_none_or(|to| self.from.saturating_sub(SLACK) <= to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn template(text: &str) -> Template {
        match Names::parse(text).unwrap() {
            Names::Dated(template) => template,
            Names::One(name) => panic!("{name} is no template"),
        }
    }

    fn of(text: &str, names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        template(text).dated(names).into_iter().map(|d| d.name).collect()
    }

    #[test]
    fn names_are_told_by_their_time() {
        let names =
            ["chats_202612", "chats_202601", "chats_201612", "chats", "chats_20261", "chats_202613", "xchats_202601"];
        assert_eq!(of("chats_{yyyyMM}", &names), ["chats_201612", "chats_202601", "chats_202612"]);
        assert_eq!(
            of("c{yyyy-MM-dd}.x", &["c2026-02-28.x", "c2026-02-30.x", "c2026-02-01.x"]),
            ["c2026-02-01.x", "c2026-02-28.x"]
        );
        assert_eq!(template("im.c_{yyyyMM}").pattern(), r"^im\.c_[0-9][0-9][0-9][0-9][0-9][0-9]$");
        assert!(matches!(Names::parse("chats").unwrap(), Names::One(name) if name == "chats"));
        for wrong in ["", "c{MM}", "c{yyyydd}", "c{yyyy", "c{yy}", "c{}", "{yyyy}{MM}", "c}{yyyy}", "{yyyyyyyy}"] {
            assert!(Names::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_month_reaches_a_day_further() {
        let november = template("c{yyyyMM}").dated(vec!["c202611".to_owned()]).remove(0);
        let (from, to) = (1_793_491_200_000, 1_796_083_200_000); // 2026-11-01, 2026-12-01 UTC
        assert_eq!((november.from, november.to), (from, to));
        assert!(november.may_hold(Some(to + SLACK), None) && !november.may_hold(Some(to + SLACK + 1), None));
        assert!(november.may_hold(None, Some(from - SLACK)) && !november.may_hold(None, Some(from - SLACK - 1)));
        assert!(november.may_hold(Some(from + 5), Some(from + 6)));
    }
}
