//! A lookup behind a service of the installation: a question in JSON, an answer in JSON.
//!
//! ```text
//! POST url  {"lookup":"account","user_ids":["1","2"]}
//! 200       [{"user_id":"1","push_status":1,"nick":"ann"}]             any order; who is not in it has no rows
//! POST url  {"lookup":"tokens","forget":{"user_id":"1","token":"..."}}  where invalidate = "post"
//! 200       {"forgotten":true}
//! ```
//!
//! Values become text as they do elsewhere: numbers in decimal, `true` and `false`, null is absent, objects and lists as
//! JSON.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use homing_core::lookup::Row;
use serde_json::{Value, json};

use crate::config::{LookupConfig, StoreKind};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::http_store::HttpStore;
use crate::lookup::Told;
use crate::shorten;

/// Ids in one question.
const MOST: usize = 1_000;

/// The provider of one lookup.
pub(crate) struct HttpLookup {
    name: String,
    store: Arc<HttpStore>,
    /// The key of a row's id; without it `user_id` or `id`.
    id: Option<String>,
    /// Our column and their path; without any, all keys are columns.
    columns: Vec<(String, String)>,
    invalidate: bool,
}

// === impl HttpLookup ===

impl HttpLookup {
    pub(crate) fn new(name: &str, config: &LookupConfig, store: Arc<HttpStore>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: String| ConfigError::lookup(name, key, reason);
        config.only_for(StoreKind::Http, name)?;
        let invalidate = match config.invalidate.as_deref() {
            None => false,
            Some("post") if store.allow_write => true,
            Some("post") => {
                return Err(wrong("invalidate", format!("needs allow_write = true in [stores.{}]", store.name())));
            }
            Some(_) => return Err(wrong("invalidate", "is \"post\": the service is told".to_owned())),
        };
        let columns = config.columns.clone().unwrap_or_default().into_iter().collect();
        Ok(Self { name: name.to_owned(), store, id: config.id.clone(), columns, invalidate })
    }

    pub(crate) fn store_name(&self) -> &str {
        self.store.name()
    }

    /// The columns that rows can have, where they are configured.
    pub(crate) fn columns(&self) -> Option<Vec<String>> {
        (!self.columns.is_empty()).then(|| self.columns.iter().map(|(column, _)| column.clone()).collect())
    }

    /// The rows of distinct ids, in their order.
    pub(crate) async fn rows(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut found: HashMap<String, Vec<Row>> = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(MOST) {
            let body = self.store.post(&self.question(chunk)).await?;
            let asked: HashSet<&str> = chunk.iter().copied().collect();
            for (id, row) in self.read(&body)? {
                if asked.contains(id.as_str()) {
                    found.entry(id).or_default().push(row);
                }
            }
        }
        Ok(ids.iter().map(|id| found.remove(*id).unwrap_or_default()).collect())
    }

    /// Asks for one id and shows how.
    pub(crate) async fn explain(&self, id: &str) -> Result<Told, Failure> {
        let question = self.question(&[id]);
        let asked = format!("POST {} {question}", self.store.shown());
        let body = self.store.post(&question).await?;
        let rows = self.read(&body)?.into_iter().filter(|(own, _)| own == id).map(|(_, row)| row).collect();
        Ok(Told { asked, raw: shorten::text(&String::from_utf8_lossy(&body)), rows })
    }

    /// Tells the service of a dead token, if it wants to know.
    pub(crate) async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        if !self.invalidate {
            return Ok(false);
        }
        let question = json!({ "lookup": self.name, "forget": { "user_id": user, "token": token } });
        let answer: Value = self.parse(&self.store.post(&question).await?)?;
        answer.get("forgotten").and_then(Value::as_bool).ok_or_else(|| {
            let reason = "answers to `forget` without {\"forgotten\": true} or false";
            Failure::contradiction(self.store_name(), reason)
        })
    }

    fn question(&self, ids: &[&str]) -> Value {
        json!({ "lookup": self.name, "user_ids": ids })
    }

    fn parse(&self, body: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(body)
            .map_err(|error| Failure::contradiction(self.store_name(), format!("its answer is no JSON: {error}")))
    }

    fn read(&self, body: &[u8]) -> Result<Vec<(String, Row)>, Failure> {
        let strange = |reason: String| Failure::contradiction(self.store_name(), reason);
        let Value::Array(rows) = self.parse(body)? else {
            return Err(strange("its answer is no JSON array of rows".to_owned()));
        };
        let row = |(number, row): (usize, Value)| {
            let Value::Object(object) = &row else { return Err(strange(format!("row {number} is no object"))) };
            let id = match &self.id {
                Some(key) => object.get(key),
                None => object.get("user_id").or_else(|| object.get("id")),
            };
            let id = id.and_then(text).filter(|id| !id.is_empty()).ok_or_else(|| {
                let key = self.id.as_deref().unwrap_or("user_id");
                strange(format!("row {number} has no `{key}`"))
            })?;
            let columns: Row = if self.columns.is_empty() {
                object.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
            } else {
                let cell = |(column, path): &(String, String)| Some((column.clone(), text(at(&row, path)?)?));
                self.columns.iter().filter_map(cell).collect()
            };
            Ok((id, columns))
        };
        rows.into_iter().enumerate().map(|(index, value)| row((index + 1, value))).collect()
    }
}

/// The value at a path such as `settings.push` or `devices.0.token`.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |inside, name| match inside {
        Value::Object(object) => object.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
