//! Templates of Redis keys and members, and of the tables of a shard: parsed once, rendered per id.
//!
//! ```text
//! login:{user_id}            the id as it is; {id} says the same
//! login:{user_id%1024}       remainder, for ids of digits only
//! login:{user_id/1000}       integer division, likewise
//! login:{user_id|pad(10)}    filled with zeros on the left
//! login:{user_id|md5}        MD5 in 32 small hex digits, as PHP writes it; filters may follow one another
//! {{literal braces}}         doubled
//! ```
//!
//! An id that is no number has no place in a key that computes with it: such an id has no rows.

use std::iter::Peekable;
use std::str::CharIndices;

use md5::{Digest as _, Md5};

use crate::error::Misplaced;

const MAX_PAD: usize = 64;

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Id { step: Step, filters: Vec<Filter> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Plain,
    Remainder(u64),
    Quotient(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Pad(usize),
    Md5,
}

// === impl Template ===

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Misplaced> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.char_indices().peekable();
        let mut position = 0;
        while let Some((_, c)) = rest.next() {
            position += 1;
            match c {
                '{' | '}' if rest.peek().is_some_and(|(_, next)| *next == c) => {
                    rest.next();
                    position += 1;
                    literal.push(c);
                }
                '{' => {
                    let start = position;
                    let inside = until_brace(&mut rest).ok_or_else(|| {
                        Misplaced::new(start, "the `{` is never closed; a literal brace is written twice")
                    })?;
                    position += inside.chars().count() + 1;
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(piece(&inside, start)?);
                }
                '}' => return Err(Misplaced::new(position, "a `}` without its `{`; a literal brace is written twice")),
                _ => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        if parts.is_empty() {
            return Err(Misplaced::new(1, "is empty"));
        }
        Ok(Self { parts })
    }

    /// Does the text depend on the id?
    pub(crate) fn has_id(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Id { .. }))
    }

    /// A pattern of Redis that fits every text.
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = String::new();
        for part in &self.parts {
            match part {
                Part::Id { .. } => pattern.push('*'),
                Part::Text(text) => {
                    for c in text.chars() {
                        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                            pattern.push('\\');
                        }
                        pattern.push(c);
                    }
                }
            }
        }
        pattern
    }

    /// How many texts there can be; `None` if there is no bound that the template sets itself.
    pub(crate) fn choices(&self) -> Option<u64> {
        self.parts.iter().try_fold(1_u64, |choices, part| match part {
            Part::Text(_) => Some(choices),
            Part::Id { step: Step::Remainder(n), .. } => choices.checked_mul(*n),
            Part::Id { .. } => None,
        })
    }

    /// The text for an id; `None` when the template computes with an id that is no number.
    pub(crate) fn render(&self, id: &str) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Id { step, filters } => {
                    out.push_str(&filters.iter().fold(step.apply(id)?, |text, filter| filter.apply(text)));
                }
            }
        }
        Some(out)
    }
}

// === impl Step ===

impl Step {
    fn apply(self, id: &str) -> Option<String> {
        match self {
            Self::Plain => Some(id.to_owned()),
            Self::Remainder(n) => number(id)?.checked_rem(n).map(|n| n.to_string()),
            Self::Quotient(n) => number(id)?.checked_div(n).map(|n| n.to_string()),
        }
    }
}

// === impl Filter ===

impl Filter {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "md5" {
            return Ok(Self::Md5);
        }
        let Some(n) = text.strip_prefix("pad(").and_then(|n| n.strip_suffix(')')) else {
            return Err(format!("the filter |{text} is unknown; there are |pad(N) and |md5"));
        };
        let width = number(n).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=MAX_PAD).contains(n));
        width.map(Self::Pad).ok_or_else(|| format!("pad({n}) takes a number from 1 to {MAX_PAD}"))
    }

    fn apply(self, text: String) -> String {
        match self {
            Self::Pad(width) => {
                let zeros = width.saturating_sub(text.chars().count());
                "0".repeat(zeros) + &text
            }
            Self::Md5 => format!("{:032x}", u128::from_be_bytes(Md5::digest(text).into())),
        }
    }
}

/// Digits only: `parse` alone would take a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn until_brace(rest: &mut Peekable<CharIndices<'_>>) -> Option<String> {
    let mut inside = String::new();
    for (_, c) in rest.by_ref() {
        if c == '}' {
            return Some(inside);
        }
        inside.push(c);
    }
    None
}

/// One `{...}` without its braces; `start` is the position of the brace.
fn piece(inside: &str, start: usize) -> Result<Part, Misplaced> {
    let mut pieces = inside.split('|');
    let head = pieces.next().unwrap_or_default();
    let (name, step) = if let Some((name, n)) = head.split_once('%') {
        (name, Step::Remainder(divisor(n, start)?))
    } else if let Some((name, n)) = head.split_once('/') {
        (name, Step::Quotient(divisor(n, start)?))
    } else {
        (head, Step::Plain)
    };
    if !matches!(name, "user_id" | "id") {
        return Err(Misplaced::new(
            start,
            format!("`{{{inside}}}` is unknown; write {{user_id}} or {{id}}, with %N, /N, |pad(N) or |md5"),
        ));
    }
    let filters = pieces.map(|text| Filter::parse(text).map_err(|reason| Misplaced::new(start, reason)));
    Ok(Part::Id { step, filters: filters.collect::<Result<_, _>>()? })
}

fn divisor(text: &str, start: usize) -> Result<u64, Misplaced> {
    number(text)
        .filter(|n| *n > 0)
        .ok_or_else(|| Misplaced::new(start, format!("`{text}` is no number above 0 to divide by")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[track_caller]
    fn check(template: &str, id: &str, expected: Option<&str>) {
        assert_eq!(Template::parse(template).unwrap().render(id).as_deref(), expected, "{template} of {id}");
    }

    #[track_caller]
    fn refused(template: &str, position: usize, word: &str) {
        let error = Template::parse(template).unwrap_err();
        assert_eq!(error.position, position, "{error:?}");
        assert!(error.reason.contains(word), "{error:?}");
    }

    #[test]
    fn an_id_takes_its_place() {
        check("login:{user_id}", "42", Some("login:42"));
        check("{id}", "a:b c", Some("a:b c"));
        check("x{id%1024}:{user_id}y", "2050", Some("x2:2050y"));
        check("{user_id/1000}", "123456", Some("123"));
        check("{user_id|pad(10)}", "42", Some("0000000042"));
        check("{user_id%16|pad(2)}", "33", Some("01"));
        check("{user_id|pad(2)}", "12345", Some("12345"));
        check("{user_id|md5}", "42", Some("a1d0c6e83f027327d8461063f4ac58a6"));
        check("{user_id%16|pad(2)|md5}", "17", Some("96a3be3cf272e017046d1b2674a52bd3"));
        check("{{tag}}:{id}", "1", Some("{tag}:1"));
        check("größe:{id}", "ü", Some("größe:ü"));
    }

    #[test]
    fn a_pattern_fits_every_text() {
        assert_eq!(Template::parse("a*[b]-{id}:{id%4}x").unwrap().pattern(), "a\\*\\[b\\]\\-*:*x");
    }

    #[test]
    fn only_remainders_have_a_bound() {
        let choices = |template: &str| Template::parse(template).unwrap().choices();
        assert_eq!(choices("t_{user_id%16}"), Some(16));
        assert_eq!(choices("t_{user_id%16|pad(2)}_{id%4}"), Some(64));
        assert_eq!(choices("t"), Some(1));
        for template in ["t_{id}", "t_{id/1000}", "t_{id|md5}"] {
            assert_eq!(choices(template), None, "{template}");
        }
    }

    #[test]
    fn arithmetic_needs_a_number() {
        for id in ["bob", "", "-1", "+1", "1.5", "18446744073709551616"] {
            check("{id%10}", id, None);
        }
        check("{id%10}", "18446744073709551615", Some("5"));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        refused("login:{user}", 7, "{user}");
        refused("ü{user_id|sha1}", 2, "sha1");
        refused("{user_id|upper}", 1, "upper");
        refused("{id}:{id|pad(0)}", 6, "pad");
        refused("{id%0}", 1, "above 0");
        refused("{id/x}", 1, "x");
        refused("a{id", 2, "closed");
        refused("a}", 2, "without");
        refused("", 1, "empty");
    }
}
