//! `homing import-ini`: HIGO's ini file becomes a configuration of Homing: `config/higo.toml` with the file's servers,
//! lists and accounts in it.
//!
//! The real file was never published, so names of sections and the spelling of keys are guessed from their words
//! ([`keys`]). What is not understood changes nothing and is named, never quoted: it may be a secret. Secrets do not go
//! into the configuration but into files of their own beside it.

mod keys;
mod render;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use configparser::ini::Ini;
use secrecy::{ExposeSecret as _, SecretString};

use keys::{Found, Key};

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

/// What a file became.
#[derive(Debug)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// Files that it names: path from the configuration's folder, and contents.
    pub secrets: Vec<(String, SecretString)>,
    /// What an operator must know: keys that were not understood, things that were not found.
    pub remarks: Vec<String>,
}

/// Imports a file and writes or prints what came of it.
///
/// # Errors
/// The file cannot be read, or something of that name is there already.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let name = options.file.display().to_string();
    let bytes = fs::read(&options.file).with_context(|| name.clone())?;
    let imported = import(&name, &bytes)?;
    match &options.out {
        None => {
            print!("{}", imported.toml);
            for (file, _) in &imported.secrets {
                eprintln!("secret: {file} is to be written (say --out FILE, and it is)");
            }
        }
        Some(out) => {
            write(out, &imported, options.force)?;
            println!("{}: written, and {} secrets beside it", out.display(), imported.secrets.len());
            println!("next: homing check --config {}", out.display());
        }
    }
    for remark in &imported.remarks {
        eprintln!("remark: {remark}");
    }
    Ok(())
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

/// Everything or, as far as can be known beforehand, nothing.
fn write(out: &Path, imported: &Imported, force: bool) -> anyhow::Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = vec![(out.to_owned(), 0o644, imported.toml.as_str())];
    files.extend(imported.secrets.iter().map(|(file, secret)| (folder.join(file), 0o600, secret.expose_secret())));
    if !force && let Some((file, ..)) = files.iter().find(|(file, ..)| file.exists()) {
        bail!("{} is there already: name another --out, or say --force to replace it", file.display());
    }
    if !imported.secrets.is_empty() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("secrets"));
        made.with_context(|| folder.join("secrets").display().to_string())?;
    }
    // The configuration comes last, so that it never names a file that is not there.
    for (file, mode, text) in files.iter().rev() {
        put(file, *mode, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// A reader sees the old file or the new one, and nobody else ever reads a secret.
fn put(file: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut aside = file.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        fs::rename(&aside, file)
    });
    if written.is_err() {
        // It may not even have been made.
        fs::remove_file(&aside).ok();
    }
    written
}

#[cfg(test)]
#[path = "import_ini/tests.rs"]
mod tests;
