//! The shapes of `[stores.NAME]`, `[lookup.NAME]`, `[members.NAME]` and `[source.NAME]`.
//!
//! Here is only what can be read; what fits together (a SQL key on a Redis store, an unknown column) is checked by
//! [`build`](crate::build), which names the table and the key.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::error::ConfigError;
pub use crate::members_config::{MembersConfig, MembersType};
pub use crate::registry::config::RegistryConfig;

/// Everything this crate reads of the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoresConfig {
    /// `[stores.NAME]`: servers of the installation.
    #[serde(default)]
    pub stores: BTreeMap<String, StoreConfig>,
    /// `[lookup.NAME]`: facts about users and groups.
    #[serde(default)]
    pub lookup: BTreeMap<String, LookupConfig>,
    /// `[members.NAME]`: who belongs to a group, follows a topic, is a user.
    #[serde(default)]
    pub members: BTreeMap<String, MembersConfig>,
    /// `[source.NAME]`: collections of chats.
    #[serde(default)]
    pub source: BTreeMap<String, SourceConfig>,
    /// `[registry]`: users' devices in tables of Homing's own.
    pub registry: Option<RegistryConfig>,
}

/// `[stores.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Which server speaks there.
    pub kind: StoreKind,
    /// Where it is, with user and password: never printed.
    pub url: SecretString,
    /// The most that one call may take, connecting included: `"500ms"`. Default 1 s, for MongoDB 5 s.
    #[serde(default, with = "homing_core::duration::option")]
    pub timeout: Option<Duration>,
    /// SQL: sessions that look up are read-only by the server's own word.
    #[serde(default = "yes")]
    pub read_only: bool,
    /// May a lookup's `invalidate` write here? It gets sessions of its own.
    #[serde(default)]
    pub allow_write: bool,
    /// SQL: the most connections for looking up. Default 4.
    pub pool: Option<u32>,
    /// MySQL: `mysql55` leaves out of a session what such old servers do not know.
    pub compat: Option<Compat>,
    /// HTTP: sent as a Bearer token: never printed.
    pub token: Option<SecretString>,
}

/// Servers that need to be treated gently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// MySQL 5.1 to 5.5: `utf8`, no time zone and mode of the session, no read-only sessions, no kept statements.
    Mysql55,
}

/// Servers that this version speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Redis, one server.
    Redis,
    /// MySQL or MariaDB.
    #[serde(alias = "mariadb")]
    Mysql,
    /// PostgreSQL 12 or newer.
    #[serde(alias = "postgresql")]
    Postgres,
    /// A SQLite file.
    Sqlite,
    /// MongoDB 4.4 or newer.
    #[serde(alias = "mongodb")]
    Mongo,
    /// A service of the installation that answers questions in JSON.
    Http,
}

/// `[lookup.NAME]`. Which keys belong together depends on the kind of the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupConfig {
    /// The store that is asked.
    pub store: String,
    /// Redis: what lies at the key.
    #[serde(rename = "type")]
    pub kind: Option<RedisType>,
    /// Redis: template of the key.
    pub key: Option<String>,
    /// Redis: template of the member (set, zset) or of the offset (bitmap).
    pub member: Option<String>,
    /// Redis hash: one field; it becomes the column `value`.
    pub field: Option<String>,
    /// Redis hash: fields as a list, or as a table of column to field.
    pub fields: Option<Fields>,
    /// Redis string, or one field of a hash: how the text there is written.
    pub decode: Option<Decode>,
    /// Redis with `decode`: the way to the part that is read, `user.devices`.
    pub path: Option<String>,
    /// SQL: the table.
    pub table: Option<String>,
    /// SQL: a template of the table, where the ids are spread over several: `t_account_{user_id%16}`.
    pub shard: Option<String>,
    /// MongoDB: the database; default the one in the store's URL.
    pub database: Option<String>,
    /// MongoDB: the collection.
    pub collection: Option<String>,
    /// MongoDB: further conditions on documents, as MongoDB writes them.
    #[serde(default)]
    pub filter: serde_json::Map<String, serde_json::Value>,
    /// SQL: the column that holds the id. MongoDB: the field, by default `_id`. HTTP: the key, by default `user_id`
    /// or `id`.
    pub id: Option<String>,
    /// SQL, MongoDB, HTTP: a table of our column to theirs; elsewhere than in SQL a path such as `user.nick`.
    pub columns: Option<BTreeMap<String, String>>,
    /// SQL: with `table`, further columns and what they must equal; with `query`, the values of its named binds.
    #[serde(default, rename = "where")]
    pub constants: BTreeMap<String, Constant>,
    /// SQL: a SELECT of one's own over `:user_ids`.
    pub query: Option<String>,
    /// SQL: the column of `query` that holds the id.
    pub row_key: Option<String>,
    /// Takes a dead token out. SQL: a statement over `:user` and `:token`. MongoDB: `delete`, or an update in JSON. HTTP:
    /// `post`. Redis: `delete`.
    pub invalidate: Option<String>,
    /// Redis: the key of a user goes when a message is the last that he is to get.
    #[serde(default)]
    pub clean: bool,
    /// A table of our column to what the provider calls it: `{ token = "value" }`.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Columns that every row has, with their values: `{ platform = "ios" }`.
    #[serde(default)]
    pub constant: BTreeMap<String, String>,
    /// Expression over the first row; true = the message goes on. Without it a row is enough.
    pub accept: Option<String>,
    /// The verdict on a subject without rows.
    #[serde(default)]
    pub on_missing: OnMissing,
    /// What happens when the store is down.
    #[serde(default)]
    pub on_error: OnError,
    /// How long an answer may be reused: `"60s"`; zero = never.
    #[serde(default, with = "homing_core::duration")]
    pub cache: Duration,
    /// Per column, raw values and what they mean here; others, and absent ones, are what `"*"` says, or stay as they are.
    #[serde(default)]
    pub map: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a Redis lookup reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisType {
    /// GET: the text is `value`.
    String,
    /// GET, decoded as JSON.
    Json,
    /// HGET: fields are columns.
    Hash,
    /// SISMEMBER: a member has `value` 1, others have no row.
    Set,
    /// ZSCORE: the score is `value`.
    Zset,
    /// GETBIT: a set bit is `value` 1; a clear bit is no row.
    Bitmap,
    /// EXISTS: an existing key is `value` 1, a missing one no row.
    Exists,
}

/// How a text is written that is more than a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decode {
    /// JSON.
    Json,
    /// PHP `serialize`.
    Php,
}

/// Fields of a hash, or of what was decoded.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "fields as a list, or as a table of column to field")]
pub enum Fields {
    /// Each field is a column of the same name.
    List(Vec<String>),
    /// Column to field.
    Table(BTreeMap<String, String>),
}

/// A constant of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a constant: text, a whole number, true or false")]
pub enum Constant {
    /// 1 or 0.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

/// The verdict on a subject without rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMissing {
    /// The message goes on.
    Allow,
    /// It does not.
    #[default]
    Deny,
}

/// What happens when the store is down. An outage must become neither spam nor silence, so there is one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The lane waits and tries again.
    #[default]
    Retry,
}

/// `[source.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The kind of the source.
    pub kind: SourceKind,
    /// The store that is read.
    pub store: String,
    /// The database; default the one in the store's URL.
    pub database: Option<String>,
    /// The collection, or a template of its names by time (`chats_{yyyyMM}`); `{yyyy}`, `{MM}`, `{dd}` and separators.
    pub collection: String,
    /// The order in which chats are read.
    pub cursor: CursorConfig,
    /// Where the parts of a chat are.
    pub fields: ChatFields,
    /// Further conditions on documents, as MongoDB writes them (extended JSON for other types: `{ "$oid" = "..." }`).
    #[serde(default)]
    pub filter: serde_json::Map<String, serde_json::Value>,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A MongoDB collection.
    #[serde(alias = "mongodb")]
    Mongo,
}

/// The order of a source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorConfig {
    /// The field that grows.
    pub field: String,
    /// Its type. MongoDB compares only within a type: a wrong one here would match nothing.
    #[serde(rename = "type")]
    pub kind: CursorType,
    /// The unique field that orders documents of equal `field`.
    #[serde(default = "underscore_id")]
    pub tie: String,
    /// A document may appear so late, behind others that are newer, and is still found. Default 60 s.
    #[serde(default = "minute", with = "homing_core::duration")]
    pub overlap: Duration,
}

/// Types of a cursor field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CursorType {
    /// Text of seconds since 1970, such as `str(time.time())`.
    StringSeconds,
    /// A number of seconds since 1970.
    Seconds,
    /// A number of milliseconds since 1970.
    Millis,
    /// A BSON date.
    Date,
    /// An ObjectId.
    Objectid,
}

/// Paths (`user.user_id`) of the parts of a chat.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatFields {
    /// Its identity.
    #[serde(default = "underscore_id")]
    pub id: String,
    /// The conversation: the group's id, or the pair's. Private chats need none; they need `to`.
    #[serde(alias = "group")]
    pub conversation: Option<String>,
    /// Of private chats: for whom it is.
    #[serde(alias = "recipient")]
    pub to: Option<String>,
    /// Who wrote it.
    #[serde(alias = "sender")]
    pub author: String,
    /// The source's own message type; without it every chat is of type 0.
    #[serde(rename = "type", alias = "kind")]
    pub kind: Option<String>,
    /// Its number in the conversation.
    pub seq: Option<String>,
    /// Text, or an object.
    pub body: String,
}

// === impl LookupConfig ===

impl LookupConfig {
    /// Refuses the keys that mean nothing to this kind of store.
    pub(crate) fn only_for(&self, kind: StoreKind, name: &str) -> Result<(), ConfigError> {
        use StoreKind::{Http, Mongo, Mysql, Postgres, Redis, Sqlite};

        const SQL: &[StoreKind] = &[Mysql, Postgres, Sqlite];
        let keys: [(&str, bool, &[StoreKind], &str); 18] = [
            ("clean", self.clean, &[Redis], "Redis"),
            ("type", self.kind.is_some(), &[Redis], "Redis"),
            ("key", self.key.is_some(), &[Redis], "Redis"),
            ("member", self.member.is_some(), &[Redis], "Redis"),
            ("field", self.field.is_some(), &[Redis], "Redis"),
            ("fields", self.fields.is_some(), &[Redis], "Redis"),
            ("decode", self.decode.is_some(), &[Redis], "Redis"),
            ("path", self.path.is_some(), &[Redis], "Redis"),
            ("table", self.table.is_some(), SQL, "SQL"),
            ("shard", self.shard.is_some(), SQL, "SQL"),
            ("where", !self.constants.is_empty(), SQL, "SQL"),
            ("query", self.query.is_some(), SQL, "SQL"),
            ("row_key", self.row_key.is_some(), SQL, "SQL"),
            ("database", self.database.is_some(), &[Mongo], "MongoDB"),
            ("collection", self.collection.is_some(), &[Mongo], "MongoDB"),
            ("filter", !self.filter.is_empty(), &[Mongo], "MongoDB"),
            ("id", self.id.is_some(), &[Mysql, Postgres, Sqlite, Mongo, Http], "SQL, MongoDB and HTTP"),
            ("columns", self.columns.is_some(), &[Mysql, Postgres, Sqlite, Mongo, Http], "SQL, MongoDB and HTTP"),
        ];
        match keys.iter().find(|(_, present, kinds, _)| *present && !kinds.contains(&kind)) {
            Some((key, _, _, whose)) => {
                let reason = format!("is for {whose}; [stores.{}] is not", self.store);
                Err(ConfigError::lookup(name, key, reason))
            }
            None => Ok(()),
        }
    }
}

fn yes() -> bool {
    true
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn underscore_id() -> String {
    "_id".to_owned()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
