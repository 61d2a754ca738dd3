//! What the keys of HIGO's ini file mean, as far as their words tell.
//!
//! ```text
//! android_higo_appid, ios_higirl_skey      an account: platform, app, id or secret
//! local_ios_higo_appid                     the same for the test network
//! [redis] host, redis_port, mongo_db       a server
//! group_message_queue = higo_group_chat_message    a list: its lane and stage are in the words of key and value
//! queue_max, group_queue_max               how many of it
//! ```

use std::collections::BTreeMap;

use secrecy::SecretString;

/// One key of the file. Its `Debug` would show a secret, so it has none.
pub(super) struct Key {
    /// `section.key`, as it is shown.
    label: String,
    section: Vec<String>,
    words: Vec<String>,
    value: String,
}

/// An account, as far as it was found.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) access_id: Option<String>,
    pub(super) secret: Option<SecretString>,
}

/// Platform, app and whether it is for the test network. The order is that of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AccountName {
    pub(super) local: bool,
    pub(super) app: String,
    /// `android`, `ios`.
    pub(super) platform: &'static str,
}

/// Kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Redis,
    Mongo,
    Mysql,
}

/// A server, as far as it was found. Its `Debug` would show the password, so it has none.
#[derive(Default)]
pub(super) struct Server {
    pub(super) url: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<String>,
    pub(super) database: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// The stage of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Entry,
    Delivery,
}

/// Everything that a file said.
#[derive(Default)]
pub(super) struct Found {
    pub(super) accounts: BTreeMap<AccountName, Account>,
    /// By kind and what distinguishes several of a kind (`queue` of `redis_queue_host`).
    pub(super) servers: BTreeMap<(Kind, String), Server>,
    /// By lane.
    pub(super) lists: BTreeMap<(&'static str, Stage), String>,
    pub(super) shards: BTreeMap<&'static str, u32>,
    /// For every lane that `shards` does not name.
    pub(super) queue_max: Option<u32>,
    pub(super) collections: BTreeMap<&'static str, String>,
    pub(super) log: Option<&'static str>,
    /// Labels and why they were left out.
    pub(super) ignored: Vec<(String, String)>,
}

const REFERS: &str = "its value refers to another key by %(..)s: write it out";

// === impl Key ===

impl Key {
    pub(super) fn new(section: &str, name: &str, value: Option<&str>) -> Self {
        let label = if section.is_empty() { name.to_owned() } else { format!("[{section}] {name}") };
        let mut value = value.unwrap_or_default();
        if let Some((before, _)) = value.split_once(" ;").or_else(|| value.split_once("\t;")) {
            value = before;
        }
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
        Self { label, section: words(section), words: words(name), value: bare.to_owned() }
    }

    /// Words of section and key.
    fn all(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.section.iter().chain(&self.words).map(String::as_str)
    }

    fn has(&self, any: &[&str]) -> bool {
        self.all().any(|word| any.contains(&word))
    }

    fn ends(&self, any: &[&str]) -> bool {
        self.words.last().is_some_and(|word| any.contains(&word.as_str()))
    }

    fn refers(&self) -> bool {
        self.value.split_once("%(").is_some_and(|(_, rest)| rest.contains(")s"))
    }
}

/// Words in lower case: `redisHost`, `redis-host`, `redishost` and `REDIS_HOST` are `redis host`.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    let mut before = ' ';
    for c in text.chars() {
        if before.is_lowercase() && c.is_uppercase() {
            spaced.push(' ');
        }
        spaced.push(if c.is_alphanumeric() { c } else { ' ' });
        before = c;
    }
    let mut words = Vec::new();
    for word in spaced.to_lowercase().split_whitespace() {
        let glued = ["redis", "mongodb", "mongo", "mysql"].iter().find_map(|s| Some((*s, word.strip_prefix(*s)?)));
        match glued {
            Some((server, rest)) if !rest.is_empty() => words.extend([server.to_owned(), rest.to_owned()]),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

// === impl Found ===

impl Found {
    /// Was anything of use found?
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.servers.is_empty() && self.lists.is_empty()
    }

    /// Files one key where it belongs. The order of the questions matters: the words of an account are the surest, those
    /// of a server the vaguest.
    pub(super) fn take(&mut self, key: &Key) {
        let taken = if key.value.is_empty() {
            Err("it has no value".to_owned())
        } else if key.value.contains('\n') {
            Err("its value has several lines".to_owned())
        } else {
            self.account(key)
                .or_else(|| self.needless(key))
                .or_else(|| self.shards(key))
                .or_else(|| self.collection(key))
                .or_else(|| self.list(key))
                .or_else(|| self.server(key))
                .unwrap_or_else(|| Err("not understood".to_owned()))
        };
        if let Err(why) = taken {
            self.ignored.push((key.label.clone(), why));
        }
    }

    fn account(&mut self, key: &Key) -> Option<Result<(), String>> {
        const ID: &[&[&str]] = &[&["appid"], &["app", "id"], &["access", "id"], &["accessid"]];
        const SECRET: &[&[&str]] = &[&["skey"], &["s", "key"], &["secret", "key"], &["secretkey"], &["secret"]];
        let field = |fields: &[&[&str]]| {
            fields
                .iter()
                .find(|f| key.words.ends_with(&f.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()))
                .map(|f| f.len())
        };
        let (is_id, length) = match (field(ID), field(SECRET)) {
            (Some(length), _) => (true, length),
            (None, Some(length)) => (false, length),
            (None, None) => return None,
        };
        let platform = |words: &[String]| {
            words.iter().find_map(|word| match word.as_str() {
                "android" => Some("android"),
                "ios" | "iphone" => Some("ios"),
                _ => None,
            })
        };
        let own = key.words.get(..key.words.len().saturating_sub(length)).unwrap_or_default();
        let platform = platform(own).or_else(|| platform(&key.section))?;
        // What is left is the app. A section's words are asked only where the key has none.
        let rest = |words: &[String], noise: &[&str]| {
            let kept: Vec<&str> = words.iter().map(String::as_str).filter(|word| !noise.contains(word)).collect();
            kept.join("_")
        };
        const PLACE: &[&str] = &["android", "ios", "iphone", "local", "test", "dev", "sandbox", "xinge", "xg", "push"];
        const SECTION: &[&str] = &[
            "android", "ios", "iphone", "local", "test", "dev", "sandbox", "xinge", "xg", "push", "config", "conf",
            "app", "account", "common", "main", "default", "base",
        ];
        let app = match rest(own, PLACE) {
            app if app.is_empty() => rest(&key.section, SECTION),
            app => app,
        };
        let local = key.has(&["local", "test", "dev", "sandbox"]);
        let name = AccountName { local, app, platform };
        Some(if name.app.is_empty() {
            Err("it names no app".to_owned())
        } else if key.refers() {
            Err(REFERS.to_owned())
        } else {
            let account = self.accounts.entry(name).or_default();
            if is_id {
                once(&mut account.access_id, key.value.clone())
            } else {
                let before = account.secret.replace(SecretString::from(key.value.clone()));
                twice(before.is_some())
            }
        })
    }

    /// Keys that HIGO needed and Homing does not.
    fn needless(&mut self, key: &Key) -> Option<Result<(), String>> {
        if key.has(&["log", "logs", "logging", "loglevel"]) {
            let level = match key.value.to_ascii_lowercase().as_str() {
                "debug" => "debug",
                "info" => "info",
                "warn" | "warning" => "warn",
                "error" | "critical" | "fatal" => "error",
                _ => return Some(Err("not needed: logs go to logs/ or to the journal".to_owned())),
            };
            self.log = Some(level);
            return Some(Ok(()));
        }
        let why = if key.ends(&["interval", "sleep", "seconds", "second", "wait"]) {
            "not needed: nothing sleeps on an empty list; scanners have `poll`"
        } else if key.has(&["pid", "pidfile"]) {
            "not needed: scripts/homing keeps pid files, systemd needs none"
        } else if key.ends(&["timeout", "charset", "pool", "retry", "encoding"]) {
            "not needed: Homing has settings of its own for it"
        } else {
            return None;
        };
        Some(Err(why.to_owned()))
    }

    fn shards(&mut self, key: &Key) -> Option<Result<(), String>> {
        if !key.has(&["queue", "queues", "list", "lists"]) || !key.has(&["max", "num", "count", "total", "number"]) {
            return None;
        }
        let Some(n) = key.value.parse::<u32>().ok().filter(|n| (1..=1_024).contains(n)) else {
            return Some(Err("it is no number from 1 to 1024".to_owned()));
        };
        match lane(key.all()) {
            // HIGO's system lists have no number.
            "system" => Some(once(&mut self.queue_max, n)),
            lane => Some(twice(self.shards.insert(lane, n).is_some_and(|before| before != n))),
        }
    }

    fn collection(&mut self, key: &Key) -> Option<Result<(), String>> {
        if !key.ends(&["collection", "coll", "collections"]) {
            return None;
        }
        if key.refers() {
            return Some(Err(REFERS.to_owned()));
        }
        let value = words(&key.value);
        let lane =
            if lane(key.all().chain(value.iter().map(String::as_str))) == "private" { "private" } else { "group" };
        Some(twice(self.collections.insert(lane, key.value.clone()).is_some()))
    }

    fn list(&mut self, key: &Key) -> Option<Result<(), String>> {
        const OF_A_KEY: &[&str] =
            &["queue", "queues", "list", "key", "name", "mq", "message", "msg", "chat", "xg", "xinge"];
        const OF_A_VALUE: &[&str] = &["queue", "message", "msg", "chat", "xg", "xinge"];
        let value = words(&key.value);
        let fits = key.words.iter().any(|word| OF_A_KEY.contains(&word.as_str()))
            && value.iter().any(|word| OF_A_VALUE.contains(&word.as_str()))
            && key.value.contains(['_', ':'])
            && key.value.chars().all(|c| c.is_alphanumeric() || "_:.-{}%()".contains(c));
        if !fits {
            return None;
        }
        if key.refers() {
            return Some(Err(REFERS.to_owned()));
        }
        let all = || key.words.iter().chain(&value).map(String::as_str);
        let stage =
            if all().any(|word| ["xg", "xinge", "send"].contains(&word)) { Stage::Delivery } else { Stage::Entry };
        let lane = lane(all());
        let before = self.lists.insert((lane, stage), key.value.clone());
        Some(twice(before.is_some_and(|before| before != key.value)))
    }

    fn server(&mut self, key: &Key) -> Option<Result<(), String>> {
        let kinds = |word: &str| match word {
            "redis" => Some(Kind::Redis),
            "mongo" | "mongodb" => Some(Kind::Mongo),
            "mysql" | "mariadb" => Some(Kind::Mysql),
            _ => None,
        };
        // The key knows better than its section. A mere "db" is the SQL database.
        let by_key = key.words.iter().find_map(|word| kinds(word));
        let by_section = || key.section.iter().find_map(|word| kinds(word));
        let by_rest = || key.section.iter().any(|w| ["db", "database"].contains(&w.as_str())).then_some(Kind::Mysql);
        let kind = by_key.or_else(by_section).or_else(by_rest)?;
        let last = key.words.last().map(String::as_str).unwrap_or_default();
        let part: fn(&mut Server) -> &mut Option<String> = match last {
            "host" | "hosts" | "hostname" | "ip" | "addr" | "address" | "server" | "servers" | "redis" | "mongo"
            | "mongodb" | "mysql" | "mariadb" => |server| &mut server.host,
            "port" => |server| &mut server.port,
            "db" | "dbname" | "database" | "dbnum" | "name" | "schema" => |server| &mut server.database,
            "user" | "username" | "login" => |server| &mut server.user,
            "pass" | "passwd" | "password" | "pwd" | "auth" => |server| &mut server.password,
            "url" | "uri" | "dsn" => |server| &mut server.url,
            _ => return None,
        };
        if key.refers() {
            return Some(Err(REFERS.to_owned()));
        }
        const NOISE: &[&str] =
            &["config", "conf", "common", "main", "default", "base", "server", "db", "database", "higo"];
        let which: Vec<&str> = key
            .all()
            .rev()
            .skip(1)
            .filter(|word| kinds(word).is_none() && !NOISE.contains(word) && *word != last)
            .collect();
        let which = which.into_iter().rev().collect::<Vec<_>>().join("_");
        let server = self.servers.entry((kind, which)).or_default();
        Some(once(part(server), key.value.clone()))
    }
}

/// The lane that words speak of.
fn lane<'a>(words: impl Iterator<Item = &'a str>) -> &'static str {
    let mut lane = "system";
    for word in words {
        match word {
            "private" | "personal" | "single" => return "private",
            "group" => lane = "group",
            _ => {}
        }
    }
    lane
}

fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    let before = slot.replace(value);
    twice(before.is_some() && before != *slot)
}

fn twice(before: bool) -> Result<(), String> {
    if before { Err("it says again what an earlier key said, and counts".to_owned()) } else { Ok(()) }
}
