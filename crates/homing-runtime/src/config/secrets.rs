//! Secrets that stand in files of their own: `url_file = "redis.url"` instead of `url = "redis://:..."`.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path as FilePath, PathBuf},
};

use toml::{Table, Value};

use super::{
    error::ConfigError,
    layer::Layer,
    origin::{Origin, Path, dotted, position},
};

/// The keys that may be given as `<key>_file` unless [`Sources::secrets`](super::Sources::secrets) names others.
pub const SECRET_KEYS: &[&str] = &["url", "secret", "password", "key", "token"];

const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";

/// Which keys hold secrets.
pub(super) struct SecretKeys(pub(super) Vec<String>);

impl SecretKeys {
    pub(super) fn is_secret(&self, key: &str) -> bool {
        self.0.iter().any(|secret| secret == key)
    }

    /// The other form of the same setting: `url_file` for `url` and the other way round.
    pub(super) fn twin(&self, key: &str) -> Option<String> {
        match key.strip_suffix("_file") {
            Some(stem) if self.is_secret(stem) => Some(stem.to_owned()),
            _ => self.is_secret(key).then(|| format!("{key}_file")),
        }
    }

    /// One source must not give both forms.
    pub(super) fn check(&self, layer: &mut Layer) -> Result<(), ConfigError> {
        let origins = &layer.origins;
        visit(&mut layer.table, &mut Path::new(), &mut |table, path| {
            for key in self.0.iter().filter(|key| table.contains_key(key.as_str())) {
                let file = format!("{key}_file");
                if table.contains_key(&file) {
                    let other = dotted(&child(path, key));
                    return Err(
                        origins.error_at(&child(path, &file), format!("{other} is given too; keep one of them"))
                    );
                }
            }
            Ok(())
        })
    }

    /// Puts the contents of the files that are still asked for into their keys. Answers with warnings.
    pub(super) fn resolve(&self, layer: &mut Layer, credentials: Option<&OsStr>) -> Result<Vec<String>, ConfigError> {
        let Layer { table, origins } = layer;
        let mut warnings = Vec::new();
        visit(table, &mut Path::new(), &mut |table, path| {
            for key in &self.0 {
                let file = format!("{key}_file");
                let Some(name) = table.remove(&file) else { continue };
                let at = child(path, &file);
                let contents =
                    read(&name, origins.get(&at), credentials).map_err(|message| origins.error_at(&at, message))?;
                if let Some(warning) = contents.warning {
                    warnings.push(origins.error_at(&at, warning).to_string());
                }
                // A complaint about the contents is to name the line of `url_file`.
                if let Some(origin) = origins.get(&at).cloned() {
                    origins.insert(&child(path, key), origin);
                }
                origins.remove(&at);
                table.insert(key.clone(), Value::String(contents.text));
            }
            Ok(())
        })?;
        Ok(warnings)
    }

    /// Takes every secret below `path` out of a message: serde quotes the values that it dislikes.
    pub(super) fn redact(&self, message: String, table: &Table, path: &[String]) -> String {
        let mut known = Vec::new();
        let found = visit(&mut table.clone(), &mut Path::new(), &mut |table, at| {
            for key in self.0.iter().filter(|key| child(at, key).starts_with(path) || path.starts_with(&child(at, key)))
            {
                known.extend(match table.get(key) {
                    Some(Value::String(text)) => Some(text.clone()),
                    Some(Value::Integer(number)) => Some(number.to_string()),
                    _ => None,
                });
            }
            Ok(())
        });
        debug_assert!(found.is_ok(), "nothing in it fails");
        known.retain(|secret| !secret.is_empty());
        known.iter().fold(message, |message, secret| {
            let quoted = format!("{secret:?}");
            message.replace(quoted.trim_matches('"'), "***").replace(secret, "***")
        })
    }
}

/// Bytes of a file with a secret, at most; a device file has no end.
const LONGEST: u64 = 1 << 20;

struct Contents {
    text: String,
    warning: Option<String>,
}

fn read(name: &Value, origin: Option<&Origin>, credentials: Option<&OsStr>) -> Result<Contents, String> {
    let name =
        name.as_str().ok_or_else(|| format!("invalid type: {}, expected the path of a file", name.type_str()))?;
    let path = locate(name, origin, credentials)?;
    let shown = path.display();
    let fail = |e: std::io::Error| format!("cannot read {shown}: {e}");
    let file = File::open(&path).map_err(fail)?;
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o7777;
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > LONGEST {
        return Err(format!("{shown} is longer than {} KiB: that is no secret", LONGEST >> 10));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    let warning =
        (mode & 0o004 != 0).then(|| format!("{shown} can be read by every user (mode {mode:04o}); chmod o-r it"));
    Ok(Contents { text, warning })
}

/// Relative paths start from the folder of the text that they stand in, those of the environment from the working folder.
fn locate(name: &str, origin: Option<&Origin>, credentials: Option<&OsStr>) -> Result<PathBuf, String> {
    if let Some(rest) = name.strip_prefix(CREDENTIALS).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        let dir =
            credentials.ok_or("CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=")?;
        return Ok(FilePath::new(dir).join(rest.trim_start_matches('/')));
    }
    Ok(match origin {
        Some(Origin::Text { source, .. }) => source.dir.join(name),
        _ => PathBuf::from(name),
    })
}

fn child(path: &[String], key: &str) -> Path {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

type Visitor<'a> = dyn FnMut(&mut Table, &[String]) -> Result<(), ConfigError> + 'a;

/// Calls `f` for every table, those in arrays included.
fn visit(table: &mut Table, path: &mut Path, f: &mut Visitor<'_>) -> Result<(), ConfigError> {
    f(table, path)?;
    for (key, value) in table {
        path.push(key.clone());
        visit_value(value, path, f)?;
        path.pop();
    }
    Ok(())
}

fn visit_value(value: &mut Value, path: &mut Path, f: &mut Visitor<'_>) -> Result<(), ConfigError> {
    match value {
        Value::Table(table) => visit(table, path, f),
        Value::Array(array) => array.iter_mut().enumerate().try_for_each(|(index, element)| {
            path.push(position(index));
            visit_value(element, path, f)?;
            path.pop();
            Ok(())
        }),
        _ => Ok(()),
    }
}
