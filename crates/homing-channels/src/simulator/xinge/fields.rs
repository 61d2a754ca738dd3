//! The fields of a JSON body, each with the code that its flavour has for a fault in it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{config::Flavour, order::Refusal};

/// What can be wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be read.
    Unreadable,
    /// A field is not there.
    Missing,
    /// A field is not what it should be.
    Bad,
    /// The message is too long.
    TooLong,
    /// A time is not written as it should be.
    Date,
    /// A list of accounts is empty.
    NoAccount,
    /// Not for several platforms at once.
    OnePlatform,
}

// === impl Fault ===

impl Fault {
    /// (Xinge v3 REST documentation, 2018 edition, "result codes"; TPNS documentation, 548/39080. TPNS has no code for a
    /// message that is too long.)
    fn code(self, flavour: Flavour) -> i64 {
        match (flavour, self) {
            (Flavour::Tpns, Self::Unreadable) => 1_008_001,
            (Flavour::Tpns, Self::Missing | Self::NoAccount) => 1_008_002,
            (Flavour::Tpns, Self::Date) => 1_008_016,
            (Flavour::Tpns, _) => 1_008_007,
            (_, Self::Unreadable) => 10_107,
            (_, Self::Missing) => 10_102,
            (_, Self::Bad | Self::Date) => 10_103,
            (_, Self::TooLong) => 10_117,
            (_, Self::NoAccount) => 10_115,
            (_, Self::OnePlatform) => 10_106,
        }
    }

    pub(super) fn of(self, flavour: Flavour, text: impl Into<String>) -> Refusal {
        Refusal::new(flavour, self.code(flavour), text)
    }
}

/// A body's fields, each still the text that came.
pub(super) struct Fields<'a> {
    pub(super) flavour: Flavour,
    raw: BTreeMap<String, &'a RawValue>,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(super) fn read(flavour: Flavour, body: &'a [u8]) -> Result<Self, Refusal> {
        let raw = serde_json::from_slice(body);
        let raw = raw.map_err(|error| Fault::Unreadable.of(flavour, format!("the body is no JSON object: {error}")))?;
        Ok(Self { flavour, raw })
    }

    pub(super) fn refuse<T>(&self, fault: Fault, text: impl Into<String>) -> Result<T, Refusal> {
        Err(fault.of(self.flavour, text))
    }

    /// The field's own text; `null` is as if it were not there.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.raw.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null")
    }

    pub(super) fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Refusal> {
        match self.raw(name).map(serde_json::from_str) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => self.refuse(Fault::Bad, format!("{name}: {error}")),
        }
    }

    pub(super) fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, Refusal> {
        self.optional(name)?.ok_or_else(|| Fault::Missing.of(self.flavour, format!("{name} is missing")))
    }

    /// A list of texts that are not empty, 1 to `most`.
    pub(super) fn list(&self, name: &str, most: usize, empty: Fault) -> Result<Vec<String>, Refusal> {
        let list: Vec<String> = self.optional(name)?.unwrap_or_default();
        if list.is_empty() {
            return self.refuse(empty, format!("{name} is missing or empty"));
        }
        if list.len() > most {
            return self.refuse(Fault::Bad, format!("{name} has {} entries, {most} pass", list.len()));
        }
        Ok(list)
    }
}
