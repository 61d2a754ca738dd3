//! Secrets in files.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use homing_runtime::config::{Loaded, Sources, load};
use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Config {
    redis: Server,
    app: Vec<Server>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Server {
    url: String,
    key: Option<u32>,
    password: Option<String>,
}

struct Case {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("higo.toml"), file).unwrap();
        let sources = Sources::new().defaults("homing.toml", "[redis]\nurl = 'redis://default'\n");
        let sources = sources.files([dir.path().join("higo.toml")]);
        Self { dir, sources }.secret("redis.url", "redis://:hunter2@h\n", 0o600)
    }

    fn secret(self, name: &str, contents: &str, mode: u32) -> Self {
        let path = self.dir.path().join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn env(self, name: &str, value: impl AsRef<Path>) -> Self {
        let sources = self.sources.env([(name, value.as_ref().as_os_str())]);
        Self { sources, ..self }
    }

    fn load(self) -> Result<(Config, Vec<String>), String> {
        let short = |text: String| text.replace(&self.dir.path().display().to_string(), "config");
        match load(self.sources) {
            Ok(Loaded { value, warnings, .. }) => Ok((value, warnings.into_iter().map(short).collect())),
            Err(error) => Err(short(error.to_string())),
        }
    }

    #[track_caller]
    fn url(self) -> String {
        let (config, warnings) = self.load().unwrap();
        assert_eq!(warnings, [""; 0]);
        config.redis.url
    }

    #[track_caller]
    fn fails(self, expected: &str) {
        assert_eq!(self.load().unwrap_err(), expected);
    }
}

#[test]
fn a_relative_path_starts_from_the_file() {
    assert_eq!(Case::new("[redis]\nurl_file = 'redis.url'").url(), "redis://:hunter2@h");
    let (config, _) = Case::new("app = [{}, { url_file = 'redis.url' }]").load().unwrap();
    assert_eq!(config.app[1].url, "redis://:hunter2@h");
}

#[test]
fn only_the_newline_at_the_end_is_cut() {
    let url = |contents| Case::new("redis.url_file = 's'").secret("s", contents, 0o600).url();
    assert_eq!(url("a b \r\n"), "a b ");
    assert_eq!(url("\na\nb"), "\na\nb");
}

#[test]
fn systemds_credentials_are_found() {
    let case = || Case::new("redis.url_file = '$CREDENTIALS_DIRECTORY/redis.url'");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("redis.url"), "redis://credential").unwrap();
    fs::set_permissions(dir.path().join("redis.url"), Permissions::from_mode(0o400)).unwrap();
    assert_eq!(case().env("CREDENTIALS_DIRECTORY", dir.path()).url(), "redis://credential");
    case().fails(
        "config/higo.toml line 1: redis.url_file: CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=",
    );
    Case::new("redis.url_file = '$CREDENTIALS_DIRECTORYx'").env("CREDENTIALS_DIRECTORY", "/x").fails(
        "config/higo.toml line 1: redis.url_file: cannot read config/$CREDENTIALS_DIRECTORYx: No such file or directory (os error 2)",
    );
}

#[test]
fn a_secret_that_all_can_read_is_a_warning() {
    let (config, warnings) = Case::new("redis.url_file = 's'").secret("s", "x", 0o644).load().unwrap();
    assert_eq!(config.redis.url, "x");
    assert_eq!(
        warnings,
        ["config/higo.toml line 1: redis.url_file: config/s can be read by every user (mode 0644); chmod o-r it"]
    );
}

#[test]
fn both_forms_in_one_source_are_refused() {
    Case::new("[redis]\nurl = 'x'\nurl_file = 'redis.url'")
        .fails("config/higo.toml line 3: redis.url_file: redis.url is given too; keep one of them");
    Case::new("[[app]]\nurl = 'x'\nurl_file = 'redis.url'")
        .fails("config/higo.toml line 3: app[0].url_file: app[0].url is given too; keep one of them");
    Case::new("")
        .env("HOMING__REDIS__URL", "x")
        .env("HOMING__REDIS__URL_FILE", "/x")
        .fails("environment HOMING__REDIS__URL_FILE: redis.url is given too; keep one of them");
}

#[test]
fn in_two_sources_the_later_form_holds() {
    // Over the default, which is the usual case; and the file that does not count is not read.
    assert_eq!(Case::new("redis.url_file = 'redis.url'").url(), "redis://:hunter2@h");
    assert_eq!(Case::new("redis.url_file = 'gone'").env("HOMING__REDIS__URL", "redis://env").url(), "redis://env");
    let case = Case::new("redis.url = 'x'");
    let path = case.dir.path().join("redis.url");
    assert_eq!(case.env("HOMING__REDIS__URL_FILE", path).url(), "redis://:hunter2@h");
}

#[test]
fn a_bad_file_is_an_error() {
    Case::new("\nredis.url_file = 'gone'").fails(
        "config/higo.toml line 2: redis.url_file: cannot read config/gone: No such file or directory (os error 2)",
    );
    Case::new("redis.url_file = 5")
        .fails("config/higo.toml line 1: redis.url_file: invalid type: integer, expected the path of a file");
    Case::new("redis.url_file = 's'")
        .secret("s", "\n", 0o600)
        .fails("config/higo.toml line 1: redis.url_file: config/s is empty");
    // It would go on for ever.
    Case::new("redis.url_file = '/dev/zero'")
        .fails("config/higo.toml line 1: redis.url_file: /dev/zero is longer than 1024 KiB: that is no secret");
    Case::new("")
        .env("HOMING__REDIS__URL_FILE", "/nowhere/url")
        .fails("environment HOMING__REDIS__URL_FILE: cannot read /nowhere/url: No such file or directory (os error 2)");
}

#[test]
fn only_listed_keys_are_secrets() {
    let mut case = Case::new("[redis]\npassword_file = 'redis.url'");
    case.sources = case.sources.secrets(["url"]);
    case.fails("config/higo.toml line 2: redis.password_file: unknown key, known here: url, key, password");
}

#[test]
fn no_complaint_quotes_a_secret() {
    Case::new("[redis]\nkey_file = 's'")
        .secret("s", "hunter\"2", 0o600)
        .fails("config/higo.toml line 2: redis.key: invalid type: string \"***\", expected u32");
    Case::new("[redis]\npassword = 12345")
        .fails("config/higo.toml line 2: redis.password: invalid type: integer `***`, expected a string");
    Case::new("redis.key = 'hunter2'")
        .fails("config/higo.toml line 1: redis.key: invalid type: string \"***\", expected u32");
    Case::new("redis.password = ['hunter2']")
        .fails("config/higo.toml line 1: redis.password: invalid type: sequence, expected a string");
}
