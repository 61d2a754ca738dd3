//! Reads the sources, lays them upon each other and makes the program's own type of them.

use std::{collections::BTreeMap, ffi::OsStr, ffi::OsString, path::Path, path::PathBuf, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    error::ConfigError,
    layer::Layer,
    merge::merge,
    origin::{Origin, Origins, Source},
    secrets::{SECRET_KEYS, SecretKeys},
    strict, vars,
};

/// Where the configuration comes from, each source above the one before it.
///
/// ```
/// # use homing_runtime::config::{Sources, load};
/// #[derive(serde::Deserialize)]
/// struct Config {
///     shards: u32,
/// }
///
/// let sources = Sources::new().defaults("homing.toml", "shards = 4").env([("HOMING__SHARDS", "8")]);
/// assert_eq!(load::<Config>(sources)?.value.shards, 8);
/// # Ok::<(), homing_runtime::config::ConfigError>(())
/// ```
pub struct Sources {
    defaults: Vec<(String, String)>,
    files: Vec<PathBuf>,
    env: BTreeMap<OsString, OsString>,
    secrets: SecretKeys,
}

impl Default for Sources {
    fn default() -> Self {
        Self::new()
    }
}

impl Sources {
    /// No source yet; secrets are [`SECRET_KEYS`].
    pub fn new() -> Self {
        let secrets = SecretKeys(SECRET_KEYS.iter().map(|key| (*key).to_owned()).collect());
        Self { defaults: Vec::new(), files: Vec::new(), env: BTreeMap::new(), secrets }
    }

    /// A compiled-in text, which lies below all files. `name` is what errors call it.
    #[must_use]
    pub fn defaults(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.defaults.push((name.into(), text.into()));
        self
    }

    /// Files to read, the later above the earlier. One that is not there is an error.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.files.extend(files.into_iter().map(Into::into));
        self
    }

    /// The environment, usually [`std::env::vars_os`]; it lies above all files.
    ///
    /// `HOMING__LANE__SYSTEM__SHARDS=8` sets `lane.system.shards`. The keys are put into lower case, unless the files spell
    /// an existing key otherwise. The value is read as a TOML scalar or array (`8`, `true`, `["a", "b"]`), and as a plain
    /// text if it is none, if the program wants a text there, or if the key is a secret's (a password of digits). Of all
    /// other variables only `CREDENTIALS_DIRECTORY` is looked at.
    #[must_use]
    pub fn env(mut self, vars: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>) -> Self {
        self.env.extend(vars.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The keys that may be given as `<key>_file`, in any table.
    ///
    /// The file's contents, without the newline at the end, are put into `<key>`. A relative path starts from the folder of
    /// the configuration file, and `$CREDENTIALS_DIRECTORY` at the front is what systemd made of `LoadCredential=`. Giving
    /// both forms in one source is an error; in two sources the later one holds. A type that wants to read such a file
    /// itself must call its key otherwise.
    #[must_use]
    pub fn secrets(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.secrets = SecretKeys(keys.into_iter().map(Into::into).collect());
        self
    }
}

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    /// What the operator should look at, though it does not stop anything; to be logged once there is a log.
    pub warnings: Vec<String>,
    /// Where each value came from, for errors of further checks.
    pub origins: Origins,
}

/// Reads all sources. Reads files, so it is for the start of a program, not for a task.
pub fn load<T: DeserializeOwned>(sources: Sources) -> Result<Loaded<T>, ConfigError> {
    let Sources { defaults, files, env, secrets } = sources;
    let mut all = Layer::default();
    let mut add = |mut layer: Layer| {
        secrets.check(&mut layer)?;
        merge(&mut all, layer, &secrets);
        Ok(())
    };
    for (name, text) in &defaults {
        add(Layer::parse(name, PathBuf::new(), text)?)?;
    }
    for file in &files {
        add(read(file)?)?;
    }
    let mut layer = vars::layer(&env, &all.table, &secrets)?;
    secrets.check(&mut layer)?;
    merge(&mut all, layer, &secrets);

    let credentials = env.get(OsStr::new("CREDENTIALS_DIRECTORY")).map(OsString::as_os_str);
    let warnings = secrets.resolve(&mut all, credentials)?;
    let value = strict::deserialize(&all.table, &all.origins, &secrets)?;
    Ok(Loaded { value, warnings, origins: all.origins })
}

fn read(file: &Path) -> Result<Layer, ConfigError> {
    let name = file.display().to_string();
    let dir = file.parent().unwrap_or(Path::new("")).to_owned();
    let text = std::fs::read_to_string(file).map_err(|e| {
        let source = Arc::new(Source { name: name.clone(), dir: dir.clone() });
        ConfigError::at(Origin::Text { source, line: None, column: None }, format!("cannot read it: {e}"))
    })?;
    Layer::parse(&name, dir, &text)
}
