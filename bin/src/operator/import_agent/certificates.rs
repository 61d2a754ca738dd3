//! The agent's `config.json`: app identifier → network (`develop`, `produce`) → certificate and password.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use homing_core::notification::Environment;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// One certificate.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The app identifier, which is its bundle id.
    pub(super) app: String,
    pub(super) environment: Environment,
    /// As config.json names it, seen from the folder of certificates.
    pub(super) path: String,
    /// Certificate and key as they can be used; `None` where the key is encrypted, of another form, or not there.
    pub(super) pem: Option<SecretString>,
    pub(super) password: Option<SecretString>,
}

/// Reads `config.json`; certificates are in `folder`.
pub(super) fn read(
    name: &str,
    bytes: &[u8],
    folder: &Path,
    remarks: &mut Vec<String>,
) -> anyhow::Result<Vec<Certificate>> {
    let whole: Value = serde_json::from_slice(bytes).with_context(|| name.to_owned())?;
    let Value::Object(apps) = whole else { bail!("{name}: expected an object: app identifier to certificates") };
    let mut found = Vec::new();
    for (app, networks) in &apps {
        let Value::Object(networks) = networks else {
            remarks.push(format!("{name}: {app}: expected an object with develop and produce"));
            continue;
        };
        for (network, entry) in networks {
            let environment = match network.as_str() {
                "develop" | "development" | "dev" | "sandbox" => Environment::Development,
                "produce" | "production" | "product" | "prod" => Environment::Production,
                other => {
                    remarks.push(format!("{name}: {app}.{other}: neither develop nor produce"));
                    continue;
                }
            };
            match entry_of(entry) {
                Some((path, password)) => found.push(load(app, environment, path, password, folder, remarks)),
                None => remarks.push(format!("{name}: {app}.{network}: no file of a certificate was found in it")),
            }
        }
    }
    if found.is_empty() {
        bail!("{name}: it names no certificate: is it the agent's config.json?");
    }
    Ok(found)
}

/// The file's name and the password of its key: `"a.pem"`, `["a.pem", "password"]`, or an object with both under any
/// usual name.
fn entry_of(entry: &Value) -> Option<(String, Option<SecretString>)> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let first = |fields: &Map<String, Value>, names: &[&str]| names.iter().find_map(|name| text(fields.get(*name)?));
    match entry {
        Value::String(_) => Some((text(entry)?, None)),
        Value::Array(parts) => {
            let password = parts.get(1).and_then(text).map(SecretString::from);
            Some((text(parts.first()?)?, password))
        }
        Value::Object(fields) => {
            let path = first(fields, &["pem", "cert", "cert_file", "certificate", "file", "path"])?;
            let password = first(fields, &["password", "passphrase", "passwd", "pwd", "pass"]).map(SecretString::from);
            Some((path, password))
        }
        _ => None,
    }
}

fn load(
    app: &str,
    environment: Environment,
    path: String,
    password: Option<SecretString>,
    folder: &Path,
    remarks: &mut Vec<String>,
) -> Certificate {
    let file = folder.join(&path);
    let pem = match fs::read_to_string(&file) {
        Ok(text) if is_usable(&text) => Some(SecretString::from(text)),
        // What to do about it is said with the name of the file that is wanted.
        Ok(_) => None,
        Err(error) => {
            remarks.push(format!("{}: {error}", file.display()));
            None
        }
    };
    Certificate { app: app.to_owned(), environment, path: file.display().to_string(), pem, password }
}

/// A certificate and a key in PKCS#8 that is not encrypted.
fn is_usable(pem: &str) -> bool {
    pem.contains("-----BEGIN CERTIFICATE-----") && pem.contains("-----BEGIN PRIVATE KEY-----")
}
