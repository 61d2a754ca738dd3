//! `[gateway.plain]`.

use std::time::Duration;

use homing_core::duration;
use serde::Deserialize;

use super::frames::Frames;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Paths that take a WebSocket; `*` = any that nothing else has.
    pub ws_paths: Vec<String>,
    /// Pages that may connect (`https://shop.example`, `*`). Empty = those of the same host. Left out = any, but cookies
    /// count only for pages of the same host.
    pub origins: Option<Vec<String>>,
    /// How who is refused learns it.
    pub refuse_with: RefuseWith,
    /// Whether a session begins before the client has said so.
    pub login: Login,
    /// Who is not known after this time is closed.
    #[serde(with = "duration")]
    pub login_timeout: Duration,
    /// Clients follow what goes to everyone.
    pub everyone: bool,
    /// Clients follow the groups that their token names.
    pub join_groups: bool,
    /// Which groups clients may follow by a frame.
    pub subscribe: Subscribe,
    /// Most groups that a client follows.
    pub max_groups: usize,
    /// Whether JSON-RPC is answered.
    pub rpc: bool,
    /// Whether `connected` is sent.
    pub hello: bool,
    /// Messages carry `msg_type`, `to_user_id` and `data` and nothing else, and there is no `connected`.
    pub bare: bool,
    /// Messages carry `to_user_id`.
    pub to_user_id: bool,
    /// Emits of Socket.IO that are kept for their user are shown, too.
    pub emits: bool,
    /// A client that was silent for so long is pinged.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// And closed when it is silent for so long after that.
    #[serde(with = "duration")]
    pub ping_timeout: Duration,
    /// A session ends with its token.
    pub close_on_expiry: bool,
    /// The longest frame of a client, in bytes.
    pub max_frame: usize,
    /// Most frames of a client in a second.
    pub rate: u16,
    /// After so many frames that cannot be understood the client is closed.
    pub max_faults: u8,
}

/// How who is refused learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefuseWith {
    /// By close code 4101: browsers do not tell pages the status of a handshake.
    #[default]
    Close,
    /// By status 401, where that can be said at once.
    Http,
}

/// Whether a session begins before the client has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    /// Who is known by the request needs no frame.
    #[default]
    Optional,
    /// Nothing is shown before `{"msg_type":"login"}`.
    Required,
}

/// Which groups clients may follow by a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscribe {
    /// None.
    #[default]
    None,
    /// Those that their token names.
    Claimed,
    /// All.
    Any,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ws_paths: vec!["/ws".to_owned()],
            origins: None,
            refuse_with: RefuseWith::Close,
            login: Login::Optional,
            login_timeout: Duration::from_secs(10),
            everyone: true,
            join_groups: true,
            subscribe: Subscribe::None,
            max_groups: 32,
            rpc: false,
            hello: true,
            bare: false,
            to_user_id: false,
            emits: false,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(10),
            close_on_expiry: true,
            max_frame: 64 << 10,
            rate: 100,
            max_faults: 8,
        }
    }
}

impl Settings {
    /// How messages are written.
    pub fn frames(&self) -> Frames {
        Frames { bare: self.bare, to_user_id: self.to_user_id, emits: self.emits }
    }

    /// Can it be used?
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), String> {
        for (place, path) in self.ws_paths.iter().enumerate() {
            if !(path.is_empty() || path == "*" || path.starts_with('/')) || path.contains('?') {
                return Err(format!("gateway.plain.ws_paths[{place}]: expected a path (/ws), or *"));
            }
        }
        for (place, origin) in self.origins.iter().flatten().enumerate() {
            let page = origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
            if !(page || origin == "*" || origin == "null") {
                return Err(format!(
                    "gateway.plain.origins[{place}]: expected https://HOST[:PORT] without a path, or *"
                ));
            }
        }
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        for (field, value) in [
            ("login_timeout", self.login_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
        ] {
            if !(second..=hour).contains(&value) {
                return Err(format!("gateway.plain.{field}: expected 1s to 1h"));
            }
        }
        for (field, value, most) in [
            ("max_groups", self.max_groups, 256),
            ("max_frame", self.max_frame, 1 << 20),
            ("rate", usize::from(self.rate), 10_000),
            ("max_faults", usize::from(self.max_faults), 255),
        ] {
            if !(1..=most).contains(&value) {
                return Err(format!("gateway.plain.{field}: expected 1 to {most}"));
            }
        }
        Ok(())
    }
}
