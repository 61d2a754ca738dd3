//! Where each value of the merged configuration was written.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use super::error::ConfigError;

/// With which the names of our variables begin.
pub(super) const PREFIX: &str = "HOMING__";

/// Keys and array positions from the root to a value; a position is written as in `[0]`.
pub(super) type Path = Vec<String>;

/// The path's segment for a position in an array.
pub(super) fn position(index: usize) -> String {
    format!("[{index}]")
}

/// A text that was read: a file, or the defaults.
#[derive(Debug)]
pub(super) struct Source {
    /// As the user named it.
    pub(super) name: String,
    /// The folder that relative paths in it start from.
    pub(super) dir: PathBuf,
}

/// Where one value was written.
#[derive(Clone)]
pub(super) enum Origin {
    Text {
        source: Arc<Source>,
        line: Option<usize>,
        column: Option<usize>,
    },
    Env {
        name: String,
        /// A number or boolean as it was written, for the case that the program wants a text there.
        text: Option<String>,
    },
}

/// Not derived: the text may be a secret.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { source, line, column } => {
                f.write_str(&source.name)?;
                line.map_or(Ok(()), |line| write!(f, " line {line}"))?;
                column.map_or(Ok(()), |column| write!(f, " column {column}"))
            }
            Self::Env { name, .. } => write!(f, "environment {name}"),
        }
    }
}

/// Where every value of a loaded configuration was written.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<Path, Origin>);

impl Origins {
    /// An error about the value at `path`, for checks that a type cannot express: it names file and line, or the variable,
    /// as the loader's own errors do. A position in an array is written as in `["channel", "[0]", "url"]`.
    pub fn error(&self, path: &[&str], message: impl Into<String>) -> ConfigError {
        let path: Path = path.iter().map(|key| (*key).to_owned()).collect();
        self.error_at(&path, message)
    }

    /// Where the value at `path` was written: `FILE line N`, or the variable. `None`: nowhere.
    pub fn place(&self, path: &[&str]) -> Option<String> {
        let path: Path = path.iter().map(|key| (*key).to_owned()).collect();
        self.get(&path).map(ToString::to_string)
    }

    /// The origin is that of the value itself, or else of the nearest table around it.
    pub(super) fn error_at(&self, path: &[String], message: impl Into<String>) -> ConfigError {
        let nearest = (0..=path.len()).rev().find_map(|n| path.get(..n).and_then(|p| self.0.get_key_value(p)));
        match nearest {
            // The variable's name says the path already.
            Some((_, origin @ Origin::Env { name, .. })) if name.eq_ignore_ascii_case(&variable(path)) => {
                ConfigError::at(origin.clone(), message)
            }
            nearest => ConfigError::new(nearest.map(|(_, origin)| origin.clone()), dotted(path), message),
        }
    }

    pub(super) fn get(&self, path: &[String]) -> Option<&Origin> {
        self.0.get(path)
    }

    pub(super) fn insert(&mut self, path: &[String], origin: Origin) {
        self.0.insert(path.to_vec(), origin);
    }

    /// Forgets a value and everything below it.
    pub(super) fn remove(&mut self, path: &[String]) {
        self.0.retain(|at, _| !at.starts_with(path));
    }

    /// A value was replaced as a whole.
    pub(super) fn replace(&mut self, path: &[String], from: &Self) {
        self.remove(path);
        self.0.extend(from.below(path).map(|(at, origin)| (at.clone(), origin.clone())));
    }

    /// A table gained keys. One that a text writes out again is found there from now on; a variable writes none.
    pub(super) fn merge(&mut self, path: &[String], from: &Self) {
        if let Some(origin @ Origin::Text { .. }) = from.get(path) {
            self.insert(path, origin.clone());
        }
    }

    fn below<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = (&'a Path, &'a Origin)> {
        self.0.range(path.to_vec()..).take_while(move |(at, _)| at.starts_with(path))
    }
}

/// The variable that sets the value at `path`.
fn variable(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("__"))
}

/// `lane.system.shards`, `channel[0].url`; a key that is no bare TOML key is quoted.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let mut text = String::new();
    for key in path {
        let place = key.starts_with('[');
        if !text.is_empty() && !place {
            text.push('.');
        }
        if place || bare(key) { text.push_str(key) } else { text.push_str(&format!("{key:?}")) }
    }
    text
}
