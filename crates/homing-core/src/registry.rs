//! The port of the device registry: users' devices, what they want to be told, and which topics they follow, for an
//! installation without tables of its own.
//!
//! A *device* is one installation of an app. It has a token per channel, several where it is registered with more than one
//! provider. A token belongs to one device at a time: to register it elsewhere moves it, so the last login wins. What dies
//! (the provider says so, somebody deletes it, it is not seen for long) is kept with its reason and can be restored for a
//! while.
//!
//! Every change that others may want to know of is written to an *outbox* in the transaction that makes it; a
//! [`Change`] is read until it is acknowledged.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::{
    clock::Millis,
    notification::{Environment, Platform},
};

/// The longest id of a user, in bytes.
pub const MAX_USER: usize = 256;
/// The longest id of a device or name of a topic, in bytes.
pub const MAX_NAME: usize = 128;
/// The longest token, in bytes. A browser's subscription has some hundred.
pub const MAX_TOKEN: usize = 4_096;
/// The most channels that one device has tokens of.
pub const MAX_TOKENS: usize = 8;

/// A device as its app describes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// The installation's id, made by the app when it was installed.
    pub id: String,
    /// Its app.
    pub app: String,
    /// Its platform.
    pub platform: Platform,
    /// Its provider's network.
    pub environment: Environment,
    /// Channel to token.
    pub tokens: BTreeMap<String, String>,
    /// The language of the device, used where its user chose none.
    pub locale: Option<String>,
    /// What it is, for people: `Pixel 9`.
    pub model: Option<String>,
    /// Topics that its user follows from now on.
    pub topics: Vec<String>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<&String> = self.tokens.keys().collect();
        write!(f, "device {} ({} of {}, {channels:?})", self.id, self.platform.name(), self.app)
    }
}

/// What a [`Registry::put`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The device was not there, or was gone.
    pub created: bool,
    /// So many of its tokens were another device's until now.
    pub moved: u64,
}

/// A device as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The device. Its tokens are the live ones; it names no topics.
    pub device: Device,
    /// When it was first registered.
    pub created_at: Millis,
    /// When it was last registered.
    pub seen_at: Millis,
    /// Since when and why it is gone, if it is: `deleted`, `inactive`, `moved`.
    pub gone: Option<(Millis, String)>,
    /// Its tokens, the dead ones too.
    pub tokens: Vec<HeldToken>,
}

/// A token as the registry holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldToken {
    /// Its channel.
    pub channel: String,
    /// The token.
    pub token: String,
    /// When the device last said that it is its own.
    pub registered_at: Millis,
    /// If it is dead.
    pub death: Option<TokenDeath>,
}

impl HeldToken {
    /// The last four characters: enough to recognise, too little to use.
    pub fn end(&self) -> String {
        let mut end: Vec<char> = self.token.chars().rev().take(4).collect();
        end.reverse();
        end.into_iter().collect()
    }
}

impl fmt::Debug for HeldToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} token ..{}{}", self.channel, self.end(), if self.death.is_some() { " (dead)" } else { "" })
    }
}

/// How a token died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDeath {
    /// When the registry learned of it.
    pub at: Millis,
    /// In the provider's words, or `deleted`, `inactive`.
    pub why: String,
    /// The channel whose provider said so; empty if it was not a provider.
    pub channel: String,
    /// Since when, by the provider.
    pub since: Option<Millis>,
}

/// What a user wants. What is absent is the lane's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Language.
    pub locale: Option<String>,
    /// IANA name of the time zone.
    pub time_zone: Option<String>,
    /// First quiet minute of the local day, `22:30`.
    pub quiet_from: Option<String>,
    /// First minute that is not quiet any more.
    pub quiet_to: Option<String>,
    /// Types that the user does not want, by name or code.
    pub muted: Vec<String>,
}

/// What [`Registry::expire`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Devices that were not seen for long, and are gone now.
    pub expired: u64,
    /// Rows that left for good: dead tokens, gone devices, changes that were told.
    pub removed: u64,
    /// Changes that nobody acknowledged for so long that they were dropped.
    pub dropped: u64,
}

/// What happened in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A device is new, came back, or has other tokens.
    DeviceRegistered,
    /// Somebody deleted it.
    DeviceDeleted,
    /// It was not seen for long.
    DeviceExpired,
    /// Its deletion, or the death of its tokens, was taken back.
    DeviceRestored,
    /// A provider called a token dead.
    TokenDied,
    /// A token is another device's now; this is the former one.
    TokenMoved,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DeviceRegistered,
        Self::DeviceDeleted,
        Self::DeviceExpired,
        Self::DeviceRestored,
        Self::TokenDied,
        Self::TokenMoved,
    ];

    /// `device_registered`, `token_died`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeviceRegistered => "device_registered",
            Self::DeviceDeleted => "device_deleted",
            Self::DeviceExpired => "device_expired",
            Self::DeviceRestored => "device_restored",
            Self::TokenDied => "token_died",
            Self::TokenMoved => "token_moved",
        }
    }

    /// Reads what [`ChangeKind::name`] writes.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A line of the outbox. It holds no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number. Numbers rise; a later one may become visible before an earlier one.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// What.
    pub kind: ChangeKind,
    /// Whose device.
    pub user: String,
    /// Which.
    pub device: String,
    /// The channel of the token, where it is about one.
    pub channel: String,
    /// Why, in words; empty where the kind says all.
    pub why: String,
}

/// Why the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it is gone for too long.
    #[error("{0}")]
    Unknown(String),
    /// A user may have no more of it.
    #[error("{field}: a user may have {most} of them")]
    Full {
        /// What there are too many of: `devices`, `topics`.
        field: &'static str,
        /// The most.
        most: usize,
    },
    /// The store could not answer; what was asked may or may not have happened.
    #[error("the registry could not answer: {0}")]
    Down(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Result of registry calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The device registry.
///
/// Every call is one transaction: all of it happened, or nothing. A call that is cancelled may or may not have happened;
/// each may be repeated, and says the same again or that there is nothing left to do. Texts have no control characters
/// and keep to the bounds of this module; the caller has seen to it.
pub trait Registry: Send + Sync {
    /// Registers a device, or confirms it: its tokens are these now and no others, and they are registered as of `now`.
    fn put<'a>(&'a self, user: &'a str, device: &'a Device, now: Millis) -> BoxFuture<'a, Result<Put>>;

    /// All devices of a user, those last seen first, the gone ones too as long as they are kept.
    fn list<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Vec<Held>>>;

    /// Deletes a device, or all of them. Answers how many there were.
    fn delete<'a>(&'a self, user: &'a str, device: Option<&'a str>, now: Millis) -> BoxFuture<'a, Result<u64>>;

    /// Takes back that a device was deleted or expired and that its tokens died, as far as that is not longer ago than the
    /// undo window. A token that is another device's now stays there. Answers how many tokens live again.
    fn restore<'a>(&'a self, user: &'a str, device: &'a str, now: Millis) -> BoxFuture<'a, Result<u64>>;

    /// What the user wants.
    fn preferences<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Preferences>>;

    /// Replaces what the user wants.
    fn prefer<'a>(&'a self, user: &'a str, wanted: &'a Preferences, now: Millis) -> BoxFuture<'a, Result<()>>;

    /// The topics that a user follows, in order.
    fn topics<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Follows a topic. Answers whether that is new.
    fn follow<'a>(&'a self, user: &'a str, topic: &'a str, now: Millis) -> BoxFuture<'a, Result<bool>>;

    /// Follows a topic no longer. Answers whether the user did.
    fn unfollow<'a>(&'a self, user: &'a str, topic: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// Removes everything about a user for good. Answers whether there was anything.
    fn erase<'a>(&'a self, user: &'a str, now: Millis) -> BoxFuture<'a, Result<bool>>;

    /// Lets devices go that were not seen for long, and clears away what is kept long enough: at most `limit` of each a
    /// call. All zero = nothing is left to do.
    fn expire(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Swept>>;

    /// Changes behind number `after` that are not acknowledged, in order, at most `limit`. Changes nothing.
    fn changes(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Change>>>;

    /// These changes need not be read again.
    fn acknowledge<'a>(&'a self, seqs: &'a [u64], now: Millis) -> BoxFuture<'a, Result<()>>;

    /// Signalled when this process made a change; other processes' changes are found by looking.
    fn wake(&self) -> Arc<Notify>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn no_token_is_printed() {
        let device = Device {
            id: "i-1".into(),
            app: "higo".into(),
            platform: Platform::Ios,
            environment: Environment::Production,
            tokens: BTreeMap::from([("apns".into(), "secret-token-0123".into())]),
            locale: None,
            model: None,
            topics: Vec::new(),
        };
        let token =
            HeldToken { channel: "apns".into(), token: "secret-token-0123".into(), registered_at: 0, death: None };
        assert_eq!(format!("{device:?} {token:?}"), r#"device i-1 (ios of higo, ["apns"]) apns token ..0123"#);
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in ChangeKind::ALL {
            assert_eq!(ChangeKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(ChangeKind::parse("device"), None);
    }
}
