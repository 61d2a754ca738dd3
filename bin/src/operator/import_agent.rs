//! `homing import-agent`: the msgpack push agent's `setting.py`, `config.json` and certificates become a configuration of
//! Homing: `config/agent.toml` with the agent's servers, prefix, address and apps in it.
//!
//! `setting.py` is read and never run ([`python`]). `config.json` names a certificate per app identifier and network. What
//! is not understood changes nothing and is named, never quoted: it may be a secret.

mod certificates;
mod python;
mod render;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;

use self::{
    certificates::Certificate,
    python::{Literal, Module},
};
use super::imported::{self, Imported};

/// Arguments of `homing import-agent`.
#[derive(Args, Debug)]
pub struct Options {
    /// The agent's setting.py.
    #[arg(long, value_name = "FILE")]
    setting: Option<PathBuf>,
    /// Its config.json, which names the certificates.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the certificates; by default `cert` beside config.json.
    #[arg(long, value_name = "DIR", requires = "config")]
    certificates: Option<PathBuf>,
    /// Where the configuration goes, and secrets into `secrets/` beside it. Without it the configuration is printed, and
    /// secrets are written nowhere.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

/// What the agent's settings say.
#[derive(Debug, Default)]
struct Found {
    redis: Option<Server>,
    broker: Option<Server>,
    /// User names of the broker: the agent's own, and that of the apps, which decides nothing here.
    username: Option<String>,
    password: Option<String>,
    prefix: Option<String>,
    /// Where the agent listens.
    listen: Option<Server>,
    certificates: Vec<Certificate>,
    remarks: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
    password: Option<String>,
    /// Of a Redis: the number of its database.
    database: u32,
}

/// Imports the files that are named and writes or prints what came of them.
///
/// # Errors
/// A file cannot be read, nothing in it is understood, or something of a new file's name is there already.
pub fn run(options: &Options) -> anyhow::Result<()> {
    imported::tell(&import(options)?, options.out.as_deref(), options.force)
}

fn import(options: &Options) -> anyhow::Result<Imported> {
    if options.setting.is_none() && options.config.is_none() {
        bail!("say --setting setting.py, --config config.json, or both");
    }
    let mut found = Found::default();
    if let Some(file) = &options.setting {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let name = file.display().to_string();
        found.settings(&name, &python::read(&String::from_utf8_lossy(&bytes)))?;
    }
    if let Some(file) = &options.config {
        let name = file.display().to_string();
        let bytes = fs::read(file).with_context(|| name.clone())?;
        let beside = || file.parent().unwrap_or(Path::new("")).join("cert");
        let folder = options.certificates.clone().unwrap_or_else(beside);
        found.certificates = certificates::read(&name, &bytes, &folder, &mut found.remarks)?;
    }
    let out = options.out.as_deref().unwrap_or(Path::new("agent.toml"));
    Ok(render::render(found, out))
}

// === impl Found ===

impl Found {
    fn settings(&mut self, name: &str, module: &Module) -> anyhow::Result<()> {
        if !["push", "mqtt", "redis"].iter().any(|dict| module.values.contains_key(*dict)) {
            bail!("{name}: it assigns neither push nor mqtt nor redis: is it the agent's setting.py?");
        }
        if !module.skipped.is_empty() {
            let lines: Vec<String> = module.skipped.iter().map(usize::to_string).collect();
            self.remarks.push(format!("{name}: lines {} are no plain values and were passed over", lines.join(", ")));
        }
        self.redis = self.server(name, module, "redis", 6_379);
        self.broker = self.server(name, module, "mqtt", 1_883);
        self.listen = self.server(name, module, "push", 7_702);
        self.strangers(name, module);
        let text = |key| module.get("mqtt", key).and_then(Literal::text).filter(|text| !text.is_empty());
        (self.username, self.password, self.prefix) = (text("username"), text("password"), text("prefix"));
        if self.prefix.is_none() {
            self.remarks.push(format!("{name}: mqtt['prefix'] was not found: set prefix in [channel.mqtt]"));
        }
        Ok(())
    }

    fn server(&mut self, name: &str, module: &Module, dict: &str, usual: u16) -> Option<Server> {
        if !module.values.contains_key(dict) {
            self.remarks
                .push(format!("{name}: {dict} was not found: the example of config/agent.toml stands in its place"));
            return None;
        }
        let text = |key| module.get(dict, key).and_then(Literal::text).filter(|text| !text.is_empty());
        let port = match text("port").map(|port| port.parse()) {
            Some(Ok(port)) => port,
            None => usual,
            Some(Err(_)) => {
                self.remarks.push(format!("{name}: {dict}['port'] is no port: {usual} was taken"));
                usual
            }
        };
        // Of the broker's password the channel has a key of its own.
        let password = text("password").filter(|_| dict == "redis");
        let database = match text("db").map(|db| db.parse()) {
            Some(Ok(database)) => database,
            None => 0,
            Some(Err(_)) => {
                self.remarks.push(format!("{name}: {dict}['db'] is no number: 0 was taken"));
                0
            }
        };
        let host = text("host").unwrap_or_else(|| "127.0.0.1".to_owned());
        Some(Server { host, port, password, database })
    }

    /// Names the keys that were not looked at: they may matter.
    fn strangers(&mut self, name: &str, module: &Module) {
        const KNOWN: [(&str, &[&str]); 3] = [
            ("push", &["host", "port", "loglevel", "logfile"]),
            ("mqtt", &["host", "port", "username", "password", "cli_username", "cli_password", "prefix"]),
            ("redis", &["host", "port", "password", "db"]),
        ];
        for (dict, known) in KNOWN {
            let Some(Literal::Dict(entries)) = module.values.get(dict) else { continue };
            let strange: Vec<&str> = entries.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
            if !strange.is_empty() {
                self.remarks.push(format!("{name}: {dict}: not understood: {}", strange.join(", ")));
            }
        }
    }
}

#[cfg(test)]
#[path = "import_agent/tests.rs"]
mod tests;
