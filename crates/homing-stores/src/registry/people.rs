//! What users want and follow.

use homing_core::clock::Millis;
use homing_core::registry::{Error, Preferences};

use crate::registry::tables::{some, text, values};
use crate::registry::{SqlRegistry, Stop};
use crate::sql::Session;

/// Between the muted types of a user.
pub(super) const COMMA: char = ',';

impl SqlRegistry {
    /// Makes and locks the user's row.
    pub(super) async fn touch(
        &self,
        session: &mut (dyn Session + '_),
        user: &str,
        locale: Option<&str>,
        now: Millis,
    ) -> Result<(), Stop> {
        let set = if locale.is_some() { "touched_at = ?, device_locale = ?" } else { "touched_at = ?" };
        let touch = self.tables.or_else(
            "INSERT INTO @user (user_id, locale, time_zone, quiet_from, quiet_to, muted, device_locale, touched_at) \
             VALUES (?, '', '', '', '', '', ?, ?)",
            "user_id",
            set,
        );
        let row = values().text(user).text(locale.unwrap_or("")).numbers([now, now]).texts(locale);
        self.tables.run(session, &touch, row).await?;
        Ok(())
    }

    /// Locks the user's row; is there one?
    pub(super) async fn lock(&self, session: &mut (dyn Session + '_), user: &str) -> Result<bool, Stop> {
        let lock = format!("SELECT user_id FROM @user WHERE user_id = ?{}", self.tables.locked());
        Ok(!self.tables.select(session, &lock, values().text(user)).await?.is_empty())
    }

    pub(super) async fn wanted(&self, user: &str) -> Result<Preferences, Stop> {
        let select = "SELECT locale, time_zone, quiet_from, quiet_to, muted FROM @user WHERE user_id = ?";
        let rows = self.tables.rows(select, values().text(user)).await?;
        let Some(row) = rows.first() else { return Ok(Preferences::default()) };
        let column = |index| some(text(row, index));
        Ok(Preferences {
            locale: column(0),
            time_zone: column(1),
            quiet_from: column(2),
            quiet_to: column(3),
            muted: text(row, 4).split(COMMA).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        })
    }

    pub(super) async fn prefer_once(&self, user: &str, wanted: &Preferences, now: Millis) -> Result<(), Stop> {
        let mut session = self.tables.begin().await?;
        let put = self.tables.or_else(
            "INSERT INTO @user (user_id, locale, time_zone, quiet_from, quiet_to, muted, device_locale, touched_at) \
             VALUES (?, ?, ?, ?, ?, ?, '', ?)",
            "user_id",
            "locale = ?, time_zone = ?, quiet_from = ?, quiet_to = ?, muted = ?, touched_at = ?",
        );
        let column = |text: &Option<String>| text.clone().unwrap_or_default();
        let muted = wanted.muted.join(&COMMA.to_string());
        let all = [
            column(&wanted.locale),
            column(&wanted.time_zone),
            column(&wanted.quiet_from),
            column(&wanted.quiet_to),
            muted,
        ];
        let row = values().text(user).texts(all.iter().map(String::as_str)).number(now);
        let row = row.texts(all.iter().map(String::as_str)).number(now);
        let end = self.tables.run(&mut *session, &put, row).await.map(|_| ()).map_err(Stop::from);
        self.ended(session, end).await
    }

    pub(super) async fn followed(&self, user: &str) -> Result<Vec<String>, Stop> {
        let select = "SELECT topic FROM @topic WHERE user_id = ? ORDER BY topic";
        let rows = self.tables.rows(select, values().text(user)).await?;
        Ok(rows.iter().map(|row| text(row, 0)).collect())
    }

    pub(super) async fn follow_once(&self, user: &str, topic: &str, now: Millis) -> Result<bool, Stop> {
        let mut session = self.tables.begin().await?;
        let end = async {
            self.touch(&mut *session, user, None, now).await?;
            self.follow_in(&mut *session, user, topic, now).await
        };
        let end = end.await;
        self.ended(session, end).await
    }

    /// The user's row is locked.
    pub(super) async fn follow_in(
        &self,
        session: &mut (dyn Session + '_),
        user: &str,
        topic: &str,
        now: Millis,
    ) -> Result<bool, Stop> {
        let rows = "SELECT topic FROM @topic WHERE user_id = ?";
        let rows = self.tables.select(session, rows, values().text(user)).await?;
        if rows.iter().any(|row| text(row, 0) == topic) {
            return Ok(false);
        }
        if rows.len() >= self.max_topics {
            return Err(Stop::Refused(Error::Full { field: "topics", most: self.max_topics }));
        }
        let follow = self.tables.unless_there("INSERT INTO @topic (topic, user_id, followed_at) VALUES (?, ?, ?)");
        self.tables.run(session, &follow, values().text(topic).text(user).number(now)).await?;
        Ok(true)
    }

    pub(super) async fn unfollow_once(&self, user: &str, topic: &str) -> Result<bool, Stop> {
        let mut session = self.tables.begin().await?;
        let unfollow = "DELETE FROM @topic WHERE topic = ? AND user_id = ?";
        let end = self.tables.run(&mut *session, unfollow, values().text(topic).text(user)).await;
        let end = end.map(|rows| rows > 0).map_err(Stop::from);
        self.ended(session, end).await
    }

    pub(super) async fn erase_once(&self, user: &str, now: Millis) -> Result<bool, Stop> {
        let mut session = self.tables.begin().await?;
        let end = self.erase_in(&mut *session, user, now).await;
        let erased = self.ended(session, end).await?;
        self.tell();
        Ok(erased)
    }

    async fn erase_in(&self, session: &mut (dyn Session + '_), user: &str, now: Millis) -> Result<bool, Stop> {
        use crate::registry::outbox::Note;
        use homing_core::registry::ChangeKind::DeviceDeleted;

        if !self.lock(session, user).await? {
            return Ok(false);
        }
        let devices = "SELECT device FROM @device WHERE user_id = ? AND gone_at = 0";
        let devices = self.tables.select(session, devices, values().text(user)).await?;
        for table in ["@token", "@device", "@topic", "@user"] {
            self.tables.run(session, &format!("DELETE FROM {table} WHERE user_id = ?"), values().text(user)).await?;
        }
        let note = |row: &Vec<_>| Note {
            kind: DeviceDeleted,
            user: user.into(),
            device: text(row, 0),
            channel: String::new(),
            why: "erased",
        };
        let notes: Vec<Note<'_>> = devices.iter().map(note).collect();
        self.note(session, &notes, now).await?;
        Ok(true)
    }
}
