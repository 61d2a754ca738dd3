//! The company of the tests: users 1000 to 2999 with facts that follow from their numbers, and groups 1 to 500 whose
//! owners are users 1000 + group. What should become of a message is computed here from the numbers alone, by nothing
//! that Homing uses.

use std::collections::BTreeMap;

use redis::AsyncCommands;

pub(crate) const USERS: std::ops::Range<u64> = 1000..3000;
pub(crate) const GROUPS: std::ops::RangeInclusive<u64> = 1..=500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Told,
    /// Of a chat: written by the one who would be told.
    Author,
    NotLoggedIn,
    Online,
    NoAccount,
    DoNotDisturb,
    NoDevice,
}

pub(crate) struct Company;

impl Company {
    /// What the rules say of a user, in HIGO's order.
    pub(crate) fn fate(user: u64) -> Fate {
        match user {
            u if u % 7 == 0 => Fate::NotLoggedIn,
            u if u % 11 == 0 => Fate::Online,
            u if u % 13 == 0 => Fate::NoAccount,
            u if u % 17 == 0 => Fate::DoNotDisturb,
            u if u % 19 == 0 => Fate::NoDevice,
            _ => Fate::Told,
        }
    }

    /// How many meet each fate.
    pub(crate) fn count(fates: impl Iterator<Item = Fate>) -> BTreeMap<Fate, u64> {
        let mut counts = BTreeMap::new();
        fates.for_each(|fate| *counts.entry(fate).or_default() += 1);
        counts
    }

    pub(crate) fn owner(group: u64) -> u64 {
        1000 + group
    }

    /// Android users are those whose number divides by four or leaves one.
    fn is_android(user: u64) -> bool {
        user % 4 < 2
    }

    pub(crate) fn token(user: u64) -> String {
        format!("{:0>1$x}", user, if Self::is_android(user) { 40 } else { 64 })
    }

    /// The producers' events name the app `higo` for odd users and `higirl` for even ones.
    pub(crate) fn app(user: u64) -> &'static str {
        if user % 2 == 1 { "higo" } else { "higirl" }
    }

    /// The company's own word for the platform.
    pub(crate) fn via(user: u64) -> &'static str {
        if Self::is_android(user) { "android" } else { "iphone" }
    }

    /// A row of `t_device` (account_id, xinge_token, via, app).
    pub(crate) fn device(user: u64) -> String {
        format!("({user},'{}','{}','{}')", Self::token(user), Self::via(user), Self::app(user))
    }

    /// Puts the facts into Redis.
    pub(crate) async fn fill_redis(url: &str) {
        let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        let mut pipe = redis::pipe();
        for user in USERS {
            pipe.set(format!("login_status:{user}"), i32::from(user % 7 != 0)).ignore();
            if user % 11 == 0 {
                pipe.zadd("online_users", user, 32_503_680_000_i64).ignore();
            } else if user % 3 == 0 {
                // A heartbeat of long ago: offline.
                pipe.zadd("online_users", user, 1_500_000_000_i64).ignore();
            }
        }
        pipe.exec_async(&mut connection).await.unwrap();
        let _: () = connection.set("filled", 1).await.unwrap();
    }

    /// The tables and their rows, as statements for the mysql client.
    pub(crate) fn sql() -> String {
        let mut sql = "CREATE TABLE t_account (account_id BIGINT UNSIGNED PRIMARY KEY, push_status TINYINT NOT NULL);\n\
             CREATE TABLE t_device (id INT AUTO_INCREMENT PRIMARY KEY, account_id BIGINT UNSIGNED, xinge_token VARCHAR(64),\
             via VARCHAR(16), app VARCHAR(16), is_del TINYINT DEFAULT 0, KEY (account_id));\n\
             CREATE TABLE t_group (group_id BIGINT PRIMARY KEY, owner_id BIGINT UNSIGNED);\n\
             CREATE TABLE t_group_member (group_id BIGINT, user_id BIGINT UNSIGNED, PRIMARY KEY (group_id, user_id));\n"
            .to_owned();
        let accounts: Vec<String> =
            USERS.filter(|u| u % 13 != 0).map(|u| format!("({u},{})", u64::from(u % 17 != 0))).collect();
        sql += &format!("INSERT INTO t_account VALUES {};\n", accounts.join(","));
        let devices: Vec<String> = USERS.filter(|u| u % 19 != 0).map(Self::device).collect();
        sql += &format!("INSERT INTO t_device (account_id, xinge_token, via, app) VALUES {};\n", devices.join(","));
        let groups: Vec<String> = GROUPS.map(|g| format!("({g},{})", Self::owner(g))).collect();
        sql + &format!("INSERT INTO t_group VALUES {};\n", groups.join(","))
    }
}
