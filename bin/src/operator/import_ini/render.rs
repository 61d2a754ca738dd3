//! `config/higo.toml` with the findings in it.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Imported,
    keys::{Account, AccountName, Found, Kind, Server, Stage},
};

const PRESET: &str = include_str!("../../../../config/higo.toml");

/// The configuration of a file called `name`.
pub(super) fn render(name: &str, mut found: Found) -> Imported {
    let mut text = Text::new(PRESET);
    let mut secrets = Vec::new();
    let mut remarks: Vec<String> =
        std::mem::take(&mut found.ignored).into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
    servers(&mut text, &found, &mut secrets, &mut remarks);
    lists(&mut text, &found, &mut remarks);
    accounts(&mut text, &mut found, &mut secrets, &mut remarks);
    if let Some(level) = found.log {
        text.append(&format!("[log]\nfilter = {}\n", quoted(level)));
    }
    let head = [
        format!("# Made by `homing import-ini` from {name} on the pattern of config/higo.toml."),
        "# The names in [lookup.*] and [source.*] are guesses all the same: correct them, then run `homing check`."
            .into(),
    ];
    let mut lines: Vec<String> = head.into();
    if !remarks.is_empty() {
        lines.push("#".to_owned());
        lines.push("# Of that file, and left to you:".to_owned());
        lines.extend(remarks.iter().map(|remark| format!("#   {remark}")));
    }
    // A line break in a key's name would end the comment.
    let head: String = lines.iter().map(|line| line.replace(char::is_control, " ") + "\n").collect();
    Imported { toml: format!("{head}\n{}", text.finish()), secrets, files: Vec::new(), remarks }
}

// === servers ===

fn servers(text: &mut Text, found: &Found, secrets: &mut Vec<(String, SecretString)>, remarks: &mut Vec<String>) {
    for (kind, header, label) in [
        (Kind::Redis, "[redis]", "Redis"),
        (Kind::Mysql, "[stores.account_db]", "MySQL"),
        (Kind::Mongo, "[stores.im]", "MongoDB"),
    ] {
        let mut several: Vec<(&str, &Server)> =
            found.servers.iter().filter(|((k, _), _)| *k == kind).map(|((_, which), s)| (which.as_str(), s)).collect();
        // The server of the queues first, and that of other facts second.
        several.sort_by_key(|(which, _)| (!is_of_queues(which), !which.is_empty()));
        let Some((which, first)) = several.first() else {
            remarks.push(format!("no {label} server was found: {header} is the pattern's"));
            continue;
        };
        place(text, header, url(kind, first), &file_name(kind, which), secrets);
        if kind == Kind::Redis {
            let (which, facts) = several.get(1).copied().unwrap_or((*which, *first));
            place(text, "[stores.main_redis]", url(kind, facts), &file_name(kind, which), secrets);
        }
        let placed = if kind == Kind::Redis { 2 } else { 1 };
        for (which, server) in several.iter().skip(placed) {
            let name = file_name(kind, which);
            let (store, kind_name) = (name.trim_end_matches("_url").to_owned(), kind_name(kind));
            text.append(&format!("[stores.{store}]\nkind = \"{kind_name}\"\n"));
            place(text, &format!("[stores.{store}]"), url(kind, server), &name, secrets);
            remarks.push(format!("a further {label} server became [stores.{store}], which no lookup asks yet"));
        }
        if kind == Kind::Mysql && first.user.is_none() && first.url.is_none() {
            remarks.push("no MySQL user was found: [stores.account_db] has the pattern's".to_owned());
        }
    }
}

fn is_of_queues(which: &str) -> bool {
    which.is_empty() || ["queue", "mq", "message", "msg", "push", "xg", "xinge"].iter().any(|word| which.contains(word))
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Redis => "redis",
        Kind::Mongo => "mongo",
        Kind::Mysql => "mysql",
    }
}

fn file_name(kind: Kind, which: &str) -> String {
    let which: String = which.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let parts = [kind_name(kind), which.as_str(), "url"];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// Puts a URL into a table: as text, or as a file's name if there is a password in it.
fn place(text: &mut Text, header: &str, url: String, name: &str, secrets: &mut Vec<(String, SecretString)>) {
    let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let user = authority.split_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) || url.contains("password=") {
        let file = format!("secrets/{name}");
        text.set(header, "url", &format!("url_file = {}", quoted(&file)));
        if secrets.iter().all(|(known, _)| *known != file) {
            secrets.push((file, SecretString::from(url)));
        }
    } else {
        text.set(header, "url", &format!("url = {}", quoted(&url)));
    }
}

fn url(kind: Kind, server: &Server) -> String {
    if let Some(url) = &server.url {
        return url.clone();
    }
    let (scheme, port, user, database) = match kind {
        Kind::Redis => ("redis", "6379", "", "0"),
        Kind::Mysql => ("mysql", "3306", "homing", "higo"),
        Kind::Mongo => ("mongodb", "27017", "", "im"),
    };
    let host = server.host.as_deref().unwrap_or("127.0.0.1");
    let port = server.port.as_deref().unwrap_or(port);
    // `host:port`, and MongoDB's `a:1,b:2`, are whole already.
    let place = if host.contains([':', ',']) { host.replace(' ', "") } else { format!("{host}:{port}") };
    let user = server.user.as_deref().unwrap_or(user);
    let login = match (user, &server.password) {
        ("", None) => String::new(),
        (user, None) => format!("{}@", escaped(user)),
        (user, Some(password)) => format!("{}:{}@", escaped(user), escaped(password)),
    };
    format!("{scheme}://{login}{place}/{}", escaped(server.database.as_deref().unwrap_or(database)))
}

/// As a part of a URL.
fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

// === lanes and sources ===

fn lists(text: &mut Text, found: &Found, remarks: &mut Vec<String>) {
    for (lane, entry, delivery) in [
        ("system", "hg_message_queue", "hg_xinge_queue"),
        ("group", "higo_group_chat_message", "higo_group_xinge_queue"),
        ("private", "higo_private_chat_message", "higo_private_xinge_queue"),
    ] {
        let header = format!("[lane.{lane}]");
        let shards = match lane {
            "system" => found.shards.get(lane).copied().unwrap_or(1),
            lane => found.shards.get(lane).copied().or(found.queue_max).unwrap_or(5),
        };
        let own = |stage| found.lists.get(&(lane, stage));
        if own(Stage::Entry).is_none() && own(Stage::Delivery).is_none() {
            remarks.push(format!("no list of the lane {lane} was found: {header} has HIGO's own names"));
        }
        let list = |stage, usual: &str| {
            let name = template(own(stage).map_or(usual, String::as_str), lane != "system" || shards > 1);
            let shards = if name.contains("{n}") { format!(", shards = {shards}") } else { String::new() };
            format!("{{ name = {}{shards} }}", quoted(&name))
        };
        text.set(&header, "entry", &format!("entry = {}", list(Stage::Entry, entry)));
        text.set(&header, "delivery", &format!("delivery = {{ xinge = {} }}", list(Stage::Delivery, delivery)));
    }
    for (lane, collection) in &found.collections {
        text.set(&format!("[source.{lane}]"), "collection", &format!("collection = {}", quoted(collection)));
    }
}

/// The name of a family of lists: the place of the number may be `%d`, `%s`, `{}`, `{0}`, a first number, or the end.
fn template(name: &str, is_numbered: bool) -> String {
    for place in ["%d", "%s", "{}", "{0}", "{n}"] {
        if let Some((before, after)) = name.split_once(place) {
            return format!("{before}{{n}}{after}");
        }
    }
    if !is_numbered {
        return name.to_owned();
    }
    format!("{}{{n}}", name.strip_suffix('1').unwrap_or(name))
}

// === accounts ===

fn accounts(text: &mut Text, found: &mut Found, secrets: &mut Vec<(String, SecretString)>, remarks: &mut Vec<String>) {
    // The pattern's are nobody's.
    text.remove("[account.");
    for (name, account) in std::mem::take(&mut found.accounts) {
        let local = if name.local { "local_" } else { "" };
        let plain: String = name.app.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let label = format!("{local}{}_{plain}", name.platform);
        let Account { access_id: Some(access_id), secret: Some(secret) } = account else {
            let missing = if account.access_id.is_some() { "secret key" } else { "access id" };
            remarks.push(format!("account {label}: no {missing} was found; it is left out"));
            continue;
        };
        let file = format!("secrets/{label}");
        let (flavour, id) = flavour(&access_id);
        text.append(&entry(&label, &name, flavour, &id, &file));
        if let Some(remark) = doubt(&name, flavour, &access_id) {
            remarks.push(format!("account {label}: {remark}"));
        }
        secrets.push((file, SecretString::from(secret.expose_secret().to_owned())));
    }
    if secrets.iter().all(|(file, _)| file.ends_with("_url")) {
        remarks.push("no account was found: nothing can be sent without [account.*]".to_owned());
    }
}

fn entry(label: &str, name: &AccountName, flavour: &str, id: &str, file: &str) -> String {
    let AccountName { platform, app, local } = name;
    let environment = if *local { "environment = \"dev\"\n" } else { "" };
    format!(
        "[account.{label}]\nflavour = \"{flavour}\"\nplatform = \"{platform}\"\napp = {}\n{environment}access_id = {id}\n\
         secret_file = {}\n",
        quoted(app),
        quoted(file),
    )
}

/// The generation of the service that an access id is of, and the id as TOML.
fn flavour(access_id: &str) -> (&'static str, String) {
    match access_id.parse::<u64>() {
        // (TPNS documentation, 548/39064: Android 1500xxxxxx, iOS 1600xxxxxx.)
        Ok(id) if access_id.len() == 10 && (access_id.starts_with("15") || access_id.starts_with("16")) => {
            ("tpns", id.to_string())
        }
        Ok(id) => ("v2", id.to_string()),
        Err(_) => ("v3", quoted(access_id)),
    }
}

/// What is odd about an access id. `homing check` refuses those that cannot be.
fn doubt(name: &AccountName, flavour: &str, access_id: &str) -> Option<String> {
    let id = access_id.parse::<u64>().ok();
    match (flavour, id, name.platform) {
        ("v2", Some(id), "android") if id >= homing_channels::xinge::IOS_MIN_ID => {
            Some(format!("its access id {id} is that of an iOS app"))
        }
        ("v2", Some(id), "ios") if id < homing_channels::xinge::IOS_MIN_ID => {
            Some(format!("its access id {id} is that of an Android app"))
        }
        ("v2", ..) => None,
        (flavour, ..) => Some(format!("taken for {flavour} by its access id; correct `flavour` if it is another's")),
    }
}

// === text ===

/// A TOML text in blocks: a header with the comments above it and the lines below.
struct Text {
    blocks: Vec<Vec<String>>,
}

impl Text {
    /// What stands above the first table is left out.
    fn new(preset: &str) -> Self {
        let lines: Vec<&str> = preset.lines().collect();
        let mut blocks: Vec<Vec<String>> = Vec::new();
        let mut comments: Vec<String> = Vec::new();
        for line in lines {
            if line.starts_with('[') {
                let mut block = std::mem::take(&mut comments);
                block.push(line.to_owned());
                blocks.push(block);
            } else if line.starts_with('#') {
                comments.push(line.to_owned());
            } else if let Some(block) = blocks.last_mut() {
                block.append(&mut comments);
                if !line.is_empty() {
                    block.push(line.to_owned());
                }
            } else {
                comments.clear();
            }
        }
        if let Some(block) = blocks.last_mut() {
            block.append(&mut comments);
        }
        Self { blocks }
    }

    fn find(&mut self, header: &str) -> Option<&mut Vec<String>> {
        self.blocks.iter_mut().find(|block| block.iter().any(|line| line == header))
    }

    /// Puts `line` in place of the table's `key = ...`, else behind its header.
    fn set(&mut self, header: &str, key: &str, line: &str) {
        let Some(block) = self.find(header) else { return };
        let has_key = |l: &str| l.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        match block.iter().position(|l| has_key(l)) {
            Some(i) => block.splice(i..=i, [line.to_owned()]).for_each(drop),
            None => {
                let behind = block.iter().position(|l| l == header).map_or(block.len(), |i| i + 1);
                block.insert(behind, line.to_owned());
            }
        }
    }

    /// Takes out the tables whose headers begin so, with their comments.
    fn remove(&mut self, header: &str) {
        self.blocks.retain(|block| !block.iter().any(|line| line.starts_with(header)));
    }

    fn append(&mut self, block: &str) {
        self.blocks.push(block.lines().map(str::to_owned).collect());
    }

    fn finish(self) -> String {
        self.blocks.into_iter().map(|block| block.join("\n") + "\n").collect::<Vec<_>>().join("\n")
    }
}

/// As TOML writes it: JSON's escapes are a part of its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
