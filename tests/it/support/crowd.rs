//! A group of 100,000 members, of whom 30,000 may be told.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{Company, Fate, World};

const MEMBERS: std::ops::Range<u64> = 200_000..300_000;

pub(crate) struct Crowd;

impl Crowd {
    /// Its id.
    pub(crate) const GROUP: u64 = 9_000;

    /// What the rules say of a member.
    pub(crate) fn fate(member: u64) -> Fate {
        match member % 10 {
            0..=2 => Fate::Told,
            3 | 4 => Fate::NotLoggedIn,
            5 | 6 => Fate::Online,
            7 => Fate::NoAccount,
            8 => Fate::DoNotDisturb,
            _ => Fate::NoDevice,
        }
    }

    /// The tokens of those who must be told.
    pub(crate) fn expected() -> BTreeSet<String> {
        MEMBERS.filter(|m| Self::fate(*m) == Fate::Told).map(Company::token).collect()
    }

    /// Puts the group, its members and their facts into the servers of a world.
    pub(crate) async fn fill(world: &World) {
        let mut redis = world.redis().await;
        let members: Vec<u64> = MEMBERS.collect();
        let mut sql = format!("INSERT INTO t_group VALUES ({},{});\n", Self::GROUP, MEMBERS.start);
        for chunk in members.chunks(5_000) {
            let mut pipe = redis::pipe();
            for member in chunk {
                let fate = Self::fate(*member);
                pipe.set(format!("login_status:{member}"), i32::from(fate != Fate::NotLoggedIn)).ignore();
                if fate == Fate::Online {
                    pipe.zadd("online_users", member, 32_503_680_000_i64).ignore();
                }
            }
            pipe.exec_async(&mut redis).await.unwrap();
            let mut insert = |table: &str, wanted: &dyn Fn(&Fate) -> bool, row: &dyn Fn(u64) -> String| {
                let rows = chunk.iter().filter(|m| wanted(&Self::fate(**m))).map(|m| row(*m));
                writeln!(sql, "INSERT INTO {table} VALUES {};", rows.collect::<Vec<_>>().join(",")).unwrap();
            };
            insert("t_group_member (group_id, user_id)", &|_| true, &|m| format!("({},{m})", Self::GROUP));
            insert("t_account (account_id, push_status)", &|f| *f != Fate::NoAccount, &|m| {
                format!("({m},{})", u64::from(Self::fate(m) != Fate::DoNotDisturb))
            });
            insert("t_device (account_id, xinge_token, via, app)", &|f| *f != Fate::NoDevice, &Company::device);
        }
        world.sql(&sql);
    }
}
