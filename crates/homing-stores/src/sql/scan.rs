//! A raw statement taken apart: text, binds, and the words outside of quotes.
//!
//! What could make it more than one statement, or hide something from this reader, is refused: `;`, comments, backslashes
//! in text, and what a server's own grammar adds (`$$` texts of PostgreSQL; `[names]`, `@binds` and `$binds` of SQLite).
//! Positions are characters from 1.

use crate::error::Misplaced;
use crate::sql::dialect::Dialect;

/// A statement, read.
pub(super) struct Scanned {
    pub(super) parts: Vec<Part>,
    /// Words in capitals, with their places.
    pub(super) words: Vec<(usize, String)>,
}

/// A piece of it.
pub(super) enum Part {
    /// As it stands.
    Text(String),
    /// `:name`, at this place.
    Bind(usize, String),
}

// === impl Scanned ===

impl Scanned {
    pub(super) fn of(sql: &str, dialect: Dialect) -> Result<Self, Misplaced> {
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
                '?' if dialect != Dialect::Postgres => return refuse("a `?`; binds are written :name"),
                '#' if dialect != Dialect::Postgres => return refuse("a comment"),
                '/' if next == Some('*') => return refuse("a comment"),
                '-' if next == Some('-') => return refuse("a comment"),
                '\0' => return refuse("a zero byte"),
                '$' if dialect != Dialect::Mysql => return refuse("a `$`; binds are written :name, texts in quotes"),
                '@' if dialect == Dialect::Sqlite => return refuse("an `@`; binds are written :name"),
                '[' if dialect == Dialect::Sqlite => return refuse("a `[`; names are quoted with backticks"),
                ':' if dialect == Dialect::Postgres && next == Some(':') => {
                    text.push_str("::");
                    at += 2;
                }
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
                    if dialect == Dialect::Postgres && found.contains('$') {
                        return refuse("a `$`; binds are written :name, texts in quotes");
                    }
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

    /// Names and places of the binds.
    pub(super) fn binds(&self) -> impl Iterator<Item = (usize, &str)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Bind(position, name) => Some((*position, name.as_str())),
            Part::Text(_) => None,
        })
    }

    pub(super) fn begins_with(&self, allowed: &[&str]) -> Result<(), Misplaced> {
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

    /// Is it a SELECT that neither writes a file or table nor takes locks?
    pub(super) fn only_selects(&self) -> Result<(), Misplaced> {
        self.begins_with(&["SELECT"])?;
        if let Some((position, _)) = self.words.iter().find(|(_, word)| word == "INTO") {
            return Err(Misplaced::new(*position, "INTO is not allowed here"));
        }
        for pair in self.words.windows(2) {
            if let [(position, first), (_, second)] = pair
                && matches!(
                    (first.as_str(), second.as_str()),
                    ("FOR", "UPDATE" | "SHARE" | "NO" | "KEY") | ("LOCK", "IN")
                )
            {
                return Err(Misplaced::new(*position, "a lookup takes no locks"));
            }
        }
        Ok(())
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
