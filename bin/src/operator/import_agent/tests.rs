#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use secrecy::ExposeSecret as _;

use super::*;
use crate::{config::Config, wiring};

const SETTING: &str = "# -*- coding: utf-8 -*-\nimport logging\npush = {'host': '127.0.0.1', 'port': 8092, 'loglevel': \
    logging.DEBUG, 'logfile': 'log/push.log'}\nmqtt = {\n    'host': 'broker.lan',\n    'port': 1884,\n    'username': 'srv',\n    \
    'password': 'made-up \"quoted\"',\n    'cli_username': 'app', 'cli_password': 'made-up-too',\n    'prefix': 'yk',\n}\n\
    redis = {'host': '127.0.0.1', 'port': 6380, 'password': 'p@ss/word', 'db': 3, 'pool': 9}\nmongo = {'host': 'x', 'password': None}\n";

/// A certificate and a key of a made-up app.
fn pem() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["push.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    certificate.pem() + &key.serialize_pem()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::create_dir(files.0.path().join("cert")).unwrap();
        files
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn options(&self, setting: &str, config: &str) -> Options {
        let put = |name: &str, text: &str| (!text.is_empty()).then(|| self.put(name, text));
        Options {
            setting: put("setting.py", setting),
            config: put("config.json", config),
            certificates: None,
            out: Some(self.0.path().join("new/agent.toml")),
            force: false,
        }
    }
}

#[test]
fn the_agents_settings_become_a_configuration_that_works() {
    let files = Files::new();
    files.put("cert/im.pem", &pem());
    files.put("cert/im_dev.pem", &pem());
    let config =
        r#"{"com.example.im": {"produce": {"pem": "im.pem", "password": ""}, "develop": ["im_dev.pem", "made-up"]}}"#;
    let options = files.options(SETTING, config);
    fs::create_dir(files.0.path().join("new")).unwrap();
    run(&options).unwrap();
    let out = options.out.unwrap();
    let loaded = Config::load(std::slice::from_ref(&out)).unwrap();
    rustls::crypto::ring::default_provider().install_default().ok();
    let stores = homing_stores::build(&loaded.stores()).unwrap();
    wiring::check(&loaded, &stores).unwrap();
    assert_eq!(loaded.redis.url.expose_secret(), "redis://:p%40ss%2Fword@127.0.0.1:6380/3");
    let mqtt = &loaded.channel["mqtt"].0;
    let text = |key: &str| mqtt[key].as_str().unwrap().to_owned();
    assert_eq!((text("url"), text("prefix")), ("mqtt://broker.lan:1884".to_owned(), "yk".to_owned()));
    assert_eq!((text("username"), text("password")), ("srv".to_owned(), "made-up \"quoted\"".to_owned()));
    let apns = loaded.channel["apns"].0["account"].as_table().unwrap();
    assert_eq!(apns.keys().collect::<Vec<_>>(), ["com_example_im_dev", "com_example_im_prod"]);
    assert_eq!(apns["com_example_im_dev"]["environment"].as_str(), Some("dev"));
    let written = fs::read_to_string(&out).unwrap();
    for secret in ["p@ss", "p%40", "quoted", "made-up", "PRIVATE KEY"] {
        assert!(!written.contains(secret), "{secret} stands in the configuration");
    }
    assert!(written.contains("listen = \"127.0.0.1:8092\""), "{written}");
    let again = files.options(SETTING, config);
    assert!(run(&again).unwrap_err().to_string().contains("is there already"));
}

#[test]
fn a_key_that_cannot_be_used_is_told_with_the_command_that_mends_it() {
    let files = Files::new();
    files.put("cert/old.pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n");
    let config = r#"{"a": {"produce": {"cert": "old.pem", "passwd": "made-up-password"}, "test": "x", "develop": {}},
        "b": 1, "c": {"develop": "missing.pem"}}"#;
    let imported = import(&files.options("", config)).unwrap();
    let remarks = imported.remarks.join("\n");
    for told in [
        "openssl pkey -in ",
        "-passin file:secrets/a.prod.password",
        "> secrets/a.prod.pem",
        "a.test: neither develop nor produce",
        "a.develop: no file of a certificate",
        "b: expected an object",
        "missing.pem: No such file",
    ] {
        assert!(remarks.contains(told), "{told} is not in:\n{remarks}");
    }
    assert!(!remarks.contains("made-up-password") && !imported.toml.contains("made-up-password"));
    assert_eq!(imported.secrets[0].0, "secrets/a.prod.password");
}

#[test]
fn what_is_no_setting_of_the_agent_is_refused() {
    let files = Files::new();
    let error = |setting: &str, config: &str| import(&files.options(setting, config)).unwrap_err().to_string();
    assert!(error("x = 1\n", "").contains("is it the agent's setting.py?"));
    assert!(error("", "[]").contains("expected an object"));
    assert!(error("", "{}").contains("names no certificate"));
    let nothing = Options { setting: None, config: None, certificates: None, out: None, force: false };
    assert!(import(&nothing).unwrap_err().to_string().contains("--setting"));
    let public = import(&files.options("push = {'host': '10.0.0.5', 'port': 'x'}\n", "")).unwrap();
    assert!(public.toml.contains("listen = \"0.0.0.0:7702\"\n") && public.toml.contains("\npublic = true\n"));
    let remarks = public.remarks.join("\n");
    for told in ["push['port'] is no port", "mqtt was not found", "redis was not found", "firewall"] {
        assert!(remarks.contains(told), "{told} is not in:\n{remarks}");
    }
}
