//! The one place where SQL text is made. Names are quoted after a check of their letters, values are always bound.
//!
//! Two ways lead here. Declarative: table, columns and constants become a SELECT. Raw: a statement from the configuration
//! is read for its `:name` binds only, and refused where it could be more than one statement (see `scan`). The read-only
//! session stands behind both.

use std::collections::BTreeMap;

use crate::config::Constant;
use crate::error::Misplaced;
use crate::sql::dialect::Dialect;
use crate::sql::scan::{Part, Scanned};

/// The bind that becomes the list of ids.
pub(crate) const IDS: &str = "user_ids";

/// Ids in one statement. A list is filled up to the next size with its last id, so that a server has ten statements to
/// remember instead of five hundred.
pub(crate) const SIZES: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, MOST];

/// The last of [`SIZES`].
pub(crate) const MOST: usize = 500;

/// A statement as pieces of text and binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(super) dialect: Dialect,
    pieces: Vec<Piece>,
    /// Written by hand: nobody cast its columns to text.
    pub(super) raw: bool,
    /// An UPDATE or DELETE.
    pub(super) writes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Table,
    Ids,
    Bind(Bound),
}

/// A single value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Constant(Constant),
    User,
    Token,
    Of,
    After,
    Limit,
}

/// What a statement is filled with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fill<'a> {
    /// The quoted table, where it depends on the ids.
    pub(crate) table: &'a str,
    /// At most [`MOST`].
    pub(crate) ids: &'a [&'a str],
    /// Of the token.
    pub(crate) user: &'a str,
    /// To be taken out.
    pub(crate) token: &'a str,
    /// A group or topic.
    pub(crate) of: &'a str,
    /// The last member of the page before.
    pub(crate) after: Option<&'a Constant>,
    /// Members of a page.
    pub(crate) limit: i64,
}

/// The types that the server gives to the binds of a statement, in its order; empty where nobody has to know.
pub(crate) type Casts = [String];

// === impl Statement ===

impl Statement {
    /// SELECT of quoted names: first the id, then the columns. Without a table, the filling says which.
    pub(crate) fn declarative(
        dialect: Dialect,
        table: Option<&str>,
        id: &str,
        columns: &[String],
        constants: &BTreeMap<String, Constant>,
    ) -> Result<Self, String> {
        let id = dialect.quote(id)?;
        let mut selected = vec![dialect.text(&id)];
        for column in columns {
            selected.push(dialect.text(&dialect.quote(column)?));
        }
        let mut made = Maker::new(dialect);
        made.text(&format!("SELECT {} FROM ", selected.join(", ")));
        match table {
            Some(table) => made.text(&dialect.quote(table)?),
            None => made.pieces.push(Piece::Table),
        }
        made.text(&format!(" WHERE {id} IN ("));
        made.pieces.push(Piece::Ids);
        made.text(")");
        made.constants("", constants)?;
        Ok(made.done())
    }

    /// SELECT of members: the first page, or what comes `after`. The `twins` of a member are those that the server holds
    /// for equal to it: `ann` and `ANN` to a collation without cases.
    pub(crate) fn members(
        dialect: Dialect,
        table: &str,
        of: Option<&str>,
        member: &str,
        constants: &BTreeMap<String, Constant>,
        page: MembersPage,
    ) -> Result<Self, String> {
        // A name with its table is the column; alone, after ORDER BY, it would be the text that is selected.
        let member = format!("h.{}", dialect.quote(member)?);
        let mut made = Maker::new(dialect);
        made.text(&format!("SELECT {}", dialect.text(&member)));
        if dialect == Dialect::Sqlite {
            made.text(&format!(", typeof({member})"));
        }
        // What the server holds for equal to the asked one may be another: 9 to `9abc`.
        if let Some(of) = of {
            made.text(&format!(", {}", dialect.text(&format!("h.{}", dialect.quote(of)?))));
        }
        made.text(&format!(" FROM {} AS h WHERE ", dialect.quote(table)?));
        match page {
            MembersPage::First => made.text(&format!("{member} IS NOT NULL")),
            MembersPage::After => {
                made.text(&format!("{member} > "));
                made.bind(Bound::After);
            }
            MembersPage::Twins => {
                made.text(&format!("{member} = "));
                made.bind(Bound::After);
            }
        }
        if let Some(of) = of {
            made.text(&format!(" AND h.{} = ", dialect.quote(of)?));
            made.bind(Bound::Of);
        }
        made.constants("h.", constants)?;
        if page != MembersPage::Twins {
            made.text(&format!(" ORDER BY {member}"));
        }
        made.text(" LIMIT ");
        made.bind(Bound::Limit);
        Ok(made.done())
    }

    /// Reads a raw SELECT over `:user_ids` and the named constants.
    pub(crate) fn select(
        dialect: Dialect,
        sql: &str,
        constants: &BTreeMap<String, Constant>,
    ) -> Result<Self, Misplaced> {
        let scanned = Scanned::of(sql, dialect)?;
        scanned.only_selects()?;
        let statement = bind(scanned, dialect, |name| match name {
            IDS => Some(Piece::Ids),
            name => constants.get(name).map(|constant| Piece::Bind(Bound::Constant(constant.clone()))),
        })?;
        if !statement.pieces.contains(&Piece::Ids) {
            return Err(Misplaced::new(1, "does not ask for :user_ids, as in WHERE account_id IN (:user_ids)"));
        }
        Ok(statement)
    }

    /// Reads a raw SELECT over `:after`, `:limit`, the named constants and, where there is one, `:of`. Answers whether
    /// there is.
    pub(crate) fn members_select(
        dialect: Dialect,
        sql: &str,
        constants: &BTreeMap<String, Constant>,
    ) -> Result<(Self, bool), Misplaced> {
        let scanned = Scanned::of(sql, dialect)?;
        scanned.only_selects()?;
        for name in ["after", "limit"] {
            if !scanned.binds().any(|(_, bound)| bound == name) {
                let reason =
                    format!("does not name :{name}, as in WHERE user_id > :after ORDER BY user_id LIMIT :limit");
                return Err(Misplaced::new(1, reason));
            }
        }
        if !scanned.words.iter().any(|(_, word)| word == "ORDER") {
            return Err(Misplaced::new(1, "has no ORDER BY: pages need an order"));
        }
        let of = scanned.binds().any(|(_, bound)| bound == "of");
        let statement = bind(scanned, dialect, |name| {
            Some(Piece::Bind(match name {
                "of" => Bound::Of,
                "after" => Bound::After,
                "limit" => Bound::Limit,
                name => Bound::Constant(constants.get(name)?.clone()),
            }))
        })?;
        Ok((statement, of))
    }

    /// Reads a raw UPDATE or DELETE whose condition names both `:token` and `:user`, so that a token that has meanwhile
    /// moved to another user stays.
    pub(crate) fn invalidate(
        dialect: Dialect,
        sql: &str,
        constants: &BTreeMap<String, Constant>,
    ) -> Result<Self, Misplaced> {
        let scanned = Scanned::of(sql, dialect)?;
        scanned.begins_with(&["UPDATE", "DELETE"])?;
        let Some((condition, _)) = scanned.words.iter().find(|(_, word)| word == "WHERE") else {
            return Err(Misplaced::new(1, "has no WHERE"));
        };
        for name in ["token", "user"] {
            if !scanned.binds().any(|(position, bound)| position > *condition && bound == name) {
                let reason =
                    format!("the WHERE does not name :{name}; a token goes only while it is still that user's");
                return Err(Misplaced::new(*condition, reason));
            }
        }
        let statement = bind(scanned, dialect, |name| {
            Some(Piece::Bind(match name {
                "user" => Bound::User,
                "token" => Bound::Token,
                name => Bound::Constant(constants.get(name)?.clone()),
            }))
        })?;
        Ok(Self { writes: true, ..statement })
    }

    /// Text and values, cast to the types that the server wants. A list of ids is filled up to the next of [`SIZES`].
    pub(crate) fn render(&self, fill: &Fill<'_>, casts: &Casts) -> (String, Vec<Constant>) {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let mut casts = casts.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Table => sql.push_str(fill.table),
                Piece::Ids => {
                    let cast = casts.next().map(String::as_str);
                    for (index, id) in filled(fill.ids).enumerate() {
                        sql.push_str(if index == 0 { "" } else { "," });
                        values.push(Constant::Text(id.to_owned()));
                        sql.push_str(&self.dialect.bind(values.len(), cast));
                    }
                }
                Piece::Bind(bound) => {
                    let value = bound.value(fill);
                    values.push(if self.dialect == Dialect::Postgres { Constant::Text(plain(&value)) } else { value });
                    sql.push_str(&self.dialect.bind(values.len(), casts.next().map(String::as_str)));
                }
            }
        }
        (sql, values)
    }

    /// Which of the binds of [`Self::render`] with one id is the list of ids or the `:after`; from 0.
    pub(super) fn place_of(&self, wanted: Place) -> Option<usize> {
        let binds = self.pieces.iter().filter(|piece| matches!(piece, Piece::Ids | Piece::Bind(_)));
        binds.into_iter().position(|piece| match wanted {
            Place::Ids => *piece == Piece::Ids,
            Place::After => *piece == Piece::Bind(Bound::After),
            Place::Of => *piece == Piece::Bind(Bound::Of),
        })
    }

    /// The statement as a person would type it. For eyes only: nothing is ever executed that was written so.
    pub(crate) fn shown(&self, fill: &Fill<'_>) -> String {
        let literal = |value: &Constant| match value {
            Constant::Text(text) => format!("'{}'", text.replace('\'', "''")),
            other => plain(other),
        };
        let mut sql = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Table => sql.push_str(fill.table),
                Piece::Ids => {
                    let ids = fill.ids.iter().map(|id| literal(&Constant::Text((*id).to_owned())));
                    sql.push_str(&ids.collect::<Vec<_>>().join(", "));
                }
                Piece::Bind(bound) => sql.push_str(&literal(&bound.value(fill))),
            }
        }
        sql
    }
}

/// Which page of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MembersPage {
    /// The first.
    First,
    /// The one after a member.
    After,
    /// Those that the server holds for equal to a member.
    Twins,
}

/// A bind of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ids,
    After,
    Of,
}

// === impl Bound ===

impl Bound {
    fn value(&self, fill: &Fill<'_>) -> Constant {
        match self {
            Self::Constant(constant) => constant.clone(),
            Self::User => Constant::Text(fill.user.to_owned()),
            Self::Token => Constant::Text(fill.token.to_owned()),
            Self::Of => Constant::Text(fill.of.to_owned()),
            Self::After => fill.after.cloned().unwrap_or_else(|| Constant::Text(String::new())),
            Self::Limit => Constant::Integer(fill.limit),
        }
    }
}

/// A constant as text.
pub(super) fn plain(value: &Constant) -> String {
    match value {
        Constant::Bool(yes) => u8::from(*yes).to_string(),
        Constant::Integer(n) => n.to_string(),
        Constant::Text(text) => text.clone(),
    }
}

fn filled<'a>(ids: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let size = SIZES.into_iter().find(|size| *size >= ids.len()).unwrap_or(ids.len());
    let last = ids.last().copied().unwrap_or_default();
    ids.iter().copied().chain(std::iter::repeat(last)).take(size)
}

fn bind(scanned: Scanned, dialect: Dialect, meaning: impl Fn(&str) -> Option<Piece>) -> Result<Statement, Misplaced> {
    let pieces = scanned.parts.into_iter().map(|part| match part {
        Part::Text(text) => Ok(Piece::Text(text)),
        Part::Bind(position, name) => meaning(&name).ok_or_else(|| {
            Misplaced::new(position, format!("nothing is bound to :{name}; constants stand in `where`"))
        }),
    });
    Ok(Statement { dialect, pieces: pieces.collect::<Result<_, _>>()?, raw: true, writes: false })
}

/// Pieces, one after another.
struct Maker {
    dialect: Dialect,
    pieces: Vec<Piece>,
}

// === impl Maker ===

impl Maker {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, pieces: Vec::new() }
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn bind(&mut self, bound: Bound) {
        self.pieces.push(Piece::Bind(bound));
    }

    fn constants(&mut self, of: &str, constants: &BTreeMap<String, Constant>) -> Result<(), String> {
        for (column, constant) in constants {
            self.text(&format!(" AND {of}{} = ", self.dialect.quote(column)?));
            self.bind(Bound::Constant(constant.clone()));
        }
        Ok(())
    }

    fn done(self) -> Statement {
        Statement { dialect: self.dialect, pieces: self.pieces, raw: false, writes: false }
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
