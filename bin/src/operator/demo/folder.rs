//! The folder of the demo's files: two SQLite files, two keys, and the configuration that names them.

use std::{
    fs::{File, Permissions, TryLockError},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use homing_channels::web_push;

use super::random_hex;
use crate::config::Config;

/// The preset; its paths, address and secret are replaced.
const DEMO: &str = include_str!("../../../../config/demo.toml");

/// The folder. One demo at a time uses it; a temporary one is removed when this is dropped.
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
    /// Locked as long as it is open, so also a demo that was killed leaves it free.
    _lock: File,
}

// === impl Folder ===

impl Folder {
    /// Makes the folder if it is not there; without a name a temporary one.
    pub(super) fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("homing-demo-{}-{}", std::process::id(), random_hex())),
        };
        let cannot = || format!("cannot use the folder {}", path.display());
        std::fs::create_dir_all(&path).with_context(cannot)?;
        let path = path.canonicalize().with_context(cannot)?;
        if path.to_str().is_none() {
            bail!("cannot use the folder {}: its name is not UTF-8", path.display());
        }
        if given.is_none() {
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        }
        let lock = File::create(path.join("demo.lock")).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, temporary: given.is_none(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("{} is in use by another demo", path.display()),
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.path.join("directory.db")
    }

    /// What the operator's tool is to be pointed at.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join("demo.toml")
    }

    /// The public key that browsers subscribe with. The pair, and the key of the receipts, are made at the first start
    /// and kept: browsers that subscribed at an earlier one are still told.
    pub(super) fn keys(&self) -> anyhow::Result<String> {
        self.secret("receipts.key")?;
        self.tokens()?;
        let path = self.path.join("vapid.key");
        let key = self.secret("vapid.key")?;
        web_push::public_key(&key).map_err(|problem| anyhow::anyhow!("{}: the key {problem}", path.display()))
    }

    /// The key of the tokens that browser tabs show to the gateway.
    pub(super) fn tokens(&self) -> anyhow::Result<String> {
        self.secret("tokens.key")
    }

    /// What a file of its own holds: 32 random bytes in base64url, which are a private key, too.
    fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.path.join(name);
        if !path.try_exists().with_context(|| format!("cannot read {}", path.display()))? {
            // Whole or not at all.
            let draft = self.path.join(format!("{name}.new"));
            write(&draft, &web_push::generate_vapid().0)?;
            std::fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Writes the configuration, which is this start's own, and loads it. `push_origins` are push services beside those
    /// of the browsers.
    pub(super) fn configure(&self, simulator: SocketAddr, push_origins: &[String]) -> anyhow::Result<Config> {
        let text = fill_in(self.path.to_str().unwrap_or_default(), simulator, &random_hex(), push_origins);
        let path = self.config();
        write(&path, &text)?;
        Config::load(&[path])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is a few kilobytes in the temporary folder.
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// It holds a secret, made up as it is, so nobody else reads it.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// The preset with this start's folder, addresses and secret.
fn fill_in(folder: &str, simulator: SocketAddr, secret: &str, push_origins: &[String]) -> String {
    let mut escaped = String::new();
    for c in folder.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped += &format!("\\u{:04x}", u32::from(c)),
            c => escaped.push(c),
        }
    }
    let mut in_url = String::new();
    for byte in folder.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            in_url.push(char::from(byte));
        } else {
            in_url += &format!("%{byte:02X}");
        }
    }
    let about = "# Written by `homing demo` at each start, from the preset that follows.\n#\n";
    let text = DEMO
        .replace("\"demo-data/", &format!("\"{escaped}/"))
        .replace("allow = []", &format!("allow = {}", toml::Value::from(push_origins.to_vec())))
        .replace("sqlite://demo-data/", &format!("sqlite://{in_url}/"))
        .replace("\"http://127.0.0.1:7711\"", &format!("\"http://{simulator}\""))
        .replace("\"made-up\"", &format!("\"{secret}\""));
    format!("{about}{text}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_preset_takes_any_folder() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join(r#"a "b" \c 100%?x 文"#);
        let folder = Folder::open(Some(&odd)).unwrap();
        folder.keys().unwrap();
        let origins = ["http://127.0.0.1:4712".to_owned()];
        let config = folder.configure("127.0.0.1:4711".parse().unwrap(), &origins).unwrap();
        let allow = toml::Value::from(origins.to_vec());
        assert_eq!(config.channel["web_push"].0["allow"], allow);
        assert!(config.receipts.prover().unwrap().is_some());
        assert_eq!(config.queue.path, Some(odd.canonicalize().unwrap().join("queue.db")));
        assert_eq!(config.account.len(), 2);
        for account in config.account.values() {
            assert_eq!(account.base_url.as_deref(), Some("http://127.0.0.1:4711"));
        }
        let text = std::fs::read_to_string(folder.config()).unwrap();
        assert!(!text.contains("made-up\"") && !text.contains("demo-data"), "{text}");
        assert!(text.contains("/a%20%22b%22%20%5Cc%20100%25%3Fx%20%E6%96%87/directory.db"), "{text}");
        assert_eq!(std::fs::metadata(folder.config()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn keys_are_made_once_and_are_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path())).unwrap();
        let public = folder.keys().unwrap();
        assert_eq!(public.len(), 87);
        assert_eq!(folder.keys().unwrap(), public);
        for name in ["vapid.key", "receipts.key", "tokens.key"] {
            let path = dir.path().join(name);
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let config = folder.configure("127.0.0.1:4711".parse().unwrap(), &[]).unwrap();
        assert_eq!(config.channel["web_push"].0["allow"], toml::Value::Array(Vec::new()));
        std::fs::write(dir.path().join("vapid.key"), "sekrit!").unwrap();
        let error = folder.keys().unwrap_err().to_string();
        assert!(error.contains("vapid.key: the key is neither") && !error.contains("sekrit"), "{error}");
    }

    #[test]
    fn a_folder_has_one_demo_and_a_temporary_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(Some(dir.path())).unwrap();
        let error = Folder::open(Some(dir.path())).err().unwrap().to_string();
        assert!(error.ends_with("is in use by another demo"), "{error}");
        drop(first);
        drop(Folder::open(Some(dir.path())).unwrap());
        assert!(dir.path().exists());
        let temporary = Folder::open(None).unwrap();
        let path = temporary.path().to_owned();
        assert!(path.exists());
        drop(temporary);
        assert!(!path.exists());
    }
}
