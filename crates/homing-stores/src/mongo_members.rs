//! An enumerator in MongoDB: a document per member, in pages by the member's field.
//!
//! MongoDB compares only within a type and sorts types one after another: numbers, texts, UUIDs, ObjectIds. A page begins
//! with type and text of the last member (`n42`, `tann`, `u...`, `o...`); what follows is what is greater within the type,
//! and all of the later types. Comparison is by bytes, whatever the collation of the collection.

use std::sync::Arc;

use futures_util::TryStreamExt;
use homing_core::lookup::Page;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc, oid::ObjectId, uuid::Uuid};
use mongodb::options::Collation;

use crate::config::{MembersConfig, StoreKind};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::mongo_document::at;
use crate::mongo_store::MongoStore;
use crate::mongo_value::{and, filter, forms, id, is_path, projection};

/// The types that a member may have, in MongoDB's order, with the letter that a page begins with.
const TYPES: [(char, &str); 4] = [('n', "number"), ('t', "string"), ('u', "binData"), ('o', "objectId")];

/// The provider of one enumerator.
pub(crate) struct MongoMembers {
    store: Arc<MongoStore>,
    database: String,
    collection: String,
    of: Option<String>,
    member: String,
    filter: Document,
    projection: Document,
}

// === impl MongoMembers ===

impl MongoMembers {
    pub(crate) fn new(name: &str, config: &MembersConfig, store: Arc<MongoStore>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::members(name, key, reason);
        config.only_for(StoreKind::Mongo, name)?;
        let database = config.database.as_deref().or_else(|| store.default_database());
        let database = database.ok_or_else(|| wrong("database", "is missing, here and in the url of the store"))?;
        let collection = config.collection.clone().filter(|collection| !collection.is_empty());
        let collection = collection.ok_or_else(|| wrong("collection", "is missing"))?;
        let member = config.member.clone();
        let member = member.ok_or_else(|| wrong("member", "is missing: the field that holds the member"))?;
        let paths = || config.of.as_deref().into_iter().chain([member.as_str()]);
        if let Some(path) = paths().find(|path| !is_path(path)) {
            return Err(wrong("of, member", &format!("`{path}` is no path of a field, such as user.user_id")));
        }
        Ok(Self {
            database: database.to_owned(),
            projection: projection([member.as_str()].into_iter()),
            filter: filter(&config.filter).map_err(|reason| wrong("filter", &reason))?,
            of: config.of.clone(),
            store,
            collection,
            member,
        })
    }

    pub(crate) fn store_name(&self) -> &str {
        self.store.name()
    }

    pub(crate) fn has_of(&self) -> bool {
        self.of.is_some()
    }

    /// A page; `limit` is at least 1.
    pub(crate) async fn page(&self, of: &str, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut condition = match after {
            None => self.types(&TYPES),
            Some(after) => {
                self.behind(after).ok_or_else(|| self.contradiction(format!("no page begins at `{after}`")))?
            }
        };
        if let Some(field) = &self.of {
            condition.insert(field, doc! { "$in": forms(of) });
        }
        let documents: Vec<RawDocumentBuf> = self
            .store
            .on(&self.database, &self.collection, async |collection| {
                let find = collection.find(and(&self.filter, condition)).sort(doc! { &self.member: 1 });
                let find = find.collation(Collation::builder().locale("simple").build());
                let find = find.limit(i64::from(limit)).batch_size(limit).projection(self.projection.clone());
                find.max_time(self.store.timeout()).await?.try_collect().await
            })
            .await?;
        let mut members: Vec<String> = Vec::with_capacity(documents.len());
        let mut last = None;
        for document in &documents {
            let value = at(document, &self.member).map_err(|reason| self.contradiction(reason))?.unwrap_or(Bson::Null);
            let Some((text, place)) = place(&value) else {
                let reason = format!(
                    "{}: {value} is no member; a document per member is needed, with a text, a whole number, a UUID or an \
                     ObjectId",
                    self.member
                );
                return Err(self.contradiction(reason));
            };
            if !text.is_empty() && members.last() != Some(&text) {
                members.push(text);
            }
            last = Some(place);
        }
        let next = last.filter(|_| u32::try_from(documents.len()) == Ok(limit));
        if next.is_some() && next.as_deref() == after {
            return Err(
                self.contradiction(format!("the page behind {} ends where it began", after.unwrap_or_default()))
            );
        }
        Ok(Page { members, next })
    }

    /// Is there an index that begins with (of, member)? `None` while there is no collection.
    pub(crate) async fn indexed(&self) -> Result<Option<bool>, Failure> {
        let wanted: Vec<&String> = self.of.iter().chain([&self.member]).collect();
        let first = self.store.first_fields(&self.database, &self.collection).await?;
        Ok(first.map(|indexes| {
            indexes.iter().any(|fields| {
                fields.len() >= wanted.len() && wanted.iter().copied().eq(fields.iter().take(wanted.len()))
            })
        }))
    }

    /// The index that would serve.
    pub(crate) fn wanted_index(&self) -> String {
        self.of
            .iter()
            .chain([&self.member])
            .map(|field| (field.clone(), Bson::Int32(1)))
            .collect::<Document>()
            .to_string()
    }

    fn types(&self, types: &[(char, &str)]) -> Document {
        let names: Vec<&str> = types.iter().map(|(_, name)| *name).collect();
        doc! { &self.member: { "$type": names } }
    }

    fn behind(&self, after: &str) -> Option<Document> {
        let mut chars = after.chars();
        let letter = chars.next()?;
        let text = chars.as_str();
        let index = TYPES.iter().position(|(own, _)| *own == letter)?;
        let value = match letter {
            'n' => Bson::Int64(text.parse().ok()?),
            't' => Bson::String(text.to_owned()),
            'u' => Bson::from(Uuid::parse_str(text).ok()?),
            _ => Bson::ObjectId(ObjectId::parse_str(text).ok()?),
        };
        let greater = doc! { &self.member: { "$gt": value } };
        let later = TYPES.get(index + 1..).unwrap_or_default();
        Some(if later.is_empty() {
            greater
        } else {
            doc! { "$or": [greater, self.types(later)] }
        })
    }

    fn contradiction(&self, reason: String) -> Failure {
        let Self { database, collection, .. } = self;
        Failure::contradiction(self.store_name(), format!("{database}.{collection}: {reason}"))
    }
}

/// A member's text, and where a page begins that comes behind it.
fn place(value: &Bson) -> Option<(String, String)> {
    let letter = match value {
        Bson::String(_) => 't',
        Bson::ObjectId(_) => 'o',
        Bson::Binary(_) => 'u',
        _ => 'n',
    };
    let text = id(value)?;
    Some((text.clone(), format!("{letter}{text}")))
}
