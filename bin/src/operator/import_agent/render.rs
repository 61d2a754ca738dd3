//! `config/agent.toml` with what was found in it.

use std::path::{Path, absolute};

use homing_core::notification::Environment;
use secrecy::SecretString;
use toml::Value;

use super::{Found, Imported, Server};

const PRESET: &str = include_str!("../../../../config/agent.toml");
const TYPES: &str = include_str!("../../../../config/agent_types.toml");

/// Where the preset's accounts begin: they are examples, and the last thing in it.
const ACCOUNTS: &str = "# An account for each app identifier (`app_ident`) and network. docs/apns.md\n";

/// The file of push types beside the configuration.
const TYPES_FILE: &str = "agent_types.toml";

pub(super) fn render(found: Found, out: &Path) -> Imported {
    let Found { redis, broker, username, password, prefix, listen, certificates, mut remarks } = found;
    let mut secrets: Vec<(String, SecretString)> = Vec::new();
    let (mut text, accounts) = PRESET.split_once(ACCOUNTS).map_or((PRESET.to_owned(), ""), |(a, b)| (a.to_owned(), b));
    let folder = out.parent().unwrap_or(Path::new(""));
    // Seen from wherever a daemon is started.
    let types = absolute(folder.join(TYPES_FILE)).unwrap_or_else(|_| folder.join(TYPES_FILE));
    set(&mut text, "file = \"config/agent_types.toml\"", &line("file", &types.display().to_string()));
    if let Some(server) = redis {
        let url = url(&server);
        let shown = match &server.password {
            None => line("url", &url),
            Some(_) => {
                secrets.push(("secrets/redis_url".to_owned(), url.into()));
                line("url_file", "secrets/redis_url")
            }
        };
        text = text.replace("url = \"redis://127.0.0.1:6379/0\"", &shown);
    }
    if let Some(server) = broker {
        let at = format!("mqtt://{}:{}", server.host, server.port);
        set(&mut text, "url = \"mqtt://127.0.0.1:1883\"", &line("url", &at));
    }
    if let Some(name) = username {
        set(&mut text, "# username = \"homing\"", &line("username", &name));
    }
    if let Some(password) = password {
        secrets.push(("secrets/mqtt".to_owned(), password.into()));
        set(&mut text, "# password_file = \"secrets/mqtt\"", &line("password_file", "secrets/mqtt"));
    }
    if let Some(prefix) = prefix {
        set(&mut text, "prefix = \"im\"", &line("prefix", &prefix));
    }
    if let Some(Server { host, port, .. }) = listen {
        listens(&mut text, &host, port, &mut remarks);
    }
    text += ACCOUNTS;
    if certificates.is_empty() {
        text += accounts;
    }
    for (i, certificate) in certificates.into_iter().enumerate() {
        let development = certificate.environment == Environment::Development;
        let stem = format!("{}.{}", plain(&certificate.app), certificate.environment.name());
        let (file, original) = (format!("secrets/{stem}.pem"), &certificate.path);
        match (certificate.pem, certificate.password) {
            (Some(pem), _) => secrets.push((file.clone(), pem)),
            (None, password) => {
                let given = password.map_or_else(String::new, |password| {
                    let kept = format!("secrets/{stem}.password");
                    secrets.push((kept.clone(), password));
                    format!(" -passin file:{kept}")
                });
                remarks.push(format!(
                    "{original}: its key is not in plain PKCS#8; make {file} of it, in the configuration's folder: \
                     (umask 077; (openssl x509 -in '{original}'; openssl pkey -in '{original}'{given}) > {file})"
                ));
            }
        }
        if i > 0 {
            text.push('\n');
        }
        text += &format!("[channel.apns.account.{}]\n", plain(&stem).replace('.', "_"));
        text += &line("app", &certificate.app);
        text.push('\n');
        if development {
            text += "environment = \"dev\"\n";
        }
        for (key, value) in [("topic", &certificate.app), ("certificate_file", &file)] {
            text += &line(key, value);
            text.push('\n');
        }
        text += "custom = \"data\"\nmessage_id = \"\"\n";
    }
    remarks.push(format!("{TYPES_FILE}: the texts are examples; say there what your messages show"));
    Imported { toml: text, secrets, files: vec![(TYPES_FILE.to_owned(), TYPES.to_owned())], remarks }
}

/// The agent listened on this machine only, or on all addresses where its setting named another host.
fn listens(text: &mut String, host: &str, port: u16, remarks: &mut Vec<String>) {
    let listen = "listen = \"127.0.0.1:7702\"";
    if matches!(host, "127.0.0.1" | "localhost" | "::1") {
        set(text, listen, &line("listen", &format!("127.0.0.1:{port}")));
        return;
    }
    set(text, listen, &line("listen", &format!("0.0.0.0:{port}")));
    set(text, "# public = true", "public = true");
    remarks.push(format!(
        "push['host'] is another machine's address for services: [agent] listens on all addresses, as the protocol has no \
         passwords let a firewall keep others from port {port}"
    ));
}

fn url(server: &Server) -> String {
    let password = server.password.as_ref().map(|password| format!(":{}@", escaped(password))).unwrap_or_default();
    format!("redis://{password}{}:{}/{}", server.host, server.port, server.database)
}

/// Percent-encoded, as a password stands in a URL.
fn escaped(text: &str) -> String {
    let each = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    each.collect()
}

/// A name that is fit for a file and a key.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect()
}

/// `key = "value"`, the value quoted as TOML wants it.
fn line(key: &str, value: &str) -> String {
    format!("{key} = {}", Value::from(value))
}

fn set(text: &mut String, from: &str, to: &str) {
    *text = text.replacen(from, to, 1);
}
