//! An enumerator in SQL: pages by the key of the member, `member > last ORDER BY member LIMIT n`.
//!
//! The server compares and orders by the column's own type and collation, so that its index serves. To a collation,
//! `ann` and `ANN` may be equal: neither is behind the other, and a page that ends between them would skip one. So the
//! server is asked once more for those equal to the last (its twins). They all go into the page, or all into the next one.
//!
//! Where a page begins is the last member's text. SQLite may hold numbers and texts in one column, each in an order of its
//! own, so there it begins with the class: `i42`, `tann`. A raw `query` has pages as its author wrote them; that the
//! members of a page rise is checked where they are numbers.

use std::collections::HashSet;
use std::sync::Arc;

use homing_core::lookup::Page;

use crate::config::{Constant, MembersConfig};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::sql::ask::{Asker, plausible, range};
use crate::sql::dialect::Dialect;
use crate::sql::server::{Kind, SqlServer, Table};
use crate::sql::text::{Fill, MembersPage, Place, Statement, plain};

/// The most rows of members that are equal to one another.
const MAX_TWINS: i64 = 20_000;

/// The provider of one enumerator.
pub(crate) struct SqlMembers {
    server: Arc<dyn SqlServer>,
    pub(crate) has_of: bool,
    pages: Pages,
}

enum Pages {
    Declared { first: Asker, after: Asker, twins: Asker },
    Raw { query: Asker, member: Option<String>, first: Option<Constant> },
}

/// A member as the server gave it.
struct Found {
    text: String,
    /// Where a page begins that comes behind it.
    next: String,
    /// Is it of the group that was asked for, letter for letter? To MySQL, 9 equals `9abc`.
    mine: bool,
}

// === impl SqlMembers ===

impl SqlMembers {
    pub(crate) fn new(name: &str, config: &MembersConfig, server: &Arc<dyn SqlServer>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::members(name, key, reason);
        let dialect = server.dialect();
        config.only_for(dialect.kind(), name)?;
        let (has_of, pages) = match (&config.table, &config.query) {
            (Some(table), None) => {
                if config.first.is_some() {
                    return Err(wrong("first", "belongs to `query`"));
                }
                let member = config.member.as_deref();
                let member = member.ok_or_else(|| wrong("member", "is missing: the column that holds the member"))?;
                let of = config.of.as_deref();
                let page = |page| {
                    let made = Statement::members(dialect, table, of, member, &config.constants, page);
                    let made = made.map_err(|reason| wrong("table, of, member, where", &reason))?;
                    Ok::<_, ConfigError>(Asker::new(server, made))
                };
                let pages = Pages::Declared {
                    first: page(MembersPage::First)?,
                    after: page(MembersPage::After)?,
                    twins: page(MembersPage::Twins)?,
                };
                (of.is_some(), pages)
            }
            (None, Some(query)) => {
                if config.of.is_some() {
                    return Err(wrong("of", "belongs to `table`; `query` has the bind :of"));
                }
                let (statement, has_of) = Statement::members_select(dialect, query, &config.constants)
                    .map_err(|at| ConfigError::misplaced_members(name, "query", at))?;
                let query = Asker::new(server, statement);
                (has_of, Pages::Raw { query, member: config.member.clone(), first: config.first.clone() })
            }
            (Some(_), Some(_)) => return Err(wrong("query", "stands beside `table`; one of them is enough")),
            (None, None) => return Err(wrong("table", "is missing; or write a `query`")),
        };
        Ok(Self { server: Arc::clone(server), has_of, pages })
    }

    pub(crate) fn store_name(&self) -> &str {
        self.server.name()
    }

    /// A page; `limit` is at least 1.
    pub(crate) async fn page(&self, of: &str, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        match &self.pages {
            Pages::Declared { first, after: next, twins } => {
                let asker = if after.is_some() { next } else { first };
                if !self.is_of(asker, of).await? {
                    return Ok(Page::default());
                }
                if after.is_none() {
                    first.forget(); // the column may have become another since the last listing
                }
                let whole = self.whole(first).await?;
                self.declared(asker, twins, whole, of, after, limit).await
            }
            Pages::Raw { query, member, first } => {
                if !self.is_of(query, of).await? {
                    return Ok(Page::default());
                }
                self.raw(query, member.as_deref(), first.as_ref(), of, after, limit).await
            }
        }
    }

    /// Do the statements fit their tables? The server reads them and runs nothing.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        match &self.pages {
            Pages::Declared { first, after, .. } => {
                first.forget();
                self.whole(first).await?;
                after.forget();
                after.learned("").await.map(|_| ())
            }
            Pages::Raw { query, member, first } => {
                query.forget();
                self.start(query, member.as_deref(), first.as_ref()).await.map(|_| ())
            }
        }
    }

    /// PostgreSQL: could a group of this name exist at all?
    async fn is_of(&self, asker: &Asker, of: &str) -> Result<bool, Failure> {
        if !self.has_of {
            return Ok(true);
        }
        match asker.type_of(Place::Of, &Fill::default()).await? {
            None => Ok(true),
            Some(kind) if range(&kind).is_some() => Ok(plausible(&kind, of)),
            Some(kind) if matches!(kind.as_str(), "text" | "varchar" | "bpchar") => Ok(true),
            Some(kind) => asker.fits(&kind, of).await,
        }
    }

    async fn declared(
        &self,
        asker: &Asker,
        twins: &Asker,
        whole: bool,
        of: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let begin = after.map(|after| self.begin(after, whole)).transpose()?;
        let fill =
            Fill { of, after: begin.as_ref(), limit: i64::try_from(limit).unwrap_or(i64::MAX), ..Fill::default() };
        let mut found = self.found(&asker.ask(&fill).await?, of)?;
        let Some((last, next)) = found.last().map(|last| (last.text.clone(), last.next.clone())) else {
            return Ok(Page::default());
        };
        if found.len() < limit {
            return Ok(Page { members: once(found), next: None });
        }
        let begin = self.begin(&next, whole)?;
        let twins = self.found(&twins.ask(&Fill { after: Some(&begin), limit: MAX_TWINS, ..fill }).await?, of)?;
        let many = |what: &str| {
            let reason = format!("{what} are equal to {last} in its collation");
            Err(Failure::contradiction(self.store_name(), reason))
        };
        if i64::try_from(twins.len()) == Ok(MAX_TWINS) {
            return many(&format!("{MAX_TWINS} rows or more"));
        }
        let of_them: HashSet<&str> = twins.iter().map(|twin| twin.text.as_str()).collect();
        let distinct = found.iter().map(|member| member.text.as_str()).chain(of_them.iter().copied());
        let next = if distinct.collect::<HashSet<_>>().len() <= limit {
            found.extend(twins);
            next
        } else {
            let before = found.iter().rposition(|member| !of_them.contains(member.text.as_str()));
            let Some((before, next)) = before.and_then(|at| Some((at, found.get(at)?.next.clone()))) else {
                return many(&format!("more than {limit} members"));
            };
            found.truncate(before + 1);
            next
        };
        if after == Some(next.as_str()) {
            return Err(self.standstill(&next));
        }
        Ok(Page { members: once(found), next: Some(next) })
    }

    async fn raw(
        &self,
        query: &Asker,
        member: Option<&str>,
        first: Option<&Constant>,
        of: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let (index, first, whole) = self.start(query, member, first).await?;
        let begin = after.map_or(first, |after| constant(after, whole));
        let fill = Fill { of, after: Some(&begin), limit: i64::try_from(limit).unwrap_or(i64::MAX), ..Fill::default() };
        let answer = query.ask(&fill).await?;
        let texts = answer.rows.iter().map(|row| row.get(index).cloned().flatten());
        let Some(members) = texts.collect::<Option<Vec<String>>>() else {
            return Err(Failure::contradiction(self.store_name(), "the query selects a member that is NULL"));
        };
        if members.len() > limit {
            return Err(Failure::contradiction(self.store_name(), "the query does not keep to its LIMIT :limit"));
        }
        if whole {
            let mut last = plain(&begin).parse::<i64>().ok().filter(|_| after.is_some());
            for member in &members {
                let n = member.parse::<i64>().ok();
                if n.is_none() || (last.is_some() && n < last) || (after.is_some() && n == plain(&begin).parse().ok()) {
                    let reason = format!(
                        "the query gives {member} behind {}: it is not by `member > :after ORDER BY member`",
                        last.map_or_else(|| "the beginning".to_owned(), |last| last.to_string())
                    );
                    return Err(Failure::contradiction(self.store_name(), reason));
                }
                last = n;
            }
        }
        let next = members.last().filter(|_| members.len() == limit).cloned();
        if next.is_some() && next.as_deref() == after {
            return Err(self.standstill(after.unwrap_or_default()));
        }
        let mut seen = HashSet::new();
        Ok(Page { members: members.into_iter().filter(|m| !m.is_empty() && seen.insert(m.clone())).collect(), next })
    }

    fn standstill(&self, at: &str) -> Failure {
        Failure::contradiction(self.store_name(), format!("the page behind {at} ends where it began"))
    }

    /// Where a raw query holds the member, what its first page begins with, and whether members are whole numbers.
    async fn start(
        &self,
        query: &Asker,
        member: Option<&str>,
        first: Option<&Constant>,
    ) -> Result<(usize, Constant, bool), Failure> {
        let contradiction = |reason: String| Failure::contradiction(self.store_name(), reason);
        let learned = query.learned("").await?;
        let index = match member {
            None => Some(0),
            Some(member) => learned.columns.iter().position(|(name, _)| name == member),
        };
        let Some((name, kind)) = index.and_then(|index| learned.columns.get(index)) else {
            let names: Vec<&str> = learned.columns.iter().map(|(name, _)| name.as_str()).collect();
            let member = member.unwrap_or_default();
            return Err(contradiction(format!(
                "member `{member}` is not among the selected columns: {}",
                names.join(", ")
            )));
        };
        let bound = query.type_of(Place::After, &Fill::default()).await?;
        let known = match (&bound, kind) {
            (Some(kind), _) if range(kind).is_some() => range(kind).map(|range| Constant::Integer(*range.start())),
            (Some(kind), _) if matches!(kind.as_str(), "text" | "varchar" | "bpchar") => {
                Some(Constant::Text(String::new()))
            }
            (Some(kind), _) if kind == "uuid" => {
                Some(Constant::Text("00000000-0000-0000-0000-000000000000".to_owned()))
            }
            (Some(_), _) => None,
            (None, Kind::Whole) => Some(Constant::Integer(i64::MIN)),
            (None, Kind::Text) => Some(Constant::Text(String::new())),
            (None, Kind::Other) => None,
        };
        let Some(first) = first.cloned().or(known) else {
            let reason =
                format!("the type of `{name}` is not known: say with `first` what :after is for the first page");
            return Err(contradiction(reason));
        };
        let whole = match bound {
            Some(kind) => range(&kind).is_some(),
            None => *kind == Kind::Whole || (*kind == Kind::Other && matches!(first, Constant::Integer(_))),
        };
        Ok((index.unwrap_or_default(), first, whole))
    }

    /// MySQL: is the column one of whole numbers? A text that is compared with a number would be read as one.
    async fn whole(&self, asker: &Asker) -> Result<bool, Failure> {
        if asker.statement.dialect != Dialect::Mysql {
            return Ok(false);
        }
        match asker.learned("").await?.columns.first() {
            Some((_, Kind::Whole)) => Ok(true),
            Some((_, Kind::Text)) => Ok(false),
            _ => {
                let reason = "the column of the member is neither of whole numbers nor of texts; use a `query`";
                Err(Failure::contradiction(self.store_name(), reason))
            }
        }
    }

    fn begin(&self, after: &str, whole: bool) -> Result<Constant, Failure> {
        if self.server.dialect() != Dialect::Sqlite {
            return Ok(constant(after, whole));
        }
        let begin = after.strip_prefix('t').map(|text| Constant::Text(text.to_owned()));
        begin
            .or_else(|| after.strip_prefix('i')?.parse().ok().map(Constant::Integer))
            .ok_or_else(|| Failure::contradiction(self.store_name(), format!("no page begins at `{after}`")))
    }

    fn found(&self, answer: &Table, of: &str) -> Result<Vec<Found>, Failure> {
        let sqlite = self.server.dialect() == Dialect::Sqlite;
        let member = |row: &Vec<Option<String>>| {
            let cell = |index: usize| row.get(index).and_then(|text| text.as_deref());
            let text = cell(0)?.to_owned();
            let mine = !self.has_of || cell(if sqlite { 2 } else { 1 }) == Some(of);
            let next = match (sqlite, cell(1)) {
                (false, _) => text.clone(),
                (true, Some("integer")) => format!("i{text}"),
                (true, Some("text")) => format!("t{text}"),
                (true, class) => {
                    let reason = format!("the member {text} is of class {}", class.unwrap_or("NULL"));
                    return Some(Err(Failure::contradiction(self.store_name(), reason)));
                }
            };
            Some(Ok(Found { text, next, mine }))
        };
        answer.rows.iter().filter_map(member).collect()
    }
}

fn constant(text: &str, whole: bool) -> Constant {
    match text.parse() {
        Ok(n) if whole => Constant::Integer(n),
        _ => Constant::Text(text.to_owned()),
    }
}

/// Each member once; an empty one is nobody.
fn once(found: Vec<Found>) -> Vec<String> {
    let mut seen = HashSet::with_capacity(found.len());
    let members = found.into_iter().filter(|found| found.mine).map(|found| found.text);
    members.filter(|member| !member.is_empty() && seen.insert(member.clone())).collect()
}
