//! Devices: registered, listed, deleted, restored.

use std::collections::{BTreeMap, BTreeSet};

use homing_core::clock::Millis;
use homing_core::lookup::Death;
use homing_core::notification::{Environment, Platform};
use homing_core::registry::{ChangeKind, Device, Error, Held, HeldToken, Put, TokenDeath};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::registry::outbox::Note;
use crate::registry::tables::{marks, number, some, text, values};
use crate::registry::{SqlRegistry, Stop};
use crate::sql::Session;

/// What makes a token one: two apps on a phone may have the same token of a provider.
fn hash(channel: &str, app: &str, token: &str) -> String {
    let digest = Sha256::digest([channel, "\0", app, "\0", token].concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl SqlRegistry {
    pub(super) async fn put_once(&self, user: &str, device: &Device, now: Millis) -> Result<Put, Stop> {
        let mut session = self.tables.begin().await?;
        let end = self.put_in(&mut *session, user, device, now).await;
        let put = self.ended(session, end).await?;
        self.tell();
        Ok(put)
    }

    async fn put_in(
        &self,
        session: &mut (dyn Session + '_),
        user: &str,
        device: &Device,
        now: Millis,
    ) -> Result<Put, Stop> {
        let tables = &self.tables;
        let of_device = || values().text(user).text(&device.id);
        self.touch(session, user, device.locale.as_deref(), now).await?;
        // Locked: what lets inactive devices go does not lock users.
        let known = format!("SELECT #gone_at FROM @device WHERE user_id = ? AND device = ?{}", tables.locked());
        let known = tables.select(session, &known, of_device()).await?;
        let created = known.first().is_none_or(|row| number(row, 0) != Some(0));
        let own = "SELECT channel, hash, #died_at FROM @token WHERE user_id = ? AND device = ?";
        let own = tables.select(session, own, of_device()).await?;
        let live = own.iter().filter(|row| number(row, 2) == Some(0)).map(|row| (text(row, 0), text(row, 1)));
        let live: BTreeSet<(String, String)> = live.collect();
        let wanted = device.tokens.iter();
        let wanted: BTreeSet<(String, String)> =
            wanted.map(|(channel, token)| (channel.clone(), hash(channel, &device.app, token))).collect();
        if live.is_empty() {
            self.has_room(session, user, &device.id).await?;
        }

        let (platform, env) = (device.platform.name(), device.environment.name());
        let (locale, model) = (device.locale.as_deref().unwrap_or(""), device.model.as_deref().unwrap_or(""));
        let described = [device.app.as_str(), platform, env, locale, model];
        let put = tables.or_else(
            "INSERT INTO @device (user_id, device, app, platform, env, locale, model, created_at, seen_at, gone_at, \
             gone_why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')",
            "user_id, device",
            "app = ?, platform = ?, env = ?, locale = ?, model = ?, seen_at = ?, gone_at = 0, gone_why = ''",
        );
        let row = of_device().texts(described).numbers([now, now]);
        tables.run(session, &put, row.texts(described).number(now)).await?;

        // A token that is another's: the last login wins.
        let hashes: Vec<&str> = wanted.iter().map(|(_, hash)| hash.as_str()).collect();
        let of_others = format!("WHERE hash IN ({}) AND NOT (user_id = ? AND device = ?)", marks(hashes.len()));
        let named = || values().texts(hashes.iter().copied()).text(user).text(&device.id);
        let others = format!("SELECT user_id, device, channel, #died_at FROM @token {of_others}{}", tables.locked());
        let others = tables.select(session, &others, named()).await?;
        let mut notes = Vec::new();
        if !others.is_empty() {
            tables.run(session, &format!("DELETE FROM @token {of_others}"), named()).await?;
            for row in others.iter().filter(|row| number(row, 3) == Some(0)) {
                let kind = ChangeKind::TokenMoved;
                notes.push(Note { kind, user: text(row, 0), device: text(row, 1), channel: text(row, 2), why: "" });
            }
        }
        // What the device does not name any more is not its own; a dead token of another channel is kept for the record.
        let former = format!(
            "DELETE FROM @token WHERE user_id = ? AND device = ? AND (died_at = 0 OR channel IN ({}))",
            marks(device.tokens.len())
        );
        tables.run(session, &former, of_device().texts(device.tokens.keys().map(String::as_str))).await?;
        if !device.tokens.is_empty() {
            let rows = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', 0)"; device.tokens.len()].join(", ");
            let insert = format!(
                "INSERT INTO @token (user_id, device, channel, hash, token, app, platform, env, registered_at, died_at, \
                 died_why, died_by, died_since) VALUES {rows}"
            );
            let row = device.tokens.iter().zip(&wanted).fold(values(), |row, ((channel, token), (_, hash))| {
                let row = row.text(user).text(&device.id).text(channel).text(hash).text(token);
                row.texts([device.app.as_str(), platform, env]).number(now)
            });
            tables.run(session, &insert, row).await?;
        }
        for topic in &device.topics {
            self.follow_in(session, user, topic, now).await?;
        }
        if created || live != wanted {
            let kind = ChangeKind::DeviceRegistered;
            notes.push(Note { kind, user: user.into(), device: device.id.clone(), channel: String::new(), why: "" });
        }
        let moved = u64::try_from(others.len()).unwrap_or(u64::MAX);
        self.note(session, &notes, now).await?;
        Ok(Put { created, moved })
    }

    /// May the user have one more device with a live token?
    async fn has_room(&self, session: &mut (dyn Session + '_), user: &str, device: &str) -> Result<(), Stop> {
        let devices = "SELECT DISTINCT device FROM @token WHERE user_id = ? AND died_at = 0";
        let devices = self.tables.select(session, devices, values().text(user)).await?;
        let others = devices.iter().filter(|row| text(row, 0) != device).count();
        if others >= self.max_devices {
            return Err(Stop::Refused(Error::Full { field: "devices", most: self.max_devices }));
        }
        Ok(())
    }

    pub(super) async fn held(&self, user: &str) -> Result<Vec<Held>, Stop> {
        let tables = &self.tables;
        let tokens = "SELECT device, channel, token, #registered_at, #died_at, died_why, died_by, #died_since FROM @token \
                      WHERE user_id = ? ORDER BY device, channel";
        let mut by_device: BTreeMap<String, Vec<HeldToken>> = BTreeMap::new();
        for row in tables.rows(tokens, values().text(user)).await? {
            let at = number(&row, 4).filter(|at| *at != 0);
            let death = at.map(|at| TokenDeath {
                at,
                why: text(&row, 5),
                channel: text(&row, 6),
                since: number(&row, 7).filter(|since| *since != 0),
            });
            let token = HeldToken {
                channel: text(&row, 1),
                token: text(&row, 2),
                registered_at: number(&row, 3).unwrap_or_default(),
                death,
            };
            by_device.entry(text(&row, 0)).or_default().push(token);
        }
        let devices = "SELECT device, app, platform, env, locale, model, #created_at, #seen_at, #gone_at, gone_why \
                       FROM @device AS d WHERE user_id = ? ORDER BY d.seen_at DESC, d.device";
        let rows = tables.rows(devices, values().text(user)).await?;
        let held = rows.iter().map(|row| {
            let id = text(row, 0);
            let tokens = by_device.remove(&id).unwrap_or_default();
            let live = tokens.iter().filter(|token| token.death.is_none());
            let platform = text(row, 2);
            let device = Device {
                tokens: live.map(|token| (token.channel.clone(), token.token.clone())).collect(),
                id,
                app: text(row, 1),
                platform: Platform::parse(&platform).ok_or_else(|| self.strange("platform", &platform))?,
                environment: Environment::parse(&text(row, 3)).unwrap_or_default(),
                locale: some(text(row, 4)),
                model: some(text(row, 5)),
                topics: Vec::new(),
            };
            Ok(Held {
                device,
                created_at: number(row, 6).unwrap_or_default(),
                seen_at: number(row, 7).unwrap_or_default(),
                gone: number(row, 8).filter(|at| *at != 0).map(|at| (at, text(row, 9))),
                tokens,
            })
        });
        held.collect()
    }

    fn strange(&self, what: &str, text: &str) -> Stop {
        let reason = format!("the registry holds the {what} `{text}`, which this Homing does not know");
        Failure::contradiction(self.tables.server.name(), reason).into()
    }

    pub(super) async fn delete_once(&self, user: &str, device: Option<&str>, now: Millis) -> Result<u64, Stop> {
        let mut session = self.tables.begin().await?;
        let end = self.delete_in(&mut *session, user, device, now).await;
        let deleted = self.ended(session, end).await?;
        self.tell();
        Ok(deleted)
    }

    async fn delete_in(
        &self,
        session: &mut (dyn Session + '_),
        user: &str,
        device: Option<&str>,
        now: Millis,
    ) -> Result<u64, Stop> {
        let tables = &self.tables;
        if !self.lock(session, user).await? {
            return Ok(0);
        }
        let and = if device.is_some() { " AND device = ?" } else { "" };
        let devices = format!("SELECT device FROM @device WHERE user_id = ? AND gone_at = 0{and}");
        let devices = tables.select(session, &devices, values().text(user).texts(device)).await?;
        let tokens = format!(
            "UPDATE @token SET died_at = ?, died_why = 'deleted', died_by = '', died_since = 0 \
             WHERE user_id = ? AND died_at = 0{and}"
        );
        tables.run(session, &tokens, values().number(now).text(user).texts(device)).await?;
        let gone =
            format!("UPDATE @device SET gone_at = ?, gone_why = 'deleted' WHERE user_id = ? AND gone_at = 0{and}");
        tables.run(session, &gone, values().number(now).text(user).texts(device)).await?;
        let kind = ChangeKind::DeviceDeleted;
        let note =
            |row: &Vec<_>| Note { kind, user: user.into(), device: text(row, 0), channel: String::new(), why: "" };
        let notes: Vec<Note<'_>> = devices.iter().map(note).collect();
        self.note(session, &notes, now).await?;
        Ok(u64::try_from(devices.len()).unwrap_or(u64::MAX))
    }

    pub(super) async fn restore_once(&self, user: &str, device: &str, now: Millis) -> Result<u64, Stop> {
        let mut session = self.tables.begin().await?;
        let end = self.restore_in(&mut *session, user, device, now).await;
        let restored = self.ended(session, end).await?;
        self.tell();
        Ok(restored)
    }

    async fn restore_in(
        &self,
        session: &mut (dyn Session + '_),
        user: &str,
        device: &str,
        now: Millis,
    ) -> Result<u64, Stop> {
        let tables = &self.tables;
        let unknown = |what: &str| Err(Stop::Refused(Error::Unknown(what.to_owned())));
        self.lock(session, user).await?;
        let known = "SELECT #gone_at FROM @device WHERE user_id = ? AND device = ?";
        let known = tables.select(session, known, values().text(user).text(device)).await?;
        let Some(gone_at) = known.first().map(|row| number(row, 0).unwrap_or_default()) else {
            return unknown("there is no such device of this user");
        };
        let from = now.saturating_sub(self.undo).max(1);
        if gone_at != 0 && gone_at < from {
            return unknown("the device is gone for longer than `undo` says");
        }
        let revived = "UPDATE @token SET died_at = 0, died_why = '', died_by = '', died_since = 0 \
                       WHERE user_id = ? AND device = ? AND died_at >= ?";
        let revived = tables.run(session, revived, values().text(user).text(device).number(from)).await?;
        if revived == 0 && gone_at == 0 {
            return Ok(0);
        }
        if revived > 0 {
            self.has_room(session, user, device).await?;
        }
        // It counts as seen, or it would expire again at once.
        let back = "UPDATE @device SET gone_at = 0, gone_why = '', seen_at = ? WHERE user_id = ? AND device = ?";
        tables.run(session, back, values().number(now).text(user).text(device)).await?;
        let kind = ChangeKind::DeviceRestored;
        let note = Note { kind, user: user.into(), device: device.into(), channel: String::new(), why: "" };
        self.note(session, &[note], now).await?;
        Ok(revived)
    }

    /// A provider calls a token dead. One that was registered again after its death lives.
    pub(super) async fn die_once(&self, user: &str, token: &str, death: &Death, now: Millis) -> Result<bool, Stop> {
        let mut session = self.tables.begin().await?;
        let end = self.die_in(&mut *session, user, token, death, now).await;
        let died = self.ended(session, end).await?;
        self.tell();
        Ok(died)
    }

    async fn die_in(
        &self,
        session: &mut (dyn Session + '_),
        user: &str,
        token: &str,
        death: &Death,
        now: Millis,
    ) -> Result<bool, Stop> {
        let tables = &self.tables;
        if !self.lock(session, user).await? {
            return Ok(false);
        }
        let mut which = "WHERE user_id = ? AND token = ? AND died_at = 0".to_owned();
        let mut named = vec![user, token];
        if !death.channel.is_empty() {
            which.push_str(" AND channel = ?");
            named.push(&death.channel);
        }
        if death.since.is_some() {
            which.push_str(" AND registered_at <= ?");
        }
        let bound = || values().texts(named.iter().copied()).numbers(death.since);
        let found = tables.select(session, &format!("SELECT device, channel FROM @token {which}"), bound()).await?;
        if found.is_empty() {
            return Ok(false);
        }
        let why = short(&death.why);
        let set = format!("UPDATE @token SET died_at = ?, died_why = ?, died_by = ?, died_since = ? {which}");
        let row = values().number(now).text(&why).text(&death.channel).number(death.since.unwrap_or(0));
        let row = row.texts(named.iter().copied()).numbers(death.since);
        tables.run(session, &set, row).await?;
        let kind = ChangeKind::TokenDied;
        let note =
            |row: &Vec<_>| Note { kind, user: user.into(), device: text(row, 0), channel: text(row, 1), why: &why };
        let notes: Vec<Note<'_>> = found.iter().map(note).collect();
        self.note(session, &notes, now).await?;
        Ok(true)
    }
}

/// A provider's words, not more than a line of them.
fn short(why: &str) -> String {
    why.chars().filter(|c| !c.is_control()).take(300).collect()
}
