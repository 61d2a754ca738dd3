//! One text of TOML as a table in which every value knows its line.

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;
use toml::{
    Table,
    de::{DeTable, DeValue},
};

use super::{
    error::ConfigError,
    origin::{Origin, Origins, Path, Source, position},
};

/// What one source sets.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) table: Table,
    pub(super) origins: Origins,
}

impl Layer {
    pub(super) fn parse(name: &str, dir: PathBuf, text: &str) -> Result<Self, ConfigError> {
        let text = Text { text, source: Arc::new(Source { name: name.to_owned(), dir }) };
        let document = DeTable::parse(text.text).map_err(|e| text.error(&e, e.message()))?;
        let mut origins = Origins::default();
        origins.insert(&[], Origin::Text { source: text.source.clone(), line: None, column: None });
        text.table(document.get_ref(), &mut Path::new(), &mut origins);
        // The syntax knows larger numbers than a value can hold.
        let fits = Table::deserialize(toml::de::Deserializer::from(document));
        let table = fits.map_err(|e| text.error(&e, "the number does not fit into 64 bits"))?;
        Ok(Self { table, origins })
    }
}

struct Text<'a> {
    text: &'a str,
    source: Arc<Source>,
}

impl Text<'_> {
    fn table(&self, table: &DeTable<'_>, path: &mut Path, origins: &mut Origins) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            self.value(value.get_ref(), key.span().start, path, origins);
            path.pop();
        }
    }

    fn value(&self, value: &DeValue<'_>, offset: usize, path: &mut Path, origins: &mut Origins) {
        let (line, _) = self.line_and_column(offset);
        origins.insert(path, Origin::Text { source: self.source.clone(), line: Some(line), column: None });
        match value {
            DeValue::Table(table) => self.table(table, path, origins),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    path.push(position(index));
                    self.value(element.get_ref(), element.span().start, path, origins);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn error(&self, error: &toml::de::Error, message: &str) -> ConfigError {
        let place = error.span().map(|span| self.line_and_column(span.start));
        let origin = Origin::Text { source: self.source.clone(), line: place.map(|p| p.0), column: place.map(|p| p.1) };
        ConfigError::at(origin, message)
    }

    /// Both counted from 1, the column in characters.
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let last = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, last.chars().count() + 1)
    }
}
