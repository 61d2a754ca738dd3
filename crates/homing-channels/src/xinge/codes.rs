//! Result codes as data: vendors change them, so they stand in `codes.toml` and can be laid over by a file.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use crate::{Error, Result};

const EMBEDDED: &str = include_str!("codes.toml");

/// What a result code means for a message. The reaction to each stands at the head of `codes.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    #[serde(rename = "auth_or_retry")]
    AuthOrRetry,
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
    NoTarget,
    /// Not in the table.
    Unknown,
}

/// The code tables, one per flavour.
#[derive(Clone, Debug)]
pub struct Codes {
    v2: HashMap<i64, Code>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    class: Class,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    v2: HashMap<String, Code>,
}

// === impl Codes ===

impl Codes {
    /// The embedded tables.
    pub fn embedded() -> Result<Self> {
        let mut codes = Self { v2: HashMap::new() };
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

    /// Class and meaning of a v2 code; an unlisted one is [`Class::Unknown`].
    pub fn v2(&self, code: i64) -> (Class, &str) {
        self.v2.get(&code).map_or((Class::Unknown, "not documented"), |code| (code.class, code.text.as_str()))
    }

    /// Every listed v2 code.
    pub fn v2_codes(&self) -> impl Iterator<Item = (i64, Class)> {
        self.v2.iter().map(|(code, entry)| (*code, entry.class))
    }

    fn lay_over(&mut self, origin: &str, text: &str) -> Result<()> {
        let bad = |problem: String| Error::Codes { origin: origin.to_owned(), problem };
        let file: File = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        for (key, entry) in file.v2 {
            let code = key.parse().map_err(|_| bad(format!("`{key}` under [v2] is no whole number")))?;
            self.v2.insert(code, entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_reads_and_knows_every_documented_code() {
        let codes = Codes::embedded().unwrap();
        assert_eq!(codes.v2.len(), 31);
        assert_eq!(codes.v2(-106).0, Class::Cert);
        assert_eq!(codes.v2(-3).0, Class::AuthOrRetry);
        assert_eq!(codes.v2(12_345).0, Class::Unknown);
    }

    #[test]
    fn a_file_is_laid_over_code_by_code() {
        let mut codes = Codes::embedded().unwrap();
        codes.lay_over("t", "[v2]\n40 = { class = \"retry\" }\n999 = { class = \"bad\", text = \"new\" }").unwrap();
        assert_eq!(codes.v2(40).0, Class::Retry);
        assert_eq!(codes.v2(999), (Class::Bad, "new"));
        assert_eq!(codes.v2(0).0, Class::Ok);
        let problem = codes.lay_over("file.toml", "[v2]\nx = { class = \"bad\" }").unwrap_err().to_string();
        assert!(problem.contains("file.toml") && problem.contains("`x`"), "{problem}");
    }
}
