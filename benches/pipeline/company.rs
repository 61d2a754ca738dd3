//! The installation that is measured: HIGO's shape (`config/higo.toml`) with users who may all be told, and the events
//! for them.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// App and platform of a device: (app, the company's word for the platform, ours, access id).
const ACCOUNTS: [(&str, &str, &str, u64); 4] = [
    ("higo", "android", "android", 2_100_000_001),
    ("higo", "iphone", "ios", 2_200_000_001),
    ("higirl", "android", "android", 2_100_000_002),
    ("higirl", "iphone", "ios", 2_200_000_002),
];

/// The first user's number.
const FIRST: usize = 100_000;

pub(crate) struct Company {
    pub(crate) users: usize,
    pub(crate) accounts: usize,
    /// The users are one group, of whom three in ten may be told.
    crowd: bool,
    mysql: Mysql,
    pub(crate) database: String,
}

/// The id of the group of a crowd.
pub(crate) const GROUP: &str = "9000";

/// A MariaDB, by its URL in parts.
struct Mysql {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Company {
    /// Makes the tables, in a database of their own, and the keys.
    pub(crate) async fn found(
        users: usize,
        accounts: usize,
        crowd: bool,
        url: &str,
        facts: &str,
    ) -> anyhow::Result<Self> {
        let database = format!("homing_bench_{}", std::process::id());
        let accounts = accounts.clamp(1, ACCOUNTS.len());
        let company = Self { users, accounts, crowd, mysql: Mysql::read(url)?, database };
        company.mysql.run(&company.tables())?;
        let mut redis = redis::Client::open(facts)?.get_multiplexed_async_connection().await?;
        let numbers: Vec<usize> = (FIRST..FIRST + users).collect();
        for chunk in numbers.chunks(1_000) {
            let mut pipe = redis::pipe();
            for user in chunk {
                pipe.set(format!("login_status:{user}"), i32::from(!company.is(*user, 3..=5))).ignore();
                if company.is(*user, 6..=7) {
                    pipe.zadd("online_users", user, 32_503_680_000_i64).ignore();
                } else if user % 3 == 0 {
                    // A heartbeat of long ago: not online.
                    pipe.zadd("online_users", user, 1_500_000_000_i64).ignore();
                }
            }
            pipe.exec_async(&mut redis).await?;
        }
        Ok(company)
    }

    /// Is a user of a crowd one of those whose last digit lies in `digits`? Of 0 to 2 no rule holds any back.
    fn is(&self, user: usize, digits: std::ops::RangeInclusive<usize>) -> bool {
        self.crowd && digits.contains(&(user % 10))
    }

    /// The users who may be told.
    pub(crate) fn told(&self) -> impl Iterator<Item = usize> {
        (FIRST..FIRST + self.users).filter(|user| !self.is(*user, 3..=9))
    }

    fn tables(&self) -> String {
        let database = &self.database;
        let mut sql = format!(
            "CREATE DATABASE {database}; USE {database};\n\
             CREATE TABLE t_account (account_id BIGINT UNSIGNED PRIMARY KEY, push_status TINYINT NOT NULL);\n\
             CREATE TABLE t_device (id INT AUTO_INCREMENT PRIMARY KEY, account_id BIGINT UNSIGNED, xinge_token VARCHAR(64),\
             via VARCHAR(16), app VARCHAR(16), is_del TINYINT DEFAULT 0, KEY (account_id));\n\
             CREATE TABLE t_group_member (group_id BIGINT, user_id BIGINT UNSIGNED, PRIMARY KEY (group_id, user_id));\n"
        );
        let numbers: Vec<usize> = (FIRST..FIRST + self.users).collect();
        for chunk in numbers.chunks(1_000) {
            let status = |user: usize| usize::from(!self.is(user, 9..=9));
            let known = chunk.iter().filter(|user| !self.is(**user, 8..=8));
            let accounts: Vec<String> = known.map(|user| format!("({user},{})", status(*user))).collect();
            let device = |user: &usize| {
                let (app, via, _, _) = ACCOUNTS[user % self.accounts];
                format!("({user},'{user:0>64x}','{via}','{app}')")
            };
            let devices: Vec<String> = chunk.iter().map(device).collect();
            if self.crowd {
                let members: Vec<String> = chunk.iter().map(|user| format!("({GROUP},{user})")).collect();
                sql += &format!("INSERT INTO t_group_member VALUES {};\n", members.join(","));
            }
            sql += &format!("INSERT INTO t_account VALUES {};\n", accounts.join(","));
            sql += &format!("INSERT INTO t_device (account_id, xinge_token, via, app) VALUES {};\n", devices.join(","));
        }
        sql + "ANALYZE TABLE t_account, t_device, t_group_member;\n"
    }

    /// The user whom event `number` is for.
    pub(crate) fn user(&self, number: usize) -> String {
        // Neighbours in a list are different people, as in life.
        (FIRST + number * 7919 % self.users).to_string()
    }

    /// Event `number` as PHP serializes it, about 500 bytes; with an id of its own or without.
    pub(crate) fn event(&self, number: usize, id: bool) -> Vec<u8> {
        let text = |text: &str| format!("s:{}:\"{text}\";", text.len());
        let fields = [
            ("order_id", format!("20261121{number:010}")),
            ("goods", "羊绒大衣 2026 秋冬新款".to_owned()),
            ("shop", format!("shop-{}", number % 997)),
            ("url", format!("https://m.example.com/order/20261121{number:010}?from=push&v=2")),
            ("image", format!("https://img.example.com/goods/{:08}.jpg", number % 100_000)),
            ("remark", "预计三天内送达，请保持手机畅通，如有问题请联系客服".to_owned()),
        ];
        let mut data = String::new();
        for (name, value) in &fields {
            data += &(text(name) + &text(value));
        }
        let id = if id { text("id") + &text(&format!("b-{number}")) } else { String::new() };
        let mut event = format!("a:{}:{{{id}{}i:7;", if id.is_empty() { 3 } else { 4 }, text("type"));
        write!(event, "{}a:1:{{{}{}}}", text("to"), text("user"), text(&self.user(number))).ok();
        write!(event, "{}a:{}:{{{data}{}d:{}.5;}}}}", text("data"), fields.len() + 1, text("amount"), number % 5_000)
            .ok();
        event.into_bytes()
    }

    /// Writes the configuration of an installation with so many shards per stage.
    pub(crate) fn config(
        &self,
        dir: &Path,
        shards: u32,
        queue: &str,
        facts: &str,
        sink: &str,
    ) -> anyhow::Result<PathBuf> {
        let n = if shards > 1 { "{n}" } else { "" };
        let Mysql { user, password, host, port } = &self.mysql;
        let crowd = match std::env::var("HOMING_TEST_MONGO_URL") {
            Ok(url) if self.crowd => self.group(&url),
            _ => String::new(),
        };
        let mut text = format!(
            r#"[redis]
url = "{queue}"
[lane.system]
entry = {{ name = "hg_message_queue{n}", shards = {shards} }}
delivery = {{ xinge = {{ name = "hg_xinge_queue{n}", shards = {shards} }} }}
rules = ["login", "online", "account", "dnd"]
[stores.main_redis]
kind = "redis"
url = "{facts}"
[stores.account_db]
kind = "mysql"
url = "mysql://{user}:{password}@{host}:{port}/{database}"
[lookup.login]
store = "main_redis"
type = "string"
key = "login_status:{{user_id}}"
accept = "value == '1'"
on_missing = "deny"
[lookup.online]
store = "main_redis"
type = "zset"
key = "online_users"
member = "{{user_id}}"
accept = "now - value|float > 90"
on_missing = "allow"
[lookup.account]
store = "account_db"
table = "t_account"
id = "account_id"
columns = {{ push_status = "push_status" }}
accept = "push_status == '1'"
[lookup.tokens]
store = "account_db"
query = "SELECT account_id, xinge_token AS token, via AS platform, app FROM t_device WHERE account_id IN (:user_ids) AND is_del = 0 ORDER BY id"
row_key = "account_id"
map.platform = {{ android = "android", iphone = "ios" }}
{crowd}"#,
            database = self.database,
        );
        for (app, _, platform, id) in ACCOUNTS {
            write!(
                text,
                "[account.{platform}_{app}]\nflavour = \"v2\"\nplatform = \"{platform}\"\napp = \"{app}\"\naccess_id = {id}\n\
                 secret = \"made-up-{platform}-{app}\"\nbase_url = \"{sink}\"\nsign_host = \"openapi.xg.qq.com\"\n"
            )?;
        }
        let path = dir.join(format!("shards-{shards}.toml"));
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Company {
    /// What a chat in the group needs: a lane, a source, who belongs to the group.
    fn group(&self, mongo: &str) -> String {
        let database = &self.database;
        format!(
            r#"[lane.group]
entry = {{ name = "higo_group_chat_message{{n}}", shards = 5 }}
delivery = {{ xinge = {{ name = "higo_group_xinge_queue{{n}}", shards = 5 }} }}
rules = ["login", "online", "account", "dnd"]
members = "group_members"
[members.group_members]
store = "account_db"
table = "t_group_member"
of = "group_id"
member = "user_id"
[scanner.group]
source = "group"
lane = "group"
type = "GROUP_CHAT"
recipients = "group.members"
poll = "1s"
page = 500
[stores.im]
kind = "mongo"
url = "{mongo}"
[source.group]
kind = "mongo"
store = "im"
database = "{database}"
collection = "chats"
cursor = {{ field = "createAt", type = "string-seconds", tie = "_id" }}
fields = {{ id = "_id", conversation = "group_id", author = "user.user_id", type = "type", body = "data" }}
"#
        )
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        if let Err(error) = self.mysql.run(&format!("DROP DATABASE IF EXISTS {};", self.database)) {
            eprintln!("bench: database {} stays: {error:#}", self.database);
        }
    }
}

impl Mysql {
    fn read(url: &str) -> anyhow::Result<Self> {
        let parts = || {
            let (login, place) = url.strip_prefix("mysql://")?.split_once('@')?;
            let (user, password) = login.split_once(':')?;
            let (host, port) = place.split_once('/').map_or(place, |(place, _)| place).split_once(':')?;
            Some(Self { user: user.into(), password: password.into(), host: host.into(), port: port.into() })
        };
        parts().context("expected mysql://USER:PASSWORD@HOST:PORT/...")
    }

    fn run(&self, sql: &str) -> anyhow::Result<()> {
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "-h", &self.host, "-P", &self.port, "-u", &self.user])
            .env("MYSQL_PWD", &self.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("the mariadb client")?;
        client.stdin.take().context("stdin")?.write_all(sql.as_bytes())?;
        if !client.wait()?.success() {
            bail!("the mariadb client failed");
        }
        Ok(())
    }
}
