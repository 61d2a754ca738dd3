//! What every enumerator does alike, around its provider.

use futures_util::future::BoxFuture;
use homing_core::lookup::{Members, Page, StoreDown};

use crate::failure::Failure;
use crate::lookup::is_id;
use crate::mongo_members::MongoMembers;
use crate::redis_members::RedisMembers;
use crate::sql::SqlMembers;

/// The most members of a page, whatever is asked for.
const MAX_PAGE: usize = 10_000;

/// Where the members come from.
pub(crate) enum Source {
    Redis(RedisMembers),
    Sql(Box<SqlMembers>),
    Mongo(Box<MongoMembers>),
}

/// One `[members.NAME]`.
pub(crate) struct Enumerator {
    pub(crate) name: String,
    pub(crate) source: Source,
}

// === impl Source ===

impl Source {
    /// Does it list the members of something, or everyone?
    pub(crate) fn has_of(&self) -> bool {
        match self {
            Self::Redis(members) => members.has_of(),
            Self::Sql(members) => members.has_of,
            Self::Mongo(members) => members.has_of(),
        }
    }

    fn store_name(&self) -> &str {
        match self {
            Self::Redis(members) => members.store_name(),
            Self::Sql(members) => members.store_name(),
            Self::Mongo(members) => members.store_name(),
        }
    }
}

// === impl Enumerator ===

impl Enumerator {
    async fn some(&self, of: &str, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let limit = limit.clamp(1, MAX_PAGE);
        match (self.source.has_of(), of.is_empty()) {
            // Nobody is told by mistake: a group is not everyone.
            (false, false) => {
                let reason = format!("lists everyone and was asked for the members of {of}");
                return Err(Failure::contradiction(self.source.store_name(), reason));
            }
            (true, _) if !is_id(of) => return Ok(Page::default()),
            _ => {}
        }
        let page = match &self.source {
            Source::Redis(members) => members.page(of, after, limit).await,
            Source::Sql(members) => members.page(of, after, limit).await,
            Source::Mongo(members) => members.page(of, after, limit).await,
        };
        match page {
            // A group that the server cannot even compare has no members.
            Err(Failure::Values { source, .. }) if !of.is_ascii() => {
                tracing::warn!(members = self.name, of, error = %source, "The store cannot compare this id.");
                Ok(Page::default())
            }
            page => page,
        }
    }
}

impl Members for Enumerator {
    fn name(&self) -> &str {
        &self.name
    }

    fn page<'a>(&'a self, of: &'a str, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Page, StoreDown>> {
        Box::pin(async move { self.some(of, after, limit).await.map_err(|failure| failure.of(&self.name)) })
    }
}
