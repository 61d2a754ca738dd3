//! What an old system's settings become: a configuration, secrets in files of their own beside it, and what an operator
//! must know.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};

/// What a file became.
#[derive(Debug)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// Files that it names: path from the configuration's folder, and contents.
    pub secrets: Vec<(String, SecretString)>,
    /// Other files beside it: path from the configuration's folder, and contents.
    pub files: Vec<(String, String)>,
    /// What an operator must know: keys that were not understood, things that were not found.
    pub remarks: Vec<String>,
}

/// Writes what came of an import to `out` and beside it, or prints it.
///
/// # Errors
/// Something of that name is there already, or cannot be written.
pub fn tell(imported: &Imported, out: Option<&Path>, force: bool) -> anyhow::Result<()> {
    match out {
        None => {
            print!("{}", imported.toml);
            for (file, _) in &imported.secrets {
                eprintln!("secret: {file} is to be written (say --out FILE, and it is)");
            }
        }
        Some(out) => {
            write(out, imported, force)?;
            println!("{}: written, and {} secrets beside it", out.display(), imported.secrets.len());
            println!("next: homing check --config {}", out.display());
        }
    }
    for remark in &imported.remarks {
        eprintln!("remark: {remark}");
    }
    Ok(())
}

/// Everything or, as far as can be known beforehand, nothing.
pub(super) fn write(out: &Path, imported: &Imported, force: bool) -> anyhow::Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = vec![(out.to_owned(), 0o644, imported.toml.as_str())];
    files.extend(imported.secrets.iter().map(|(file, secret)| (folder.join(file), 0o600, secret.expose_secret())));
    files.extend(imported.files.iter().map(|(file, text)| (folder.join(file), 0o644, text.as_str())));
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
