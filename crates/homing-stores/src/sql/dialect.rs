//! How the servers differ in what they read.

use crate::config::StoreKind;

/// A way to write SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL. A bind has a type there; so every value is bound as text and cast to what the server wants it to be.
    Postgres,
    /// SQLite.
    Sqlite,
}

// === impl Dialect ===

impl Dialect {
    /// The kind of store that speaks it.
    pub(crate) fn kind(self) -> StoreKind {
        match self {
            Self::Mysql => StoreKind::Mysql,
            Self::Postgres => StoreKind::Postgres,
            Self::Sqlite => StoreKind::Sqlite,
        }
    }

    /// A quoted name. Letters, digits, `_` and `$`; dots part a schema from its table.
    ///
    /// SQLite takes an unknown name in double quotes for a text, so it gets backticks, which it knows from MySQL.
    pub(crate) fn quote(self, name: &str) -> Result<String, String> {
        let quote = if self == Self::Postgres { '"' } else { '`' };
        let fine = |part: &str| {
            !part.is_empty()
                && part.len() <= 64
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
        };
        if name.split('.').all(fine) {
            Ok(name.split('.').map(|part| format!("{quote}{part}{quote}")).collect::<Vec<_>>().join("."))
        } else {
            Err(format!("`{name}` is no name; letters, digits, _ and $ are, and dots between them"))
        }
    }

    /// The bind with this number, from 1; cast to a type where one is known.
    pub(crate) fn bind(self, number: usize, kind: Option<&str>) -> String {
        match (self, kind) {
            (Self::Mysql | Self::Sqlite, _) => "?".to_owned(),
            (Self::Postgres, None) => format!("${number}"),
            (Self::Postgres, Some("text")) => format!("CAST(${number} AS text)"),
            (Self::Postgres, Some(kind)) => format!("CAST(CAST(${number} AS text) AS {kind})"),
        }
    }

    /// A quoted column, selected as text. MySQL's columns are read as they are (see `mysql_row`): a cast there turns
    /// BIT(1) into a control character.
    pub(crate) fn text(self, column: &str) -> String {
        match self {
            Self::Mysql => column.to_owned(),
            Self::Postgres | Self::Sqlite => format!("CAST({column} AS TEXT)"),
        }
    }
}
