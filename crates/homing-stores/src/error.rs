//! What can be wrong with the configuration of stores, lookups, enumerators and sources.

/// A mistake in `[stores]`, `[lookup]` or `[source]`: which table, which key, and what to do. No text of a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// In `[stores.NAME]`.
    #[error("[stores.{name}] {key}: {reason}")]
    Store {
        /// The store.
        name: String,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// In `[lookup.NAME]`.
    #[error("[lookup.{name}] {key}: {reason}")]
    Lookup {
        /// The lookup.
        name: String,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// In a template of `[lookup.NAME]`, at a character counted from 1.
    #[error("[lookup.{name}] {key}: at character {position}: {reason}")]
    Template {
        /// The lookup.
        name: String,
        /// The key.
        key: String,
        /// Character in the template, from 1.
        position: usize,
        /// What is wrong.
        reason: String,
    },
    /// In a statement of `[lookup.NAME]`, at a character counted from 1.
    #[error("[lookup.{name}] {key}: at character {position}: {reason}")]
    Statement {
        /// The lookup.
        name: String,
        /// `query` or `invalidate`.
        key: String,
        /// Character in the statement, from 1.
        position: usize,
        /// What is wrong.
        reason: String,
    },
    /// In the `accept` expression of `[lookup.NAME]`.
    #[error("[lookup.{name}] accept: line {line}, column {column}: {reason}")]
    Expression {
        /// The lookup.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// In `[members.NAME]`.
    #[error("[members.{name}] {key}: {reason}")]
    Members {
        /// The enumerator.
        name: String,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// In `[registry]`.
    #[error("[registry] {key}: {reason}")]
    Registry {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// In `[source.NAME]`.
    #[error("[source.{name}] {key}: {reason}")]
    Source {
        /// The source.
        name: String,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// A mistake at a character of a template or a statement, before the lookup's name is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misplaced {
    /// Character, from 1.
    pub(crate) position: usize,
    /// What is wrong.
    pub(crate) reason: String,
}

// === impl ConfigError ===

impl ConfigError {
    pub(crate) fn store(name: &str, key: &str, reason: impl Into<String>) -> Self {
        Self::Store { name: name.to_owned(), key: key.to_owned(), reason: reason.into() }
    }

    pub(crate) fn lookup(name: &str, key: &str, reason: impl Into<String>) -> Self {
        Self::Lookup { name: name.to_owned(), key: key.to_owned(), reason: reason.into() }
    }

    pub(crate) fn template(name: &str, key: &str, at: Misplaced) -> Self {
        Self::Template { name: name.to_owned(), key: key.to_owned(), position: at.position, reason: at.reason }
    }

    pub(crate) fn statement(name: &str, key: &str, at: Misplaced) -> Self {
        Self::Statement { name: name.to_owned(), key: key.to_owned(), position: at.position, reason: at.reason }
    }

    pub(crate) fn members(name: &str, key: &str, reason: impl Into<String>) -> Self {
        Self::Members { name: name.to_owned(), key: key.to_owned(), reason: reason.into() }
    }

    /// A template or statement of `[members.NAME]`.
    pub(crate) fn misplaced_members(name: &str, key: &str, at: Misplaced) -> Self {
        Self::members(name, key, format!("at character {}: {}", at.position, at.reason))
    }

    pub(crate) fn registry(key: &str, reason: impl Into<String>) -> Self {
        Self::Registry { key: key.to_owned(), reason: reason.into() }
    }

    pub(crate) fn source(name: &str, key: &str, reason: impl Into<String>) -> Self {
        Self::Source { name: name.to_owned(), key: key.to_owned(), reason: reason.into() }
    }
}

// === impl Misplaced ===

impl Misplaced {
    pub(crate) fn new(position: usize, reason: impl Into<String>) -> Self {
        Self { position, reason: reason.into() }
    }
}
