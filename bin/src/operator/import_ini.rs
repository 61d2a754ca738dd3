//! `homing import-ini`: HIGO's ini file becomes a configuration of Homing: `config/higo.toml` with the file's servers,
//! lists and accounts in it.
//!
//! The real file was never published, so names of sections and the spelling of keys are guessed from their words
//! ([`keys`]). What is not understood changes nothing and is named, never quoted: it may be a secret. Secrets do not go
//! into the configuration but into files of their own beside it.

mod keys;
mod render;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use configparser::ini::Ini;

use self::keys::{Found, Key};
pub use super::imported::Imported;

/// Arguments of `homing import-ini`.
#[derive(Args, Debug)]
pub struct Options {
    /// The ini file.
    file: PathBuf,
    /// Where the configuration goes, and secrets into `secrets/` beside it. Without it the configuration is printed, and
    /// secrets are written nowhere.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

/// Imports a file and writes or prints what came of it.
///
/// # Errors
/// The file cannot be read, or something of that name is there already.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let name = options.file.display().to_string();
    let bytes = fs::read(&options.file).with_context(|| name.clone())?;
    let imported = import(&name, &bytes)?;
    super::imported::tell(&imported, options.out.as_deref(), options.force)
}

/// Makes a configuration of an ini file; `name` is the file's name in errors.
///
/// # Errors
/// A line is no ini, or nothing in it is understood.
pub fn import(name: &str, bytes: &[u8]) -> anyhow::Result<Imported> {
    let mut found = Found::default();
    for key in read(name, bytes)? {
        found.take(&key);
    }
    if found.is_empty() {
        bail!("{name}: no key in it is understood: is it HIGO's ini file?");
    }
    Ok(render::render(name, found))
}

/// The keys of a file, in its order. As Python 2's ConfigParser reads it: `=` or `:`, comments on lines of their own
/// or behind ` ;`, continued lines, the last of equal keys counts. Keys above any section are taken too.
fn read(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<Key>> {
    // A comment in another encoding must not stop the import.
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned();
    let mut style = Ini::new_cs().defaults();
    style.default_section = String::new();
    style.comment_symbols = vec![';', '#'];
    style.delimiters = vec!['=', ':'];
    style.multiline = true;
    // Its inline comments need no blank in front, and would cut a key that has a `;` in it.
    style.enable_inline_comments = false;
    let sections = Ini::new_from_defaults(style).read(text).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
    let mut all = Vec::new();
    for (section, keys) in sections {
        all.extend(keys.into_iter().map(|(name, value)| Key::new(&section, &name, value.as_deref())));
    }
    Ok(all)
}

#[cfg(test)]
#[path = "import_ini/tests.rs"]
mod tests;
