//! Chats in a MongoDB collection, read forward in the order of (cursor field, tie).
//!
//! MongoDB compares only within a type: a cursor of the wrong type matches nothing and says nothing. So the first
//! question, [`start`](ChatSource::start), looks at the type of the newest document, and a cursor that was stored under
//! another type is refused. Documents whose cursor field has another type cannot be put in order and are not read.
//!
//! The condition is the configured filter and, of documents behind `(x, id)`,
//! `{$or: [{f: {$gt: x}}, {f: x, _id: {$gt: id}}]}`; see [`Position::behind`]. The ids of an overlap are one range of the
//! field, `{f: {$gte: x, $lte: y}}`, which an index on (field, tie) answers without a look at the documents.
//!
//! A source may have a collection per month; then the cursor runs through all of them, and what is read is the merged
//! order of those that may hold its time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use homing_core::chat::{Chat, ChatSource, Cursor, Known, Overlap, Page, Start, Stub, Unreadable};
use homing_core::clock::Millis;
use homing_core::lookup::StoreDown;
use homing_core::queue::Budget;
use mongodb::bson::{Bson, Document, doc};
use tokio::time::Instant;

use crate::config::{ChatFields, CursorConfig, SourceConfig};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::mongo_cursor::{Position, type_name};
use crate::mongo_document::{at, chat, identity, place, position, projection};
use crate::mongo_source_changes::{Changes, Watched};
use crate::mongo_source_names::{Dated, Names};
use crate::mongo_store::MongoStore;

/// A page has at most this many documents, whatever is asked for.
const MAX_PAGE: usize = 10_000;
/// So long the list of a source's collections is believed.
const LISTED: Duration = Duration::from_secs(5);
/// Who is woken by every message does not ask for the list with each.
const LISTED_AT_LEAST: Duration = Duration::from_millis(500);
/// The longest overlap.
const MAX_OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// One `[source.NAME]`.
pub(crate) struct MongoSource {
    name: String,
    store: Arc<MongoStore>,
    database: String,
    collection: String,
    names: Names,
    listed: Mutex<Option<(Instant, Vec<Dated>)>>,
    cursor: CursorConfig,
    fields: ChatFields,
    filter: Document,
    projection: Document,
    place: Document,
    changes: Changes,
}

/// Documents of one collection, in order.
struct Part {
    read: Vec<(Option<Millis>, Result<Chat, Unreadable>)>,
    cut: bool,
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
        let names = Names::parse(&config.collection).map_err(|reason| wrong("collection", &reason))?;
        if config.cursor.overlap > MAX_OVERLAP {
            return Err(wrong("cursor.overlap", "is longer than a day"));
        }
        let ChatFields { id, conversation, to, author, kind, seq, body } = &config.fields;
        if conversation.is_none() && to.is_none() {
            return Err(wrong("fields", "name neither a conversation (group) nor a recipient (to)"));
        }
        let paths = [
            ("cursor.field", &config.cursor.field),
            ("cursor.tie", &config.cursor.tie),
            ("fields.id", id),
            ("fields.author", author),
            ("fields.body", body),
        ];
        let more =
            [("fields.conversation", conversation), ("fields.to", to), ("fields.type", kind), ("fields.seq", seq)];
        let more = more.into_iter().filter_map(|(key, path)| path.as_ref().map(|path| (key, path)));
        for (key, path) in paths.into_iter().chain(more) {
            if path.split('.').any(|part| part.is_empty() || part.starts_with('$') || part.contains('\0')) {
                return Err(wrong(key, "is no path of a field, such as user.user_id"));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            store: Arc::clone(&store),
            database,
            collection: config.collection.clone(),
            names,
            listed: Mutex::default(),
            cursor: config.cursor.clone(),
            fields: config.fields.clone(),
            filter: filter(config).map_err(|reason| wrong("filter", &reason))?,
            projection: projection(&config.cursor, &config.fields),
            place: place(&config.cursor, &config.fields),
            changes: Changes::default(),
        })
    }

    /// The collections that may hold messages of these times, oldest first.
    async fn collections(&self, from: Option<Millis>, to: Option<Millis>) -> Result<Vec<String>, Failure> {
        let template = match &self.names {
            Names::One(name) => return Ok(vec![name.clone()]),
            Names::Dated(template) => template,
        };
        let known = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let dated = match known {
            Some((at, dated)) if at.elapsed() < LISTED => dated,
            _ => {
                let filter = doc! { "name": { "$regex": template.pattern() } };
                let list = self
                    .store
                    .within(&self.database, async |database| database.list_collection_names().filter(filter).await);
                let dated = template.dated(list.await?);
                let listed = Some((Instant::now(), dated.clone()));
                *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = listed;
                dated
            }
        };
        Ok(dated.into_iter().filter(|d| d.may_hold(from, to)).map(|d| d.name).collect())
    }

    /// What the indexes do for the cursor; `None` while there is no collection.
    pub(crate) async fn index(&self) -> Result<Option<Index>, Failure> {
        let Some(newest) = self.collections(None, None).await?.pop() else { return Ok(None) };
        let listed = self.store.on(&self.database, &newest, async |collection| match collection.list_indexes().await {
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

    /// The newest of all; a collection of an hour past midnight may still hold less than the one before it.
    async fn find_newest(&self) -> Result<Option<Cursor>, Failure> {
        let mut newest: Option<Position> = None;
        let mut found = 0;
        for name in self.collections(None, None).await?.iter().rev() {
            let Some(position) = self.newest_in(name).await? else { continue };
            let time = |position: &Position| self.cursor.kind.millis(&position.at);
            if newest.as_ref().is_none_or(|known| time(known) < time(&position)) {
                newest = Some(position);
            }
            found += 1;
            if found == 2 {
                break;
            }
        }
        Ok(newest.map(|position| position.cursor()))
    }

    async fn newest_in(&self, collection: &str) -> Result<Option<Position>, Failure> {
        let found = self.store.on(&self.database, collection, async |collection| {
            let find = collection.find_one(self.filter.clone()).sort(self.order(-1));
            find.projection(self.place.clone()).max_time(self.store.timeout()).await
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
            Some(_) => position(&document, &self.cursor).map(Some).map_err(|reason| self.contradiction(reason)),
        }
    }

    fn position_of(&self, cursor: &Cursor) -> Result<Position, Failure> {
        Position::read(cursor, self.cursor.kind).map_err(|reason| self.contradiction(reason))
    }

    /// A condition and the configured one.
    fn also(&self, condition: Document) -> Document {
        if self.filter.is_empty() {
            condition
        } else {
            doc! { "$and": [self.filter.clone(), condition] }
        }
    }

    async fn page(&self, after: Option<&Cursor>, budget: Budget) -> Result<Page, Failure> {
        let (condition, from) = match after {
            None => (self.cursor.kind.all(&self.cursor.field), None),
            Some(cursor) => {
                let position = self.position_of(cursor)?;
                let from = self.cursor.kind.millis(&position.at);
                (position.behind(&self.cursor.field, &self.cursor.tie), from)
            }
        };
        let names = self.collections(from, None).await?;
        let page = self.merged(&names, self.also(condition), budget).await?;
        if !page.more {
            self.changes.read(page.chats.len());
        }
        Ok(page)
    }

    /// The documents of a condition from several collections, oldest first, in one order.
    async fn merged(&self, names: &[String], condition: Document, budget: Budget) -> Result<Page, Failure> {
        let mut all = Vec::new();
        // Behind the end of a part that was cut, the order is not known.
        let mut horizon: Option<Millis> = None;
        let (mut more, mut last) = (false, false);
        for name in names {
            let part = self.part(name, condition.clone(), budget).await?;
            if part.cut {
                let end = part.read.iter().rev().find_map(|(at, _)| *at).unwrap_or(Millis::MAX);
                horizon = Some(horizon.map_or(end, |known| known.min(end)));
                more = true;
            }
            all.extend(part.read);
            // The next one may overlap a little with a part that was cut; those behind it do not.
            if last {
                break;
            }
            last = more || all.len() >= budget.items;
        }
        if names.len() > 1 {
            let mut known = Millis::MIN;
            for (at, _) in &mut all {
                known = at.unwrap_or(known);
                *at = Some(known);
            }
            all.sort_by_key(|(at, _)| *at);
            if let Some(horizon) = horizon {
                all.retain(|(at, _)| *at <= Some(horizon));
            }
            more |= last && all.len() > budget.items;
            all.truncate(budget.items.max(1));
        }
        Ok(Page { chats: all.into_iter().map(|(_, read)| read).collect(), more })
    }

    async fn part(&self, collection: &str, condition: Document, budget: Budget) -> Result<Part, Failure> {
        let limit = budget.items.min(MAX_PAGE);
        if limit == 0 {
            return Ok(Part { read: Vec::new(), cut: false }); // to MongoDB, 0 is no limit
        }
        let asked = i64::try_from(limit).unwrap_or(1);
        let documents = self.store.on(&self.database, collection, async |collection| {
            let find = collection.find(condition).sort(self.order(1)).limit(asked);
            let find = find.batch_size(u32::try_from(limit).unwrap_or(1)).projection(self.projection.clone());
            let mut cursor = find.max_time(self.store.timeout()).await?;
            let (mut documents, mut bytes) = (Vec::new(), 0);
            while bytes < budget.bytes
                && let Some(document) = cursor.try_next().await?
            {
                bytes += document.as_bytes().len();
                documents.push(document);
            }
            Ok((documents, bytes >= budget.bytes))
        });
        let (documents, full) = documents.await?;
        let cut = full || documents.len() >= limit;
        let read = documents.iter().map(|document| {
            let position = position(document, &self.cursor).map_err(|reason| self.contradiction(reason))?;
            let time = self.cursor.kind.millis(&position.at);
            Ok((time, chat(document, &position, &self.cursor, &self.fields)))
        });
        Ok(Part { read: read.collect::<Result<_, Failure>>()?, cut })
    }

    async fn places(&self, from: Millis, to: &Cursor, limit: usize, known: &Known<'_>) -> Result<Overlap, Failure> {
        let end = self.position_of(to)?;
        let condition = self.also(end.since(from, self.cursor.kind, &self.cursor.field));
        let end = self.cursor.kind.millis(&end.at);
        let names = self.collections(Some(from), end).await?;
        let mut overlap = Overlap { reaches: from, ..Overlap::default() };
        let mut time = end.unwrap_or(from);
        for name in names.iter().rev() {
            let left = limit - overlap.read;
            let read = self.store.on(&self.database, name, async |collection| {
                let asked = i64::try_from(left).unwrap_or(i64::MAX).saturating_add(1);
                let find = collection.find(condition.clone()).sort(self.order(-1)).limit(asked).batch_size(20_000);
                let find = find.projection(self.place.clone()).max_time(self.store.timeout());
                let mut cursor = find.await?;
                let (mut unknown, mut read, mut cut) = (Vec::new(), 0, false);
                while cursor.advance().await? {
                    if read == left {
                        cut = true;
                        break;
                    }
                    let document = cursor.current();
                    // What has no place (an array, say) is not read forward either.
                    let Ok(position) = position(document, &self.cursor) else { continue };
                    if !self.cursor.kind.fits(&position.at) {
                        continue;
                    }
                    time = self.cursor.kind.millis(&position.at).unwrap_or(time);
                    read += 1;
                    let id = identity(document, &position, &self.fields);
                    if !known(&id) {
                        unknown.push(Stub { id, created_at: time, cursor: position.cursor() });
                    }
                }
                Ok((unknown, read, cut))
            });
            let (unknown, read, cut) = read.await?;
            overlap.unknown.extend(unknown);
            overlap.read += read;
            if cut {
                overlap.reaches = time.saturating_add(1).max(from);
                break;
            }
        }
        Ok(overlap)
    }

    async fn whole(&self, stubs: &[Stub], budget: Budget) -> Result<Page, Failure> {
        let times = || stubs.iter().map(|stub| stub.created_at);
        let names = self.collections(times().min(), times().max()).await?;
        let places = stubs.iter().map(|stub| self.position_of(&stub.cursor)).collect::<Result<Vec<_>, _>>()?;
        let tie = &self.cursor.tie;
        let mut condition = doc! { tie: { "$in": places.iter().map(|p| p.id.clone()).collect::<Vec<_>>() } };
        if tie != "_id" {
            let values: Vec<Bson> = places.into_iter().map(|p| p.at).collect();
            condition.insert(&self.cursor.field, doc! { "$in": values });
        }
        self.merged(&names, self.also(condition), budget).await
    }

    fn contradiction(&self, reason: impl Into<String>) -> Failure {
        let Self { database, collection, .. } = self;
        Failure::contradiction(self.store.name(), format!("{database}.{collection}: {}", reason.into()))
    }
}

impl ChatSource for MongoSource {
    fn start(&self, from: Start) -> BoxFuture<'_, Result<Option<Cursor>, StoreDown>> {
        Box::pin(async move {
            match from {
                Start::Newest => self.find_newest().await.map_err(|failure| failure.of(&self.name)),
                Start::At(time) => {
                    // This one asks for the newest as well, since that is where the type is proven.
                    self.find_newest().await.map_err(|failure| failure.of(&self.name))?;
                    Ok(Some(Position::before(time, self.cursor.kind).cursor()))
                }
            }
        })
    }

    fn time_of(&self, cursor: &Cursor) -> Option<Millis> {
        let position = Position::read(cursor, self.cursor.kind).ok()?;
        self.cursor.kind.millis(&position.at)
    }

    fn read<'a>(&'a self, after: Option<&'a Cursor>, budget: Budget) -> BoxFuture<'a, Result<Page, StoreDown>> {
        Box::pin(async move { self.page(after, budget).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn overlap<'a>(
        &'a self,
        from: Millis,
        to: &'a Cursor,
        limit: usize,
        known: &'a Known<'a>,
    ) -> BoxFuture<'a, Result<Overlap, StoreDown>> {
        Box::pin(async move { self.places(from, to, limit, known).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn fetch<'a>(&'a self, stubs: &'a [Stub], budget: Budget) -> BoxFuture<'a, Result<Page, StoreDown>> {
        Box::pin(async move { self.whole(stubs, budget).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn changed(&self) -> BoxFuture<'_, u64> {
        let watched = Watched {
            name: self.name.clone(),
            store: Arc::clone(&self.store),
            database: self.database.clone(),
            names: self.names.clone(),
        };
        Box::pin(async move {
            let news = self.changes.next(&watched).await;
            // It may be the first message of a new month.
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            if listed.as_ref().is_some_and(|(at, _)| at.elapsed() > LISTED_AT_LEAST) {
                *listed = None;
            }
            news
        })
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
