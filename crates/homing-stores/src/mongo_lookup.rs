//! A lookup in MongoDB: `{ id: { $in: [...] } }`, a thousand ids a question.
//!
//! MongoDB compares only within a type, so an id is asked for in every form that prints as it: the text `42` and the
//! number 42. A document belongs to the id whose text its id field has.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use homing_core::lookup::Row;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};

use crate::config::{LookupConfig, StoreKind};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::lookup::Told;
use crate::mongo_document::at;
use crate::mongo_store::MongoStore;
use crate::mongo_value::{and, filter, forms, id, is_path, json, projection, text};
use crate::shorten;

/// Ids in one question.
const MOST: usize = 1_000;

/// More documents than this in one answer are refused.
const MAX_DOCUMENTS: usize = 200_000;

/// The provider of one lookup.
pub(crate) struct MongoLookup {
    store: Arc<MongoStore>,
    database: String,
    collection: String,
    id: String,
    /// Our column and their path.
    columns: Vec<(String, String)>,
    filter: Document,
    projection: Document,
    invalidate: Option<Invalidate>,
}

/// How a dead token goes.
enum Invalidate {
    Delete,
    Update(Document),
}

// === impl MongoLookup ===

impl MongoLookup {
    pub(crate) fn new(name: &str, config: &LookupConfig, store: Arc<MongoStore>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::lookup(name, key, reason);
        config.only_for(StoreKind::Mongo, name)?;
        let database = config.database.as_deref().or_else(|| store.default_database());
        let database = database.ok_or_else(|| wrong("database", "is missing, here and in the url of the store"))?;
        let collection = config.collection.clone().filter(|collection| !collection.is_empty());
        let collection = collection.ok_or_else(|| wrong("collection", "is missing"))?;
        let columns = config.columns.clone().filter(|columns| !columns.is_empty()).ok_or_else(|| {
            wrong("columns", "is missing: a table of our column to their path, { push_status = \"settings.push\" }")
        })?;
        let columns: Vec<(String, String)> = columns.into_iter().collect();
        let id = config.id.clone().unwrap_or_else(|| "_id".to_owned());
        let paths = || columns.iter().map(|(_, path)| path.as_str()).chain([id.as_str()]);
        if let Some(path) = paths().find(|path| !is_path(path)) {
            return Err(wrong("id, columns", &format!("`{path}` is no path of a field, such as user.user_id")));
        }
        let invalidate = match config.invalidate.as_deref() {
            None => None,
            Some(_) if !store.allow_write => {
                return Err(wrong("invalidate", &format!("needs allow_write = true in [stores.{}]", store.name())));
            }
            Some(_) if !columns.iter().any(|(column, _)| column == "token") => {
                return Err(wrong(
                    "invalidate",
                    "needs a column `token`: a token goes only while it is still that user's",
                ));
            }
            Some(how) => Some(Invalidate::parse(how).map_err(|reason| wrong("invalidate", &reason))?),
        };
        Ok(Self {
            database: database.to_owned(),
            projection: projection(paths()),
            filter: filter(&config.filter).map_err(|reason| wrong("filter", &reason))?,
            store,
            collection,
            id,
            columns,
            invalidate,
        })
    }

    pub(crate) fn store_name(&self) -> &str {
        self.store.name()
    }

    /// The columns that rows can have.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|(column, _)| column.clone()).collect()
    }

    /// The rows of distinct ids, in their order.
    pub(crate) async fn rows(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut found: HashMap<String, Vec<Row>> = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(MOST) {
            for document in self.find(self.condition(chunk)).await? {
                if let Some(id) = self.id_of(&document) {
                    found.entry(id).or_default().push(self.row(&document)?);
                }
            }
        }
        Ok(ids.iter().map(|id| found.remove(*id).unwrap_or_default()).collect())
    }

    /// Asks for one id and shows how.
    pub(crate) async fn explain(&self, id: &str) -> Result<Told, Failure> {
        let condition = self.condition(&[id]);
        let show = |document: &Document| json(&Bson::Document(document.clone()));
        let asked =
            format!("{}.{}.find({}, {})", self.database, self.collection, show(&condition), show(&self.projection));
        let documents = self.find(condition).await?;
        let raw = documents.iter().take(50).map(|document| match Document::try_from(document.as_ref()) {
            Ok(document) => shorten::text(&show(&self.shortened(document))),
            Err(error) => format!("unreadable: {error}"),
        });
        let raw: Vec<String> = raw.collect();
        let raw = if raw.is_empty() { "no documents".to_owned() } else { raw.join("\n") };
        let mine = documents.iter().filter(|document| self.id_of(document).as_deref() == Some(id));
        let rows = mine.map(|document| self.row(document)).collect::<Result<_, _>>()?;
        Ok(Told { asked, raw, rows })
    }

    /// Takes a token out, if `invalidate` says how.
    pub(crate) async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        let Some(invalidate) = &self.invalidate else { return Ok(false) };
        let Some((_, path)) = self.columns.iter().find(|(column, _)| column == "token") else { return Ok(false) };
        let mut condition = doc! { &self.id: { "$in": forms(user) } };
        condition.insert(path, token);
        let condition = and(&self.filter, condition);
        let done = self.store.on(&self.database, &self.collection, async |collection| match invalidate {
            Invalidate::Delete => Ok(collection.delete_many(condition).await?.deleted_count),
            Invalidate::Update(update) => Ok(collection.update_many(condition, update.clone()).await?.matched_count),
        });
        Ok(done.await? > 0)
    }

    /// Is there an index that begins with the id field? `None` while there is no collection.
    pub(crate) async fn indexed(&self) -> Result<Option<bool>, Failure> {
        let first = self.store.first_fields(&self.database, &self.collection).await?;
        Ok(first.map(|indexes| indexes.iter().any(|fields| fields.first() == Some(&self.id))))
    }

    /// The index that would serve.
    pub(crate) fn wanted_index(&self) -> String {
        doc! { &self.id: 1 }.to_string()
    }

    fn condition(&self, ids: &[&str]) -> Document {
        let forms: Vec<Bson> = ids.iter().flat_map(|id| forms(id)).collect();
        and(&self.filter, doc! { &self.id: { "$in": forms } })
    }

    async fn find(&self, condition: Document) -> Result<Vec<RawDocumentBuf>, Failure> {
        let found = self.store.on(&self.database, &self.collection, async |collection| {
            let find = collection.find(condition).projection(self.projection.clone()).max_time(self.store.timeout());
            let mut cursor = find.await?;
            let mut documents = Vec::new();
            while let Some(document) = cursor.try_next().await? {
                if documents.len() == MAX_DOCUMENTS {
                    return Ok(None);
                }
                documents.push(document);
            }
            Ok(Some(documents))
        });
        found.await?.ok_or_else(|| {
            let reason = format!("the answer has more than {MAX_DOCUMENTS} documents");
            Failure::contradiction(self.store_name(), reason)
        })
    }

    fn id_of(&self, document: &RawDocument) -> Option<String> {
        at(document, &self.id).ok().flatten().as_ref().and_then(id)
    }

    fn row(&self, document: &RawDocument) -> Result<Row, Failure> {
        let mut row = Row::new();
        for (column, path) in &self.columns {
            let value = at(document, path).map_err(|reason| Failure::contradiction(self.store_name(), reason))?;
            if let Some(text) = value.as_ref().and_then(text) {
                row.insert(column.clone(), text);
            }
        }
        Ok(row)
    }

    /// The token of our column `token`, wherever it stands, cut to its end.
    fn shortened(&self, mut document: Document) -> Document {
        for (column, path) in &self.columns {
            let (way, name) = path.rsplit_once('.').unwrap_or(("", path));
            let mut inside = Some(&mut document);
            for part in way.split('.').filter(|part| !part.is_empty()) {
                inside = inside.and_then(|document| document.get_document_mut(part).ok());
            }
            if let Some(Bson::String(text)) = inside.and_then(|document| document.get_mut(name)) {
                *text = shorten::value(&[column, name], text);
            }
        }
        document
    }
}

// === impl Invalidate ===

impl Invalidate {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "delete" {
            return Ok(Self::Delete);
        }
        let hint = r#"is `delete` or an update such as {"$set": {"is_del": 1}}"#;
        let json = serde_json::from_str(text).map_err(|error| format!("{hint}: {error}"))?;
        let update = filter(&json)?;
        if update.is_empty() || !update.keys().all(|key| key.starts_with('$')) {
            return Err(hint.to_owned());
        }
        Ok(Self::Update(update))
    }
}
