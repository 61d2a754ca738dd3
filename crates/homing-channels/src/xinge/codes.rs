//! Result codes as data: vendors change them, so they stand in `codes.toml` and can be laid over by a file.

use std::{collections::HashMap, ops::RangeInclusive, path::Path};

use serde::Deserialize;

use super::account::Flavour;
use crate::{Error, Result};

const EMBEDDED: &str = include_str!("codes.toml");

/// What a result code means for a message. The reaction to each stands at the head of `codes.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Accepted.
    Ok,
    /// The service is busy or broken.
    Retry,
    /// Too many calls.
    Rate,
    /// Wrong credentials.
    Auth,
    /// Credentials when `err_msg` speaks of the signature, else [`Retry`](Class::Retry).
    AuthOrRetry,
    /// A clock that is off, else wrong credentials.
    AuthOrClock,
    /// Wrong or expired APNs certificate.
    Cert,
    /// The timestamp is too far from the service's clock.
    Clock,
    /// Our message is bad.
    Bad,
    /// Our message is too long.
    Big,
    /// A limit of bindings or tags.
    Quota,
    /// The token is dead.
    Token,
    /// The account has no device.
    #[serde(rename = "notarget")]
    NoTarget,
    /// Some targets of a list failed.
    Partial,
    /// Not in the table.
    Unknown,
}

/// The code tables, one per flavour.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    v2: Table,
    v3: Table,
    tpns: Table,
}

#[derive(Clone, Debug, Default)]
struct Table {
    single: HashMap<i64, Code>,
    /// The latest first.
    ranges: Vec<(RangeInclusive<i64>, Code)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    class: Class,
    #[serde(default)]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    v2: HashMap<String, Code>,
    v3: HashMap<String, Code>,
    tpns: HashMap<String, Code>,
}

// === impl Codes ===

impl Codes {
    /// The embedded tables.
    pub fn embedded() -> Result<Self> {
        let mut codes = Self::default();
        codes.lay_over("embedded", EMBEDDED)?;
        Ok(codes)
    }

    /// The embedded tables with a file laid over them, code by code.
    pub fn load(path: &Path) -> Result<Self> {
        let mut codes = Self::embedded()?;
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Codes { origin: origin.clone(), problem: error.to_string() })?;
        codes.lay_over(&origin, &text)?;
        Ok(codes)
    }

    /// Class and meaning of a code; an unlisted one is [`Class::Unknown`].
    pub fn of(&self, flavour: Flavour, code: i64) -> (Class, &str) {
        let found = self.table(flavour).find(code);
        found.map_or((Class::Unknown, "not documented"), |code| (code.class, code.text.as_str()))
    }

    /// Every code that is listed by itself, not by a range.
    pub fn listed(&self, flavour: Flavour) -> impl Iterator<Item = (i64, Class)> {
        self.table(flavour).single.iter().map(|(code, entry)| (*code, entry.class))
    }

    fn table(&self, flavour: Flavour) -> &Table {
        match flavour {
            Flavour::V2 => &self.v2,
            Flavour::V3 => &self.v3,
            Flavour::Tpns => &self.tpns,
        }
    }

    fn lay_over(&mut self, origin: &str, text: &str) -> Result<()> {
        let bad = |problem: String| Error::Codes { origin: origin.to_owned(), problem };
        let file: File = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        for (name, table, entries) in
            [("v2", &mut self.v2, file.v2), ("v3", &mut self.v3, file.v3), ("tpns", &mut self.tpns, file.tpns)]
        {
            for (key, entry) in entries {
                let refused = || bad(format!("`{key}` under [{name}] is neither a whole number nor a range"));
                table.lay_over(&key, entry).ok_or_else(refused)?;
            }
        }
        Ok(())
    }
}

// === impl Table ===

impl Table {
    fn find(&self, code: i64) -> Option<&Code> {
        let range = || self.ranges.iter().find(|(range, _)| range.contains(&code)).map(|(_, entry)| entry);
        self.single.get(&code).or_else(range)
    }

    /// `None` when the key cannot be read.
    fn lay_over(&mut self, key: &str, entry: Code) -> Option<()> {
        match key.split_once("..") {
            Some((first, last)) => {
                let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
                self.ranges.insert(0, (range, entry));
            }
            None => drop(self.single.insert(key.parse().ok()?, entry)),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(codes: &Codes, flavour: Flavour, code: i64, expected: Class) {
        assert_eq!(codes.of(flavour, code).0, expected, "{} {code}", flavour.name());
    }

    #[test]
    fn the_embedded_tables_read_and_know_every_documented_code() {
        let codes = Codes::embedded().unwrap();
        let listed = |flavour| codes.listed(flavour).count();
        assert_eq!((listed(Flavour::V2), listed(Flavour::V3), listed(Flavour::Tpns)), (31, 30, 23));
        check(&codes, Flavour::V2, -106, Class::Cert);
        check(&codes, Flavour::V2, -3, Class::AuthOrRetry);
        check(&codes, Flavour::V2, 12_345, Class::Unknown);
        for (code, expected) in [
            (10_104, Class::Auth),
            (10_112, Class::Retry),
            (10_115, Class::Bad),
            (10_205, Class::Retry),
            (10_302, Class::Partial),
            (10_400, Class::Retry),
            (10_605, Class::Retry),
            (10_606, Class::Auth),
            (10_799, Class::Retry),
            (10_800, Class::Unknown),
            (11_007, Class::Retry),
        ] {
            check(&codes, Flavour::V3, code, expected);
        }
        for (code, expected) in [
            (1_008_003, Class::AuthOrClock),
            (1_008_006, Class::Token),
            (1_008_021, Class::Cert),
            (1_008_024, Class::Unknown),
            (10_010_018, Class::Ok),
            (10_110_008, Class::NoTarget),
            (40, Class::Unknown),
        ] {
            check(&codes, Flavour::Tpns, code, expected);
        }
    }

    #[test]
    fn a_file_is_laid_over_code_by_code() {
        let mut codes = Codes::embedded().unwrap();
        codes.lay_over("t", "[v2]\n40 = { class = \"retry\" }\n999 = { class = \"bad\", text = \"new\" }").unwrap();
        check(&codes, Flavour::V2, 40, Class::Retry);
        assert_eq!(codes.of(Flavour::V2, 999), (Class::Bad, "new"));
        check(&codes, Flavour::V2, 0, Class::Ok);
        codes.lay_over("t", "[v3]\n\"10400..10499\" = { class = \"bad\" }\n10450 = { class = \"ok\" }").unwrap();
        check(&codes, Flavour::V3, 10_420, Class::Bad);
        check(&codes, Flavour::V3, 10_450, Class::Ok);
        check(&codes, Flavour::V3, 10_500, Class::Retry);
        for key in ["x", "\"1..x\"", "\"..\""] {
            let problem = codes.lay_over("file.toml", &format!("[tpns]\n{key} = {{ class = \"bad\" }}")).unwrap_err();
            let problem = problem.to_string();
            assert!(problem.contains("file.toml") && problem.contains("[tpns]"), "{problem}");
        }
    }
}
