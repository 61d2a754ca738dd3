//! Chats in a MongoDB collection, read forward in the order of (cursor field, tie).
//!
//! MongoDB compares only within a type: a cursor of the wrong type matches nothing and says nothing. So the first
//! question, [`newest`](ChatSource::newest), looks at the type of the newest document, and a cursor that was stored under
//! another type is refused. Documents whose cursor field has another type cannot be put in order and are not read.
//!
//! The condition is the configured filter and, of documents behind `(x, id)`,
//! `{$or: [{f: {$gt: x}}, {f: x, _id: {$gt: id}}]}`; see [`Position::behind`].

use std::sync::Arc;

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use homing_core::chat::{Chat, ChatSource, Cursor, Unreadable};
use homing_core::lookup::StoreDown;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use crate::config::{ChatFields, CursorConfig, SourceConfig};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::mongo_cursor::{Position, type_name};
use crate::mongo_document::{at, chat, position, projection};
use crate::mongo_store::MongoStore;

/// A page has at most this many documents, whatever is asked for.
const MAX_PAGE: u32 = 10_000;

/// One `[source.NAME]`.
pub(crate) struct MongoSource {
    name: String,
    store: Arc<MongoStore>,
    database: String,
    collection: String,
    cursor: CursorConfig,
    fields: ChatFields,
    filter: Document,
    projection: Document,
}

/// What the indexes of a collection do for the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Index {
    /// None begins with the field: each page reads the whole collection.
    None,
    /// One begins with the field: a backlog is sorted anew for each page.
    Field,
    /// One begins with field and tie.
    FieldAndTie,
}

// === impl MongoSource ===

impl MongoSource {
    pub(crate) fn new(name: &str, config: &SourceConfig, store: Arc<MongoStore>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::source(name, key, reason);
        let database = config.database.as_deref().or_else(|| store.default_database());
        let database =
            database.ok_or_else(|| wrong("database", "is missing, here and in the url of the store"))?.to_owned();
        if config.collection.is_empty() {
            return Err(wrong("collection", "is empty"));
        }
        let ChatFields { id, conversation, author, kind, body } = &config.fields;
        let paths = [
            ("cursor.field", &config.cursor.field),
            ("cursor.tie", &config.cursor.tie),
            ("fields.id", id),
            ("fields.conversation", conversation),
            ("fields.author", author),
            ("fields.body", body),
        ];
        for (key, path) in paths.into_iter().chain(kind.as_ref().map(|kind| ("fields.type", kind))) {
            if path.split('.').any(|part| part.is_empty() || part.starts_with('$') || part.contains('\0')) {
                return Err(wrong(key, "is no path of a field, such as user.user_id"));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            store: Arc::clone(&store),
            database,
            collection: config.collection.clone(),
            cursor: config.cursor.clone(),
            fields: config.fields.clone(),
            filter: filter(config).map_err(|reason| wrong("filter", &reason))?,
            projection: projection(&config.cursor, &config.fields),
        })
    }

    /// What the indexes do for the cursor; `None` while there is no collection.
    pub(crate) async fn index(&self) -> Result<Option<Index>, Failure> {
        let listed =
            self.store.on(&self.database, &self.collection, async |collection| match collection.list_indexes().await {
                Ok(indexes) => indexes.try_collect::<Vec<_>>().await.map(Some),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(error),
            });
        let Some(indexes) = listed.await? else { return Ok(None) };
        Ok(indexes.iter().map(|index| self.of(&index.keys)).max().or(Some(Index::None)))
    }

    fn of(&self, keys: &Document) -> Index {
        // A tie that runs against the field is of no use; neither is a hash, whose direction is no number.
        let mut keys = keys.iter().map(|(name, way)| (name, is_up(way)));
        match (keys.next(), keys.next()) {
            (Some((field, Some(_))), _) if self.cursor.field == self.cursor.tie && *field == self.cursor.field => {
                Index::FieldAndTie
            }
            (Some((field, Some(way))), Some((tie, Some(other))))
                if *field == self.cursor.field && *tie == self.cursor.tie && way == other =>
            {
                Index::FieldAndTie
            }
            (Some((field, Some(_))), _) if *field == self.cursor.field => Index::Field,
            _ => Index::None,
        }
    }

    /// The index that would serve.
    pub(crate) fn wanted_index(&self) -> String {
        self.order(1).to_string()
    }

    /// The order, up or down.
    fn order(&self, direction: i32) -> Document {
        let mut order = doc! { &self.cursor.field: direction };
        order.insert(&self.cursor.tie, direction);
        order
    }

    async fn find_newest(&self) -> Result<Option<Cursor>, Failure> {
        let found = self.store.on(&self.database, &self.collection, async |collection| {
            let find = collection.find_one(self.filter.clone()).sort(self.order(-1));
            find.projection(self.projection.clone()).max_time(self.store.timeout()).await
        });
        let Some(document) = found.await? else { return Ok(None) };
        let field = &self.cursor.field;
        let expected = self.cursor.kind.describe();
        let value = at(&document, field).map_err(|reason| self.contradiction(reason))?;
        match value {
            None => Err(self.contradiction(format!("no document has the cursor field {field}"))),
            Some(value) if !self.cursor.kind.fits(&value) => {
                let id = at(&document, &self.cursor.tie).ok().flatten().unwrap_or(Bson::Null);
                let is = type_name(&value);
                Err(self.contradiction(format!(
                    "{field} of the newest document (id {id}) is of type {is}, but the source says {expected}; \
                     compared with the wrong type nothing would ever be found"
                )))
            }
            Some(_) => {
                let position = position(&document, &self.cursor).map_err(|reason| self.contradiction(reason))?;
                Ok(Some(position.cursor()))
            }
        }
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Vec<Result<Chat, Unreadable>>, Failure> {
        let limit = u32::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        if limit == 0 {
            return Ok(Vec::new()); // to MongoDB, 0 is no limit
        }
        let behind = match after {
            None => self.cursor.kind.all(&self.cursor.field),
            Some(cursor) => Position::read(cursor, self.cursor.kind)
                .map_err(|reason| self.contradiction(reason))?
                .behind(&self.cursor.field, &self.cursor.tie),
        };
        let condition = if self.filter.is_empty() {
            behind
        } else {
            doc! { "$and": [self.filter.clone(), behind] }
        };
        let documents: Vec<RawDocumentBuf> = self
            .store
            .on(&self.database, &self.collection, async |collection| {
                let find = collection.find(condition).sort(self.order(1)).limit(i64::from(limit)).batch_size(limit);
                find.projection(self.projection.clone()).max_time(self.store.timeout()).await?.try_collect().await
            })
            .await?;
        let read = documents.iter().map(|document| {
            let position = position(document, &self.cursor).map_err(|reason| self.contradiction(reason))?;
            Ok(chat(document, &position, &self.cursor, &self.fields))
        });
        read.collect()
    }

    fn contradiction(&self, reason: impl Into<String>) -> Failure {
        let Self { database, collection, .. } = self;
        Failure::contradiction(self.store.name(), format!("{database}.{collection}: {}", reason.into()))
    }
}

impl ChatSource for MongoSource {
    fn newest(&self) -> BoxFuture<'_, Result<Option<Cursor>, StoreDown>> {
        Box::pin(async { self.find_newest().await.map_err(|failure| failure.of(&self.name)) })
    }

    fn read<'a>(
        &'a self,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Result<Chat, Unreadable>>, StoreDown>> {
        Box::pin(async move { self.page(after, limit).await.map_err(|failure| failure.of(&self.name)) })
    }
}

/// Does an index run upwards? Old shells write doubles; a hash or a text index has no direction.
fn is_up(way: &Bson) -> Option<bool> {
    match way {
        Bson::Int32(n) => Some(*n > 0),
        Bson::Int64(n) => Some(*n > 0),
        Bson::Double(n) => Some(*n > 0.0),
        _ => None,
    }
}

/// The configured filter. Extended JSON stands for the types that TOML does not have.
fn filter(config: &SourceConfig) -> Result<Document, String> {
    let json = serde_json::Value::Object(config.filter.clone());
    if json.to_string().contains("$__toml_private_datetime") {
        return Err("a date is written { \"$date\" = \"2026-11-21T00:00:00Z\" }".to_owned());
    }
    match serde_json::from_value::<Bson>(json) {
        Ok(Bson::Document(filter)) => Ok(filter),
        Ok(_) => Err("is no table of conditions".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Code 26: the collection or its database does not exist.
fn is_not_found(error: &mongodb::error::Error) -> bool {
    matches!(&*error.kind, mongodb::error::ErrorKind::Command(command) if command.code == 26)
}
