//! A lookup in Redis: the rows of many ids in one round trip.
//!
//! ```text
//! string   MGET key key ...                          value = the text
//! hash     HMGET key field ... per id, pipelined     the fields that exist; none of them = no row
//! set      SMISMEMBER key member ...                 value = 1, or no row
//! zset     ZMSCORE key member ...                    value = the score, or no row
//! bitmap   GETBIT key offset per id, pipelined       value = 1, or no row (a clear bit and a missing key look alike)
//! exists   EXISTS key per id, pipelined              value = 1, or no row
//! json     as string, and then decoded
//! ```
//!
//! A string, or one field of a hash, may hold JSON or PHP's `serialize`; see `decode`. One that cannot be read counts as
//! missing and is logged.
//!
//! Where the key of a set or zset depends on the id, and on servers before 6.2, it is SISMEMBER or ZSCORE per id,
//! pipelined. A key of another type than the configured one counts as missing (MGET says so itself) and is logged; if
//! the key is the same for all ids, it is an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use homing_core::lookup::Row;
use redis::{Pipeline, RedisError, RedisResult, ServerErrorKind, Value, pipe};

use crate::config::{Fields, LookupConfig, RedisType, StoreKind};
use crate::decode::{Decoder, VALUE};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::lookup::Told;
use crate::redis_store::RedisStore;
use crate::shorten;
use crate::template::Template;

/// A bitmap ends here.
const MAX_OFFSET: u64 = 1 << 32;

/// Looks for a sample key, of about a thousand keys each.
const SCANS: usize = 10;

/// The provider of one lookup.
pub(crate) struct RedisLookup {
    name: String,
    store: Arc<RedisStore>,
    kind: RedisType,
    key: Template,
    member: Option<Template>,
    /// Column and field of a hash.
    fields: Vec<(String, String)>,
    decoder: Option<Decoder>,
    /// How a dead token goes.
    invalidate: Option<Invalidate>,
    clean: bool,
    /// The server knows neither SMISMEMBER nor ZMSCORE.
    old: AtomicBool,
}

/// What holds the token.
enum Invalidate {
    /// This field of a hash.
    Field(String),
    /// The text itself.
    Text,
}

/// A token goes only while it is still that one: the app may have written another since it was read.
const FORGET_FIELD: &str = "if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[1] then \
                            return redis.call('HDEL', KEYS[1], ARGV[2]) else return 0 end";
const FORGET_TEXT: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

/// Where to ask for one id.
struct Place {
    key: String,
    member: String,
}

// === impl RedisLookup ===

impl RedisLookup {
    pub(crate) fn new(name: &str, config: &LookupConfig, store: Arc<RedisStore>) -> Result<Self, ConfigError> {
        use RedisType::{Bitmap, Exists, Hash, Json, Set, String as Text, Zset};

        let wrong = |key: &str, reason: &str| ConfigError::lookup(name, key, reason);
        config.only_for(StoreKind::Redis, name)?;
        let kind =
            config.kind.ok_or_else(|| wrong("type", "is missing: string, json, hash, set, zset, bitmap or exists"))?;
        let template = |key: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Template::parse(text).map(Some).map_err(|at| ConfigError::template(name, key, at)),
        };
        let key = template("key", &config.key)?
            .ok_or_else(|| wrong("key", "is missing: a template such as login:{user_id}"))?;
        let member = template("member", &config.member)?;
        match (kind, &member) {
            (Set | Zset | Bitmap, None) => return Err(wrong("member", "is missing: a template such as {user_id}")),
            (Text | Json | Hash | Exists, Some(_)) => return Err(wrong("member", "is for set, zset and bitmap")),
            _ if key.has_id() || member.as_ref().is_some_and(Template::has_id) => {}
            _ => return Err(wrong("key", "does not depend on the id; write {user_id} where it belongs")),
        }
        let decoder = Decoder::new(config).map_err(|(key, reason)| wrong(key, reason))?;
        let fields = match (&config.field, &config.fields) {
            (Some(field), _) if decoder.is_some() => vec![(VALUE.to_owned(), field.clone())],
            _ if decoder.is_some() => Vec::new(),
            (None, None) if kind == Hash => return Err(wrong("field", "is missing: a hash needs `field` or `fields`")),
            (None, None) => Vec::new(),
            _ if kind != Hash => return Err(wrong("field", "is for type hash")),
            (Some(_), Some(_)) => return Err(wrong("fields", "stands beside `field`; one of them is enough")),
            (Some(field), None) => vec![(VALUE.to_owned(), field.clone())],
            (None, Some(Fields::List(list))) => list.iter().map(|field| (field.clone(), field.clone())).collect(),
            (None, Some(Fields::Table(table))) => table.clone().into_iter().collect(),
        };
        if kind == Hash && fields.is_empty() {
            return Err(wrong("fields", "is empty"));
        }
        let theirs = config.rename.get("token").map_or("token", String::as_str);
        let held = fields.iter().find(|(column, _)| column == theirs).map(|(_, field)| field.clone());
        let invalidate = match (config.invalidate.as_deref(), held) {
            (None, _) => None,
            (Some("delete"), _) if !store.allow_write => {
                return Err(wrong("invalidate", &format!("needs allow_write = true in [stores.{}]", store.name())));
            }
            (Some("delete"), _) if decoder.is_some() => {
                return Err(wrong("invalidate", "cannot change what is decoded; keep tokens in fields of a hash"));
            }
            (Some("delete"), Some(field)) if kind == Hash => Some(Invalidate::Field(field)),
            (Some("delete"), _) if kind == Text && theirs == VALUE && key.has_id() => Some(Invalidate::Text),
            (Some("delete"), _) => {
                let reason = "needs the token in a field of a hash, fields = { token = \"...\" }, or in a string of the \
                              user's own, rename = { token = \"value\" }";
                return Err(wrong("invalidate", reason));
            }
            (Some(_), _) => return Err(wrong("invalidate", "is \"delete\"")),
        };
        if config.clean {
            match kind {
                _ if !store.allow_write => {
                    return Err(wrong("clean", &format!("needs allow_write = true in [stores.{}]", store.name())));
                }
                Hash | Text | Json if key.has_id() => {}
                _ => return Err(wrong("clean", "is for a hash, string or json whose key is the user's own")),
            }
        }
        let (name, old, clean) = (name.to_owned(), AtomicBool::new(false), config.clean);
        Ok(Self { name, store, kind, key, member, fields, decoder, invalidate, clean, old })
    }

    /// Takes a token out, if that is allowed and it is still there.
    pub(crate) async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        let (Some(invalidate), Some(place)) = (&self.invalidate, self.place(user)) else { return Ok(false) };
        let mut pipe = pipe();
        match invalidate {
            Invalidate::Field(field) => pipe.cmd("EVAL").arg(FORGET_FIELD).arg(1).arg(&place.key).arg(token).arg(field),
            Invalidate::Text => pipe.cmd("EVAL").arg(FORGET_TEXT).arg(1).arg(&place.key).arg(token),
        };
        self.removed(&pipe).await
    }

    /// Removes all that is at the user's key, if that is allowed.
    pub(crate) async fn clean(&self, user: &str) -> Result<bool, Failure> {
        let Some(place) = self.place(user).filter(|_| self.clean) else { return Ok(false) };
        let mut pipe = pipe();
        pipe.cmd("DEL").arg(&place.key);
        self.removed(&pipe).await
    }

    async fn removed(&self, pipe: &Pipeline) -> Result<bool, Failure> {
        match self.store.ask(pipe.clone().ignore_errors()).await?.into_iter().next() {
            Some(Ok(Value::Int(n))) => Ok(n > 0),
            Some(Ok(other)) => Err(self.strange(&other)),
            // The key holds something else than it did.
            Some(Err(error)) if is_wrong_type(&error) => Ok(false),
            Some(Err(error)) => Err(self.refused(error)),
            None => Ok(false),
        }
    }

    pub(crate) fn store_name(&self) -> &str {
        self.store.name()
    }

    /// The columns that rows can have.
    pub(crate) fn columns(&self) -> Vec<String> {
        if let Some(decoder) = &self.decoder {
            decoder.columns()
        } else if self.kind == RedisType::Hash {
            self.fields.iter().map(|(column, _)| column.clone()).collect()
        } else {
            vec![VALUE.to_owned()]
        }
    }

    /// A key that is there and holds another type than the lookup reads: the key and both types. Of keys with an id one
    /// is looked for, not for long.
    pub(crate) async fn wrong_type(&self) -> Result<Option<String>, Failure> {
        let expected = match self.kind {
            RedisType::String | RedisType::Json | RedisType::Bitmap => "string",
            RedisType::Hash => "hash",
            RedisType::Set => "set",
            RedisType::Zset => "zset",
            RedisType::Exists => return Ok(None),
        };
        let key = if self.key.has_id() { self.sample().await? } else { self.key.render("0") };
        let Some(key) = key else { return Ok(None) };
        let found = self.store.ask(pipe().cmd("TYPE").arg(&key).ignore_errors()).await?.into_iter().next();
        Ok(match found {
            Some(Ok(Value::SimpleString(found))) if found != expected && found != "none" => Some(format!(
                "the key {key} holds a {found}, but the lookup reads a {expected}: change `type` or `key`"
            )),
            _ => None,
        })
    }

    /// A key that fits the template, if one turns up among the first few.
    async fn sample(&self) -> Result<Option<String>, Failure> {
        let mut cursor = "0".to_owned();
        for _ in 0..SCANS {
            let mut pipe = pipe();
            pipe.cmd("SCAN").arg(&cursor).arg("MATCH").arg(self.key.pattern()).arg("COUNT").arg(1_000);
            let answer = self.store.ask(pipe.ignore_errors()).await?.into_iter().next();
            let Some(Ok(Value::Array(mut parts))) = answer else { return Ok(None) };
            let (Some(Value::Array(keys)), Some(next)) = (parts.pop(), parts.pop()) else { return Ok(None) };
            if let Some(Value::BulkString(key)) = keys.into_iter().next() {
                return Ok(String::from_utf8(key).ok());
            }
            cursor = self.text(next)?.unwrap_or_default();
            if cursor == "0" || cursor.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// The rows of distinct ids, in their order.
    pub(crate) async fn rows(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let places: Vec<Option<Place>> = ids.iter().map(|id| self.place(id)).collect();
        let asked: Vec<&Place> = places.iter().flatten().collect();
        if asked.is_empty() {
            return Ok(vec![Vec::new(); ids.len()]);
        }
        let mut answers = self.ask(&asked).await?.into_iter();
        let rows = places.iter().map(|place| match place {
            Some(place) => self.row(place, answers.next()),
            None => Ok(Vec::new()),
        });
        rows.collect()
    }

    /// Asks for one id and shows how.
    pub(crate) async fn explain(&self, id: &str) -> Result<Told, Failure> {
        let Some(place) = self.place(id) else {
            return Ok(Told::nothing(format!("nothing: the id {id} has no place in the key")));
        };
        let mut pipe = pipe();
        self.command(&mut pipe, &place);
        let asked = self.shown(&place);
        let answer = self.store.ask(pipe.ignore_errors()).await?.into_iter().next();
        let raw = self.raw(answer.as_ref());
        Ok(Told { asked, raw, rows: self.row(&place, answer)? })
    }

    /// The command as a person would type it.
    fn shown(&self, place: &Place) -> String {
        let word = |text: &str| match text {
            text if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"') => text.to_owned(),
            text => format!("{text:?}"),
        };
        let (name, more) = match self.kind {
            RedisType::String | RedisType::Json => ("GET", Vec::new()),
            RedisType::Hash => ("HMGET", self.fields.iter().map(|(_, field)| word(field)).collect()),
            RedisType::Set => ("SISMEMBER", vec![word(&place.member)]),
            RedisType::Zset => ("ZSCORE", vec![word(&place.member)]),
            RedisType::Bitmap => ("GETBIT", vec![word(&place.member)]),
            RedisType::Exists => ("EXISTS", Vec::new()),
        };
        [vec![name.to_owned(), word(&place.key)], more].concat().join(" ")
    }

    /// The answer as text, tokens cut to their ends.
    fn raw(&self, answer: Option<&RedisResult<Value>>) -> String {
        let named = |index: usize, value: &Value| {
            let (column, field) = self.fields.get(index).map_or((VALUE, ""), |(a, b)| (a.as_str(), b.as_str()));
            let names = [column, field, if self.decoder.is_some() { "" } else { self.name.as_str() }];
            match value {
                Value::Nil => "(nil)".to_owned(),
                Value::BulkString(bytes) => {
                    let text = String::from_utf8_lossy(bytes);
                    if self.decoder.is_some() { shorten::text(&text) } else { shorten::value(&names, &text) }
                }
                Value::SimpleString(text) => text.clone(),
                Value::Int(n) => n.to_string(),
                Value::Double(n) => n.to_string(),
                other => format!("{other:?}"),
            }
        };
        match answer {
            None => "(nil)".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(Value::Array(values))) => {
                let cells = values.iter().enumerate();
                let field = |index: usize| self.fields.get(index).map_or("", |(_, field)| field.as_str());
                cells.map(|(n, value)| format!("{}={}", field(n), named(n, value))).collect::<Vec<_>>().join(" ")
            }
            Some(Ok(value)) => named(0, value),
        }
    }

    fn place(&self, id: &str) -> Option<Place> {
        let member = self.member.as_ref().map_or(Some(String::new()), |member| member.render(id))?;
        if self.kind == RedisType::Bitmap && member.parse::<u64>().ok().is_none_or(|offset| offset >= MAX_OFFSET) {
            return None;
        }
        Some(Place { key: self.key.render(id)?, member })
    }

    /// One answer per place, in one round trip.
    async fn ask(&self, places: &[&Place]) -> Result<Vec<RedisResult<Value>>, Failure> {
        if let Some(pipe) = self.one_command(places) {
            let answer = self.store.ask(&pipe).await?.into_iter().next();
            match answer.unwrap_or(Ok(Value::Nil)) {
                Ok(Value::Array(values)) if values.len() == places.len() => {
                    return Ok(values.into_iter().map(Ok).collect());
                }
                Ok(other) => return Err(self.strange(&other)),
                Err(error) if is_unknown_command(&error) => self.old.store(true, Ordering::Relaxed),
                Err(error) => return Err(self.refused(error)),
            }
        }
        let mut pipe = pipe();
        for place in places {
            self.command(&mut pipe, place);
        }
        let answers = self.store.ask(pipe.ignore_errors()).await?;
        if answers.len() == places.len() {
            Ok(answers)
        } else {
            let reason = format!("{} answers came for {} questions", answers.len(), places.len());
            Err(Failure::contradiction(self.store.name(), reason))
        }
    }

    /// The command that asks for all of them at once, where there is one.
    fn one_command(&self, places: &[&Place]) -> Option<Pipeline> {
        let mut pipe = pipe();
        let shared = !self.key.has_id() && !self.old.load(Ordering::Relaxed);
        let name = match self.kind {
            RedisType::String | RedisType::Json => {
                pipe.cmd("MGET").arg(places.iter().map(|place| place.key.as_str()).collect::<Vec<_>>());
                pipe.ignore_errors();
                return Some(pipe);
            }
            RedisType::Set if shared => "SMISMEMBER",
            RedisType::Zset if shared => "ZMSCORE",
            _ => return None,
        };
        let members = places.iter().map(|place| place.member.as_str()).collect::<Vec<_>>();
        pipe.cmd(name).arg(&places.first()?.key).arg(members);
        pipe.ignore_errors();
        Some(pipe)
    }

    fn command(&self, pipe: &mut Pipeline, place: &Place) {
        let Place { key, member } = place;
        match self.kind {
            RedisType::String | RedisType::Json => pipe.cmd("GET").arg(key),
            RedisType::Hash => {
                pipe.cmd("HMGET").arg(key).arg(self.fields.iter().map(|(_, field)| field).collect::<Vec<_>>())
            }
            RedisType::Set => pipe.cmd("SISMEMBER").arg(key).arg(member),
            RedisType::Zset => pipe.cmd("ZSCORE").arg(key).arg(member),
            RedisType::Bitmap => pipe.cmd("GETBIT").arg(key).arg(member),
            RedisType::Exists => pipe.cmd("EXISTS").arg(key),
        };
    }

    fn row(&self, place: &Place, answer: Option<RedisResult<Value>>) -> Result<Vec<Row>, Failure> {
        let (lookup, key) = (&self.name, &place.key);
        let value = match answer.unwrap_or(Ok(Value::Nil)) {
            Ok(value) => value,
            Err(error) if is_wrong_type(&error) && self.key.has_id() => {
                tracing::warn!(lookup, key, "The key holds another type than configured, so it counts as missing.");
                return Ok(Vec::new());
            }
            Err(error) => return Err(self.refused(error)),
        };
        if let Some(decoder) = &self.decoder {
            let bytes = match value {
                Value::Array(values) => values.into_iter().next().unwrap_or(Value::Nil),
                value => value,
            };
            return match bytes {
                Value::Nil => Ok(Vec::new()),
                Value::BulkString(bytes) => Ok(decoder.rows(&bytes).unwrap_or_else(|error| {
                    tracing::warn!(lookup, key, error, "The value cannot be decoded, so it counts as missing.");
                    Vec::new()
                })),
                other => Err(self.strange(&other)),
            };
        }
        if self.kind == RedisType::Hash {
            let Value::Array(values) = value else { return Err(self.strange(&value)) };
            let mut row = Row::new();
            for ((column, _), value) in self.fields.iter().zip(values) {
                if let Some(text) = self.text(value)? {
                    row.insert(column.clone(), text);
                }
            }
            return Ok(Some(row).filter(|row| !row.is_empty()).into_iter().collect());
        }
        let text = self.text(value)?;
        let flag = matches!(self.kind, RedisType::Set | RedisType::Bitmap | RedisType::Exists);
        let text = if flag { text.filter(|text| text != "0").map(|_| "1".to_owned()) } else { text };
        Ok(text.map(|text| Row::from([(VALUE.to_owned(), text)])).into_iter().collect())
    }

    fn text(&self, value: Value) -> Result<Option<String>, Failure> {
        Ok(Some(match value {
            Value::Nil => return Ok(None),
            Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::SimpleString(text) => text,
            Value::Int(n) => n.to_string(),
            Value::Double(n) => n.to_string(),
            Value::Boolean(yes) => u8::from(yes).to_string(),
            other => return Err(self.strange(&other)),
        }))
    }

    fn refused(&self, error: RedisError) -> Failure {
        Failure::driver(self.store.name(), error)
    }

    fn strange(&self, value: &Value) -> Failure {
        let kind = match value {
            Value::ServerError(error) => error.to_string(),
            Value::Array(values) => format!("an array of {}", values.len()),
            _ => "something else".to_owned(),
        };
        Failure::contradiction(self.store.name(), format!("answers with {kind} to a lookup of type {:?}", self.kind))
    }
}

fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

fn is_unknown_command(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}
