//! The methods, and what each takes.

use super::keys::Capability;

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To one user.
    PushUser,
    /// To several users.
    PushUsers,
    /// To everyone.
    PushBroadcast,
    /// To a group.
    PushGroup,
    /// Who is online.
    PresenceGet,
    /// What a user has not read.
    HistoryUnread,
    /// A user has read something.
    HistoryRead,
    /// A message for later.
    SchedulePut,
    /// Not after all.
    ScheduleCancel,
    /// A user's sessions end.
    SessionEnd,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::PushUser,
        Self::PushUsers,
        Self::PushBroadcast,
        Self::PushGroup,
        Self::PresenceGet,
        Self::HistoryUnread,
        Self::HistoryRead,
        Self::SchedulePut,
        Self::ScheduleCancel,
        Self::SessionEnd,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PushUser => "push.user",
            Self::PushUsers => "push.users",
            Self::PushBroadcast => "push.broadcast",
            Self::PushGroup => "push.group",
            Self::PresenceGet => "presence.get",
            Self::HistoryUnread => "history.unread",
            Self::HistoryRead => "history.read",
            Self::SchedulePut => "schedule.put",
            Self::ScheduleCancel => "schedule.cancel",
            Self::SessionEnd => "session.end",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Its parameters, in the order in which they are given by place. `msg_type` is another name of `type`.
    pub const fn params(self) -> &'static [&'static str] {
        match self {
            Self::PushUser => &["user", "type", "data", "id", "ttl"],
            Self::PushUsers => &["users", "type", "data", "id", "ttl"],
            Self::PushBroadcast => &["type", "data", "id", "ttl"],
            Self::PushGroup => &["group", "type", "data", "id", "ttl"],
            Self::PresenceGet => &["user", "users"],
            Self::HistoryUnread => &["user", "limit"],
            Self::HistoryRead => &["user", "ids", "all"],
            Self::SchedulePut => &["user", "at", "type", "data", "id", "after"],
            Self::ScheduleCancel => &["id"],
            Self::SessionEnd => &["user", "reason"],
        }
    }

    /// What a key needs for it.
    pub(super) const fn needs(self) -> Capability {
        match self {
            Self::PushUser | Self::PushUsers | Self::PushBroadcast | Self::PushGroup => Capability::Push,
            Self::PresenceGet => Capability::Presence,
            Self::HistoryUnread | Self::HistoryRead => Capability::History,
            Self::SchedulePut | Self::ScheduleCancel => Capability::Schedule,
            Self::SessionEnd => Capability::Sessions,
        }
    }

    /// May a user call it over a socket, for themselves?
    pub(super) const fn is_for_users(self) -> bool {
        matches!(self, Self::PresenceGet | Self::HistoryUnread | Self::HistoryRead)
    }
}
