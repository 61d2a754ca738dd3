//! The one place where SQL text is made. Names are quoted after a check of their letters, values are always bound.
//!
//! Two ways lead here. Declarative: table, columns and constants become a SELECT. Raw: a statement from the configuration
//! is read for its `:name` binds only; what could make it more than one statement, or hide something from this reader
//! (comments, backslashes in text), is refused. The read-only session stands behind both.

use std::collections::BTreeMap;

use crate::config::Constant;
use crate::error::Misplaced;

/// The bind that becomes the list of ids.
pub(crate) const IDS: &str = "user_ids";

/// Ids in one statement. A list is filled up to the next size with its last id, so that a server has ten statements to
/// remember instead of five hundred.
pub(crate) const SIZES: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 500];

/// A statement as pieces of text and binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Ids,
    Bind(Bound),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Constant(Constant),
    User,
    Token,
}

/// A name in backticks. Letters, digits, `_` and `$`; dots part a schema from its table.
pub(crate) fn quote(name: &str) -> Result<String, String> {
    let fine = |part: &str| {
        !part.is_empty()
            && part.len() <= 64
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
    };
    if name.split('.').all(fine) {
        Ok(name.split('.').map(|part| format!("`{part}`")).collect::<Vec<_>>().join("."))
    } else {
        Err(format!("`{name}` is no name; letters, digits, _ and $ are, and dots between them"))
    }
}

// === impl Statement ===

impl Statement {
    /// SELECT of quoted names: first the id, then the columns.
    pub(crate) fn declarative(
        table: &str,
        id: &str,
        columns: &[String],
        constants: &BTreeMap<String, Constant>,
    ) -> Result<Self, String> {
        let id = quote(id)?;
        let columns = columns.iter().map(|column| quote(column)).collect::<Result<Vec<_>, _>>()?;
        let names = std::iter::once(id.clone()).chain(columns).collect::<Vec<_>>().join(", ");
        let head = format!("SELECT {names} FROM {} WHERE {id} IN (", quote(table)?);
        let mut pieces = vec![Piece::Text(head), Piece::Ids];
        let mut before = ")".to_owned();
        for (column, constant) in constants {
            pieces.push(Piece::Text(format!("{before} AND {} = ", quote(column)?)));
            pieces.push(Piece::Bind(Bound::Constant(constant.clone())));
            before.clear();
        }
        pieces.push(Piece::Text(before));
        Ok(Self { pieces })
    }

    /// Reads a raw SELECT over `:user_ids` and the named constants.
    pub(crate) fn select(sql: &str, constants: &BTreeMap<String, Constant>) -> Result<Self, Misplaced> {
        let scanned = Scanned::of(sql)?;
        scanned.begins_with(&["SELECT"])?;
        scanned.without(&["INTO"])?;
        for pair in scanned.words.windows(2) {
            if let [(position, first), (_, second)] = pair
                && matches!((first.as_str(), second.as_str()), ("FOR", "UPDATE" | "SHARE") | ("LOCK", "IN"))
            {
                return Err(Misplaced::new(*position, "a lookup takes no locks"));
            }
        }
        let statement = scanned.bind(|name| match name {
            IDS => Some(Piece::Ids),
            name => constants.get(name).map(|constant| Piece::Bind(Bound::Constant(constant.clone()))),
        })?;
        if !statement.pieces.contains(&Piece::Ids) {
            return Err(Misplaced::new(1, "does not ask for :user_ids, as in WHERE account_id IN (:user_ids)"));
        }
        Ok(statement)
    }

    /// Reads a raw UPDATE or DELETE whose condition names both `:token` and `:user`, so that a token that has meanwhile
    /// moved to another user stays.
    pub(crate) fn invalidate(sql: &str, constants: &BTreeMap<String, Constant>) -> Result<Self, Misplaced> {
        let scanned = Scanned::of(sql)?;
        scanned.begins_with(&["UPDATE", "DELETE"])?;
        let Some((condition, _)) = scanned.words.iter().find(|(_, word)| word == "WHERE") else {
            return Err(Misplaced::new(1, "has no WHERE"));
        };
        for name in ["token", "user"] {
            let named = |bind: &(usize, String)| bind.0 > *condition && bind.1 == name;
            if !scanned.binds().any(|bind| named(&bind)) {
                let reason =
                    format!("the WHERE does not name :{name}; a token goes only while it is still that user's");
                return Err(Misplaced::new(*condition, reason));
            }
        }
        scanned.bind(|name| {
            Some(Piece::Bind(match name {
                "user" => Bound::User,
                "token" => Bound::Token,
                name => Bound::Constant(constants.get(name)?.clone()),
            }))
        })
    }

    /// Text and binds for some ids, at most the last of [`SIZES`].
    pub(crate) fn for_ids(&self, ids: &[&str]) -> (String, Vec<Constant>) {
        let size = SIZES.into_iter().find(|size| *size >= ids.len()).unwrap_or(ids.len());
        let last = ids.last().copied().unwrap_or_default();
        let filled: Vec<&str> = ids.iter().copied().chain(std::iter::repeat(last)).take(size).collect();
        self.render(&filled, "", "")
    }

    /// Text and binds for a user's token.
    pub(crate) fn for_token(&self, user: &str, token: &str) -> (String, Vec<Constant>) {
        self.render(&[], user, token)
    }

    fn render(&self, ids: &[&str], user: &str, token: &str) -> (String, Vec<Constant>) {
        let (mut sql, mut binds) = (String::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Ids => {
                    sql.push_str(&vec!["?"; ids.len()].join(","));
                    binds.extend(ids.iter().map(|id| Constant::Text((*id).to_owned())));
                }
                Piece::Bind(bound) => {
                    sql.push('?');
                    binds.push(match bound {
                        Bound::Constant(constant) => constant.clone(),
                        Bound::User => Constant::Text(user.to_owned()),
                        Bound::Token => Constant::Text(token.to_owned()),
                    });
                }
            }
        }
        (sql, binds)
    }
}

/// A statement taken apart: text, binds, and the words outside of quotes. Positions are characters from 1.
struct Scanned {
    parts: Vec<Part>,
    words: Vec<(usize, String)>,
}

enum Part {
    Text(String),
    Bind(usize, String),
}

// === impl Scanned ===

impl Scanned {
    fn of(sql: &str) -> Result<Self, Misplaced> {
        let chars: Vec<char> = sql.chars().collect();
        let (mut parts, mut words, mut text) = (Vec::new(), Vec::new(), String::new());
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let position = at + 1;
            let next = chars.get(at + 1).copied();
            let refuse = |reason: &str| Err(Misplaced::new(position, reason));
            match c {
                '\'' | '"' | '`' => {
                    let end = closing(&chars, at)?;
                    text.extend(chars.iter().take(end + 1).skip(at));
                    at = end + 1;
                }
                ';' => return refuse("a `;` outside of text; only one statement is allowed"),
                '?' => return refuse("a `?`; binds are written :name"),
                '#' => return refuse("a comment"),
                '/' if next == Some('*') => return refuse("a comment"),
                '-' if next == Some('-') => return refuse("a comment"),
                '\0' => return refuse("a zero byte"),
                ':' => {
                    let name = word(&chars, at + 1);
                    if name.is_empty() {
                        return refuse("a `:` without a name");
                    }
                    at += 1 + name.chars().count();
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Bind(position, name));
                }
                c if is_word(c) => {
                    let found = word(&chars, at);
                    at += found.chars().count();
                    text.push_str(&found);
                    words.push((position, found.to_ascii_uppercase()));
                }
                c => {
                    text.push(c);
                    at += 1;
                }
            }
        }
        parts.push(Part::Text(text));
        Ok(Self { parts, words })
    }

    fn binds(&self) -> impl Iterator<Item = (usize, String)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Bind(position, name) => Some((*position, name.clone())),
            Part::Text(_) => None,
        })
    }

    fn begins_with(&self, allowed: &[&str]) -> Result<(), Misplaced> {
        let first = self.words.first().map_or("", |(_, word)| word);
        let begins = match self.parts.first() {
            Some(Part::Text(text)) => text.trim_start().to_ascii_uppercase().starts_with(first),
            _ => false,
        };
        if begins && allowed.contains(&first) {
            return Ok(());
        }
        Err(Misplaced::new(1, format!("must begin with {}", allowed.join(" or "))))
    }

    fn without(&self, refused: &[&str]) -> Result<(), Misplaced> {
        match self.words.iter().find(|(_, word)| refused.contains(&word.as_str())) {
            Some((position, word)) => Err(Misplaced::new(*position, format!("{word} is not allowed here"))),
            None => Ok(()),
        }
    }

    fn bind(self, meaning: impl Fn(&str) -> Option<Piece>) -> Result<Statement, Misplaced> {
        let pieces = self.parts.into_iter().map(|part| match part {
            Part::Text(text) => Ok(Piece::Text(text)),
            Part::Bind(position, name) => meaning(&name).ok_or_else(|| {
                Misplaced::new(position, format!("nothing is bound to :{name}; constants stand in `where`"))
            }),
        });
        Ok(Statement { pieces: pieces.collect::<Result<_, _>>()? })
    }
}

/// Where the quote that opens at `start` closes. Twice the quote stands for itself.
fn closing(chars: &[char], start: usize) -> Result<usize, Misplaced> {
    let quote = chars.get(start);
    let mut at = start + 1;
    loop {
        match chars.get(at) {
            None => return Err(Misplaced::new(start + 1, "a quote that never ends")),
            Some('\\') => {
                return Err(Misplaced::new(
                    at + 1,
                    "a backslash in text means different things to different servers; use a bind",
                ));
            }
            c if c == quote && chars.get(at + 1) == quote => at += 2,
            c if c == quote => return Ok(at),
            Some(_) => at += 1,
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn word(chars: &[char], at: usize) -> String {
    chars.iter().skip(at).take_while(|c| is_word(**c)).collect()
}

#[cfg(test)]
#[path = "sql_text_tests.rs"]
mod tests;
