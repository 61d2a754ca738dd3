//! The shape of `[members.NAME]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::{Constant, StoreKind};
use crate::error::ConfigError;

/// `[members.NAME]`: an enumerator. Which keys belong together depends on the kind of the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersConfig {
    /// The store that is asked.
    pub store: String,
    /// Redis: what lies at the key.
    #[serde(rename = "type")]
    pub kind: Option<MembersType>,
    /// Redis: template of the key; `{id}` is the group or topic. Without it the key lists everyone.
    pub key: Option<String>,
    /// Redis set: the most members. It is read whole, so it must be small. Default 100,000.
    pub max: Option<usize>,
    /// SQL: the table, a row per member.
    pub table: Option<String>,
    /// MongoDB: the database; default the one in the store's URL.
    pub database: Option<String>,
    /// MongoDB: the collection, a document per member.
    pub collection: Option<String>,
    /// SQL, MongoDB: the column or field of the group or topic. Without it the table lists everyone.
    pub of: Option<String>,
    /// SQL, MongoDB: the column or field of the member; with `query` the selected column, by default the first.
    pub member: Option<String>,
    /// SQL: with `table`, further columns and what they must equal; with `query`, the values of its named binds.
    #[serde(default, rename = "where")]
    pub constants: BTreeMap<String, Constant>,
    /// SQL: a SELECT of one's own over `:after` and `:limit`, and `:of` where it lists a group or topic.
    pub query: Option<String>,
    /// SQL with `query`: what `:after` is for the first page. By default a value below all others, of the column's type.
    pub first: Option<Constant>,
    /// MongoDB: further conditions on documents, as MongoDB writes them.
    #[serde(default)]
    pub filter: serde_json::Map<String, serde_json::Value>,
}

/// What a Redis enumerator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MembersType {
    /// Read whole.
    Set,
    /// Read in pages by score and member.
    Zset,
}

// === impl MembersConfig ===

impl MembersConfig {
    /// Refuses the keys that mean nothing to this kind of store.
    pub(crate) fn only_for(&self, kind: StoreKind, name: &str) -> Result<(), ConfigError> {
        use StoreKind::{Mongo, Mysql, Postgres, Redis, Sqlite};

        const SQL: &[StoreKind] = &[Mysql, Postgres, Sqlite];
        const TABLES: &[StoreKind] = &[Mysql, Postgres, Sqlite, Mongo];
        let keys: [(&str, bool, &[StoreKind], &str); 12] = [
            ("type", self.kind.is_some(), &[Redis], "Redis"),
            ("key", self.key.is_some(), &[Redis], "Redis"),
            ("max", self.max.is_some(), &[Redis], "Redis"),
            ("table", self.table.is_some(), SQL, "SQL"),
            ("where", !self.constants.is_empty(), SQL, "SQL"),
            ("query", self.query.is_some(), SQL, "SQL"),
            ("first", self.first.is_some(), SQL, "SQL"),
            ("database", self.database.is_some(), &[Mongo], "MongoDB"),
            ("collection", self.collection.is_some(), &[Mongo], "MongoDB"),
            ("filter", !self.filter.is_empty(), &[Mongo], "MongoDB"),
            ("of", self.of.is_some(), TABLES, "SQL and MongoDB"),
            ("member", self.member.is_some(), TABLES, "SQL and MongoDB"),
        ];
        match keys.iter().find(|(_, present, kinds, _)| *present && !kinds.contains(&kind)) {
            Some((key, _, _, whose)) => {
                let reason = format!("is for {whose}; [stores.{}] is not", self.store);
                Err(ConfigError::members(name, key, reason))
            }
            None => Ok(()),
        }
    }
}
