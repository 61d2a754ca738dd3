//! `[gateway.socketio]`: paths, heartbeats, namespaces, who is let in, what counts as read.

use std::time::Duration;

use homing_core::live::MAX_NAME;
use serde::Deserialize;

/// Settings of Engine.IO and Socket.IO.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Paths where it is served, with or without the last slash.
    pub paths: Vec<String>,
    /// Engine.IO protocols: 4 (JavaScript 3 and 4, python-socketio 5), 3 (JavaScript 2, python-socketio 4).
    pub versions: Vec<u8>,
    /// `polling`, `websocket`.
    pub transports: Vec<Transport>,
    /// Time between two heartbeats.
    #[serde(with = "homing_core::duration")]
    pub ping_interval: Duration,
    /// A client that has not answered a heartbeat after this is gone.
    #[serde(with = "homing_core::duration")]
    pub ping_timeout: Duration,
    /// The largest body, and the largest attachments of one packet, in bytes; clients are told.
    pub max_payload: usize,
    /// Bytes that wait for a client that polls; beyond, the session ends. Texts that sessions share count for each.
    pub poll_buffer: usize,
    /// A client that is in no namespace after this is cut off.
    #[serde(with = "homing_core::duration")]
    pub connect_timeout: Duration,
    /// Namespaces that there are; `*` = any.
    pub namespaces: Vec<String>,
    /// What becomes of a client with a bad token, or with none where one is needed.
    pub invalid: Invalid,
    /// The name of the token in the query and in the payload of a connect.
    pub token_query: String,
    /// A client with a user joins the room named after its user in each namespace.
    pub user_room: bool,
    /// A client hears its user's stream, its groups' and everyone's, and what is unread when it connects.
    pub inbox: bool,
    /// What proves that a client has a message, so that it counts as read.
    pub read: Read,
    /// So long after a message the proof is asked for; what came meanwhile shares it.
    #[serde(with = "homing_core::duration")]
    pub read_after: Duration,
    /// Events have a second argument that says which message they are: `{id, offset, epoch, stream}`.
    pub meta: bool,
    /// Rooms that clients may join and leave by themselves, by the beginning of their names; `*` = any. Whoever may join a
    /// room hears what is said there: a room named after a user is that user's.
    pub client_rooms: Vec<String>,
    /// Clients may send JSON-RPC requests as the event `rpc`.
    pub rpc: bool,
    /// Pages that may connect (`https://shop.example`, `*`). Empty = those of the same host. Left out = any, but cookies
    /// count only for pages of the same host.
    pub origins: Option<Vec<String>>,
}

/// A way to carry a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// HTTP requests.
    Polling,
    /// A WebSocket.
    WebSocket,
}

/// See [`Settings::invalid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Invalid {
    /// The connect is refused.
    Refuse,
    /// It is let in without a user.
    Anonymous,
}

/// See [`Settings::read`]. A message is read when its user says so, and clients made for other servers never do.
///
/// They do answer what their libraries answer by themselves. Everything that goes to a client goes in one order, and a
/// client takes it in that order: whoever answers a ping has taken what was written before it. In Engine.IO 4 the server
/// pings, over a WebSocket and in the body of a GET alike, and may do so at any time: it does so earlier than the heartbeat
/// is due when there is something to prove. In Engine.IO 3 only the client pings, whether or not it has read anything, so
/// its own heartbeat proves nothing; there a WebSocket gets a ping frame, whose pong is the answer of the client's
/// WebSocket library (RFC 6455, 5.5.3), and with polling the next GET is the proof, because clients send it when they have
/// taken the answer to the one before. All that proves that the page has the message, not that somebody looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// The client answers a heartbeat after it.
    Heartbeat,
    /// The client acknowledges the event: its handler must call the callback that it gets as the last argument.
    Ack,
    /// Nothing but the events `ack` and `read`.
    Never,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            paths: vec!["/socket.io/".to_owned()],
            versions: vec![3, 4],
            transports: vec![Transport::Polling, Transport::WebSocket],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
            poll_buffer: 1_048_576,
            connect_timeout: Duration::from_secs(45),
            namespaces: vec!["/".to_owned()],
            invalid: Invalid::Refuse,
            token_query: "token".to_owned(),
            user_room: true,
            inbox: true,
            read: Read::Heartbeat,
            read_after: Duration::from_secs(1),
            meta: false,
            client_rooms: Vec::new(),
            rpc: false,
            origins: None,
        }
    }
}

impl Settings {
    /// Says what is wrong, beginning with the field's path.
    ///
    /// # Errors
    /// A value that cannot work.
    pub fn check(&self) -> Result<(), String> {
        let filled = |field: &str, empty: bool| {
            if empty {
                return Err(format!("gateway.socketio.{field}: it is empty"));
            }
            Ok(())
        };
        filled("paths", self.paths.is_empty())?;
        filled("versions", self.versions.is_empty())?;
        filled("transports", self.transports.is_empty())?;
        filled("namespaces", self.namespaces.is_empty())?;
        filled("token_query", self.token_query.is_empty())?;
        for (index, path) in self.paths.iter().enumerate() {
            if !path.starts_with('/') || path.contains(['?', '#', ' ', '*']) {
                return Err(format!("gateway.socketio.paths[{index}]: {path:?} is no path such as /socket.io/"));
            }
        }
        if let Some(version) = self.versions.iter().find(|version| !matches!(version, 3 | 4)) {
            return Err(format!("gateway.socketio.versions: {version} is none of 3 and 4"));
        }
        for (index, name) in self.namespaces.iter().enumerate() {
            if name != "*" && (!name.starts_with('/') || name.contains([',', '?']) || name.len() > MAX_NAME) {
                return Err(format!(
                    "gateway.socketio.namespaces[{index}]: {name:?} is no namespace such as / or /chat, and not *"
                ));
            }
        }
        for (field, time, least) in [
            ("ping_interval", self.ping_interval, 100),
            ("ping_timeout", self.ping_timeout, 100),
            ("connect_timeout", self.connect_timeout, 100),
            ("read_after", self.read_after, 0),
        ] {
            if time < Duration::from_millis(least) || time > Duration::from_secs(3_600) {
                return Err(format!("gateway.socketio.{field}: from {least}ms to 1h"));
            }
        }
        for (field, bytes) in [("max_payload", self.max_payload), ("poll_buffer", self.poll_buffer)] {
            if !(4 * 1024..=64 * 1024 * 1024).contains(&bytes) {
                return Err(format!("gateway.socketio.{field}: {bytes} bytes; from 4096 to 67108864"));
            }
        }
        Ok(())
    }

    /// Is this path one of the configured?
    pub(crate) fn serves(&self, path: &str) -> bool {
        let bare = path.strip_suffix('/').unwrap_or(path);
        self.paths.iter().any(|own| own.strip_suffix('/').unwrap_or(own) == bare)
    }

    pub(crate) fn has(&self, transport: Transport) -> bool {
        self.transports.contains(&transport)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn read(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn settings_are_read_and_checked() {
        let settings = read(
            r#"{"paths":["/socket.io"],"ping_interval":"5s","invalid":"anonymous","read":"ack","transports":["websocket"]}"#,
        );
        settings.check().unwrap();
        assert_eq!(settings.ping_interval, Duration::from_secs(5));
        assert_eq!((settings.invalid, settings.read), (Invalid::Anonymous, Read::Ack));
        assert!(settings.serves("/socket.io/") && settings.serves("/socket.io") && !settings.serves("/socket.io/x"));
        assert!(settings.has(Transport::WebSocket) && !settings.has(Transport::Polling));
        Settings::default().check().unwrap();
        assert!(serde_json::from_str::<Settings>(r#"{"pathz":[]}"#).is_err());
    }

    #[test]
    fn errors_name_the_field() {
        for (json, start) in [
            (r#"{"paths":[]}"#, "gateway.socketio.paths: "),
            (r#"{"paths":["x"]}"#, "gateway.socketio.paths[0]: "),
            (r#"{"versions":[5]}"#, "gateway.socketio.versions: 5"),
            (r#"{"namespaces":["/","chat"]}"#, "gateway.socketio.namespaces[1]: "),
            (r#"{"ping_timeout":"1ms"}"#, "gateway.socketio.ping_timeout: "),
            (r#"{"max_payload":1}"#, "gateway.socketio.max_payload: 1 bytes"),
        ] {
            let error = read(json).check().unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
