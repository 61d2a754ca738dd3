//! Layers, types, and the exact words of every complaint.

use std::{collections::BTreeMap, fs, time::Duration};

use homing_runtime::{
    admin,
    config::{ConfigError, Loaded, Sources, load},
    logs,
};
use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Config {
    log: logs::Settings,
    admin: admin::Settings,
    redis: Redis,
    lane: BTreeMap<String, Lane>,
    #[serde(rename = "type")]
    types: BTreeMap<u32, Type>,
    channel: Vec<Channel>,
    out: BTreeMap<String, Channel>,
    names: Vec<String>,
    ratio: f64,
    flag: bool,
    title: Option<String>,
    retry: Retry,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Redis {
    url: String,
    #[serde(with = "homing_runtime::duration")]
    timeout: Duration,
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: "redis://localhost".to_owned(), timeout: Duration::from_secs(2) }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Lane {
    shards: u32,
    #[serde(default)]
    queue: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Type {
    name: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Channel {
    Xinge { app: String },
    Mqtt { port: u16 },
    Http { key: String },
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Retry {
    #[default]
    Never,
    After(u32),
    Steps {
        count: u32,
    },
}

const DEFAULTS: &str = "\
[redis]
url = 'redis://127.0.0.1:6379'
timeout = '2s'

[lane.system]
shards = 4
queue = 'message_queue_{n}'
";

struct Case {
    defaults: &'static str,
    files: Vec<(&'static str, &'static str)>,
    env: Vec<(&'static str, &'static str)>,
}

impl Case {
    fn file(text: &'static str) -> Self {
        Self { defaults: DEFAULTS, files: vec![("higo.toml", text)], env: Vec::new() }
    }

    fn env(name: &'static str, value: &'static str) -> Self {
        Self { defaults: DEFAULTS, files: Vec::new(), env: vec![(name, value)] }
    }

    fn load(&self) -> Result<Loaded<Config>, String> {
        let dir = tempfile::tempdir().unwrap();
        let paths = self.files.iter().map(|(name, text)| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        });
        let sources = Sources::new().defaults("homing.toml", self.defaults).files(paths).env(self.env.clone());
        load(sources).map_err(|e: ConfigError| e.to_string().replace(&format!("{}/", dir.path().display()), "config/"))
    }

    #[track_caller]
    fn value(&self) -> Config {
        self.load().unwrap().value
    }

    #[track_caller]
    fn fails(&self, expected: &str) {
        match self.load() {
            Ok(loaded) => panic!("loaded: {:?}", loaded.value),
            Err(error) => assert_eq!(error, expected),
        }
    }
}

#[test]
fn tables_merge_and_the_rest_replaces() {
    let case = Case {
        defaults: "names = ['a', 'b']\n[lane.system]\nshards = 4\nqueue = 'q_{n}'\n[[channel]]\nkind = 'mqtt'\nport = 1\n",
        files: vec![
            ("one.toml", "names = ['c']\nlane.group.shards = 2\nlane.system.shards = 5\nchannel = []\n"),
            ("two.toml", "[lane.system]\nshards = 6\n[[channel]]\nkind = 'xinge'\napp = 'higo'\n"),
        ],
        env: vec![("HOMING__LANE__GROUP__SHARDS", "3"), ("PATH", "/bin"), ("HOMING_READY_FILE", "x")],
    };
    let config = case.value();
    assert_eq!(config.names, ["c"]);
    assert_eq!(config.lane["system"], Lane { shards: 6, queue: "q_{n}".to_owned() });
    assert_eq!(config.lane["group"], Lane { shards: 3, queue: String::new() });
    assert_eq!(config.channel, [Channel::Xinge { app: "higo".to_owned() }]);
}

#[test]
fn no_source_at_all_is_the_types_default() {
    assert_eq!(load::<Config>(Sources::new()).unwrap().value, Config::default());
}

#[test]
fn values_of_the_environment_have_types() {
    assert_eq!(Case::env("HOMING__LANE__SYSTEM__SHARDS", "0x10").value().lane["system"].shards, 16);
    assert_eq!(Case::env("HOMING__RATIO", "0.5").value().ratio, 0.5);
    assert!(Case::env("HOMING__FLAG", "true").value().flag);
    assert_eq!(Case::env("HOMING__NAMES", "['a', \"b\"]").value().names, ["a", "b"]);
    assert_eq!(Case::env("HOMING__REDIS__TIMEOUT", "5m").value().redis.timeout, Duration::from_secs(300));
    assert_eq!(Case::env("HOMING__REDIS__URL", "redis://:p@h/0#x").value().redis.url, "redis://:p@h/0#x");
    assert_eq!(Case::env("HOMING__REDIS__URL", "\"redis://h\"").value().redis.url, "redis://h");
    assert_eq!(Case::env("HOMING__TITLE", "").value().title.as_deref(), Some(""));
    assert_eq!(Case::env("HOMING__ADMIN__LISTEN", "127.0.0.1:9").value().admin.listen.port(), 9);
    assert_eq!(Case::env("HOMING__LOG__FORMAT", "json").value().log.format, logs::Format::Json);
}

#[test]
fn a_text_stays_a_text() {
    // A number or a date, where a text is.
    assert_eq!(Case::env("HOMING__LANE__SYSTEM__QUEUE", "17").value().lane["system"].queue, "17");
    assert_eq!(Case::env("HOMING__TITLE", "22:00").value().title.as_deref(), Some("22:00"));
    // A secret that nothing is known of.
    let case = Case {
        defaults: "",
        files: Vec::new(),
        env: vec![("HOMING__REDIS__URL", "12e4"), ("HOMING__REDIS__TIMEOUT", "1s")],
    };
    assert_eq!(case.value().redis.url, "12e4");
    assert_eq!(Case::env("HOMING__TITLE", "007").value().title.as_deref(), Some("007"));
    // A secret inside a tagged enum, where serde does not ask for a text before it has the value.
    let mut case = Case::file("[out.x]\nkind = 'mqtt'\nport = 1\n[out.y]\nkind = 'http'\nkey = ''\n");
    case.env = vec![("HOMING__OUT__Y__KEY", "815")];
    assert_eq!(case.value().out["y"], Channel::Http { key: "815".to_owned() });
    // No table: it would be a way around the names of keys.
    Case::env("HOMING__LANE", "{ system = { shards = 1 } }")
        .fails("environment HOMING__LANE: invalid type: string \"{ system = { shards = 1 } }\", expected a map");
}

#[test]
fn a_key_keeps_the_files_spelling() {
    let mut case = Case::file("[lane.GOODS_Sent]\nshards = 1\n");
    case.env = vec![("HOMING__LANE__GOODS_SENT__SHARDS", "9"), ("HOMING__LANE__New__SHARDS", "1")];
    let lanes = case.value().lane;
    assert_eq!(lanes["GOODS_Sent"].shards, 9);
    assert_eq!(lanes.keys().collect::<Vec<_>>(), ["GOODS_Sent", "new", "system"]);
}

#[test]
fn numbers_may_be_keys_and_enums_may_carry_values() {
    assert_eq!(Case::file("[type.7]\nname = 'chat'\n").value().types[&7].name, "chat");
    assert_eq!(Case::file("retry = 'never'").value().retry, Retry::Never);
    assert_eq!(Case::file("retry.after = 3").value().retry, Retry::After(3));
    assert_eq!(Case::file("retry.steps.count = 3").value().retry, Retry::Steps { count: 3 });
}

#[test]
fn a_wrong_value_is_found() {
    let file = |text, expected| Case::file(text).fails(expected);
    file(
        "\n\n[lane.system]\nshards = 'x'\n",
        "config/higo.toml line 4: lane.system.shards: invalid type: string \"x\", expected u32",
    );
    file(
        "lane.system.shards = -1",
        "config/higo.toml line 1: lane.system.shards: invalid value: integer `-1`, expected u32",
    );
    file(
        "names = ['a',\n  'b',\n  3,\n]",
        "config/higo.toml line 3: names[2]: invalid type: integer `3`, expected a string",
    );
    file(
        "[redis]\ntimeout = '5 weeks'",
        "config/higo.toml line 2: redis.timeout: \"5 weeks\" is not a duration; write a whole number and ms, s, m, h or d, such as 500ms or 24h",
    );
    file("redis = 5", "config/higo.toml line 1: redis: invalid type: integer `5`, expected struct Redis");
    file("[admin]\nlisten = 'localhost'", "config/higo.toml line 2: admin.listen: invalid socket address syntax");
    file(
        "[log]\nformat = 'jsn'",
        "config/higo.toml line 2: log.format: unknown variant `jsn`, expected `text` or `json`, did you mean \"json\"?",
    );
    file(
        "[log]\nformat = 'xml'",
        "config/higo.toml line 2: log.format: unknown variant `xml`, expected `text` or `json`",
    );
    file("[type.x]\nname = 'chat'\n", "config/higo.toml line 1: type.x: invalid type: string \"x\", expected u32");
    file("[retry]\nafter = 1\nsteps = 2", "config/higo.toml line 1: retry: wanted a table with exactly one key");
    // serde reads a tagged enum as a whole, so the line is that of its table.
    file(
        "[out.x]\nkind = 'mqtt'\nport = 'x'",
        "config/higo.toml line 1: out.x: invalid type: string \"x\", expected u16",
    );
    file(
        "[lane.'a b']\nshards = true",
        "config/higo.toml line 2: lane.\"a b\".shards: invalid type: boolean `true`, expected u32",
    );
}

#[test]
fn a_wrong_variable_is_found() {
    let env = |name, value, expected| Case::env(name, value).fails(expected);
    env(
        "HOMING__LANE__SYSTEM__SHARDS",
        "x",
        "environment HOMING__LANE__SYSTEM__SHARDS: invalid type: string \"x\", expected u32",
    );
    env(
        "HOMING__NAMES",
        "['a', 3]",
        "environment HOMING__NAMES: names[1]: invalid type: integer `3`, expected a string",
    );
    env("HOMING__LANE__NEW__QUEUE", "q", "environment HOMING__LANE__NEW__QUEUE: lane.new: missing field `shards`");
    env(
        "HOMING__LANE____SHARDS",
        "3",
        "environment HOMING__LANE____SHARDS: a key is empty; two underscores separate keys",
    );
    env("HOMING__", "3", "environment HOMING__: a key is empty; two underscores separate keys");
    let mut case = Case::env("HOMING__LANE", "3");
    case.env.push(("HOMING__LANE__SYSTEM__SHARDS", "3"));
    case.fails("environment HOMING__LANE__SYSTEM__SHARDS: environment HOMING__LANE sets the same; keep one of them");
    let mut case = Case::env("HOMING__FLAG", "true");
    case.env.push(("HOMING__flag", "false"));
    case.fails("environment HOMING__flag: environment HOMING__FLAG sets the same; keep one of them");
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let file = |text, expected| Case::file(text).fails(expected);
    file(
        "[lane.system]\nshrads = 3\n",
        "config/higo.toml line 2: lane.system.shrads: unknown key, did you mean \"shards\"?",
    );
    file(
        "[lane.system]\nwindow = 3\n",
        "config/higo.toml line 2: lane.system.window: unknown key, known here: shards, queue",
    );
    file("[lanes.system]\nshards = 3\n", "config/higo.toml line 1: lanes: unknown key, did you mean \"lane\"?");
    file(
        "[[channel]]\nkind = 'mqtt'\nport = 1\n[[channel]]\nkind = 'mqtt'\nprot = 1\n",
        "config/higo.toml line 6: channel[1].prot: unknown key, did you mean \"port\"?",
    );
    file("[redis.redis]\nx = 1\n", "config/higo.toml line 1: redis.redis: unknown key, known here: url, timeout");
    Case::env("HOMING__LANE__SYSTEM__SHARD", "3")
        .fails("environment HOMING__LANE__SYSTEM__SHARD: unknown key, did you mean \"shards\"?");
    let mut case = Case::file("");
    case.defaults = "tilte = 'x'";
    case.fails("homing.toml line 1: tilte: unknown key, did you mean \"title\"?");
}

#[test]
fn a_missing_key_names_its_table() {
    Case::file("\n[lane.group]\nqueue = 'q'\n").fails("config/higo.toml line 2: lane.group: missing field `shards`");
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[allow(dead_code, reason = "only asked for")]
        redis: Redis,
    }
    let error = load::<Strict>(Sources::new().defaults("homing.toml", "")).unwrap_err();
    assert_eq!(error.to_string(), "homing.toml: missing field `redis`");
    let error = load::<Strict>(Sources::new()).unwrap_err();
    assert_eq!(error.to_string(), "configuration: missing field `redis`");
}

#[test]
fn the_last_source_that_wrote_a_value_is_named() {
    let case = |third| Case {
        defaults: DEFAULTS,
        files: vec![("one.toml", "[lane.system]\nshards = 'one'\n"), ("two.toml", "\nlane.system.shards = 'two'\n")],
        env: third,
    };
    case(vec![]).fails("config/two.toml line 2: lane.system.shards: invalid type: string \"two\", expected u32");
    case(vec![("HOMING__LANE__SYSTEM__SHARDS", "three")])
        .fails("environment HOMING__LANE__SYSTEM__SHARDS: invalid type: string \"three\", expected u32");
    assert_eq!(case(vec![("HOMING__LANE__SYSTEM__SHARDS", "3")]).value().lane["system"].shards, 3);
}

#[test]
fn bad_toml_has_line_and_column() {
    let file = |text, expected| Case::file(text).fails(expected);
    file("a = 1\n[lane\nb = 2", "config/higo.toml line 2 column 6: unclosed table, expected `]`");
    file("title = 'ä' x", "config/higo.toml line 1 column 13: unexpected key or value, expected newline, `#`");
    file("title = 'a'\ntitle = 'b'", "config/higo.toml line 2 column 1: duplicate key");
    file("title = ", "config/higo.toml line 1 column 9: string values must be quoted, expected literal string");
    file("ratio = 99999999999999999999", "config/higo.toml line 1 column 9: the number does not fit into 64 bits");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load::<Config>(Sources::new().files(["/nowhere/higo.toml"])).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/higo.toml: cannot read it: No such file or directory (os error 2)");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latin1.toml");
    fs::write(&path, b"title = '\xe4'").unwrap();
    let error = load::<Config>(Sources::new().files([&path])).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: cannot read it: stream did not contain valid UTF-8", path.display()));
}

#[test]
fn a_variable_that_is_not_utf8_is_refused_if_it_is_ours() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    let bad = || OsString::from_vec(vec![0xff]);
    let error =
        load::<Config>(Sources::new().env([("HOMING__TITLE".into(), bad())] as [(OsString, _); 1])).unwrap_err();
    assert_eq!(error.to_string(), "environment HOMING__TITLE: not UTF-8");
    assert!(
        load::<Config>(Sources::new().env([("OTHER".into(), bad()), (bad(), bad())] as [(OsString, _); 2])).is_ok()
    );
}

#[test]
fn later_checks_can_name_the_origin_too() {
    let loaded = Case::file("[lane.system]\nshards = 3\n[[channel]]\nkind = 'mqtt'\nport = 1").load().unwrap();
    let error = |path: &[&str]| {
        let error = loaded.origins.error(path, "no");
        let text = error.to_string();
        (text.rsplit('/').next().unwrap().to_owned(), error.path().to_owned())
    };
    let pair = |text: &str, path: &str| (text.to_owned(), path.to_owned());
    assert_eq!(
        error(&["lane", "system", "shards"]),
        pair("higo.toml line 2: lane.system.shards: no", "lane.system.shards")
    );
    assert_eq!(
        error(&["lane", "system", "queue"]),
        pair("homing.toml line 7: lane.system.queue: no", "lane.system.queue")
    );
    assert_eq!(error(&["channel", "[0]", "port"]), pair("higo.toml line 5: channel[0].port: no", "channel[0].port"));
    assert_eq!(error(&["channel", "[0]", "gone"]), pair("higo.toml line 3: channel[0].gone: no", "channel[0].gone"));
}
