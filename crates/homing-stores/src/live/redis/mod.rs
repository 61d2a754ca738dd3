//! Live delivery on one Redis server: 6.2 or later, RESP3. Atomic steps are `scripts/*.lua`; time is the server's.
//!
//! Keys; `P` is `live.prefix`, `S` a stream's name (`u:42`, `g:news`, `all`). All keys of a stream, and of a user,
//! share a hash tag:
//!
//! | key | holds | lives |
//! |---|---|---|
//! | `P{S}:log` | list, one entry per message, so that the n-th is at a known offset: `AT EXPIRES LENGTH ID BODY`, times in ms, EXPIRES may be 0, LENGTH that of ID in bytes | `ttl` after the last message |
//! | `P{S}:meta` | hash: `e` epoch, `t` top, `f` first kept, `b` bytes kept, `o` time of the first kept, `w` `c` `p` when ids were forgotten last | `meta_ttl` |
//! | `P{S}:ids` | zset by offset: ids of all kept messages and of those of the last `id_window` at least (at most [`MOST_IDS`] more) | `ttl` or `id_window` |
//! | `P{S}:c:HASH` | hash: copies of a publication; `n:NODE` how many it heard, `done` how many are messages, `o:N` where the n-th stands, `i:` and `q:` which calls were counted | `copy_window` after the last copy |
//! | `P{u:42}:read` | hash, stream to `EPOCH WATERMARK SECOND BITS`: read is what is up to the watermark, and what has a 1 behind it; at most [`MOST_MARKED`] streams | `meta_ttl` |
//! | `P{u:42}:done` | zset by time: read ids, at most [`MOST_DONE`] | `id_window` |
//! | `P{u:42}:on` | hash, instance to sessions, and `gone`: when the last one ended | `attend_ttl`, `gone_ttl` |
//! | `Pnodes` | hash, instance to `STOP NAME`: the node's word counts until then | entries: `gone_ttl` longer |
//! | `live.schedule.key` | zset by due time; others ZADD to it | |
//! | `{live.schedule.key}:ids` | hash, id to member of what nodes filed | |
//! | `{live.schedule.key}:dead` | list of what nobody can read: a JSON head `{"why":".."}`, a line feed, the member | |
//! | channels `Pbus:0` .. `Pbus:63`, `Pbus:all` | announcements, as `homing_core::wire_live` has them | |
//!
//! A list, not a Redis Stream: a Stream takes 4.3 KiB for a user's first message, a list 0.5 KiB, and with 50 messages
//! of 200 bytes it is still a fifth larger (7.0.15).
//!
//! **Once.** An id is looked up before a message is stored. A copy of a publication is counted per node, and the n-th
//! that any node heard is stored when fewer than n are. A due member leaves the schedule in the step that stores it.
//!
//! **Presence.** An instance is one life of a node: a number drawn at its start. Its word counts until `STOP`, which is
//! `presence_ttl` after its last `beat` or `attend`, or the moment of `leave`, or the first beat of the next instance
//! of the same name. A user is online where an instance that still counts says so. The last session has gone when the
//! node says so, or else at `STOP` of the instance that stopped last, never later than its last beat plus
//! `presence_ttl`.
//!
//! **Connections**, four per node: one writes, one reads (so that a long backlog holds up no post), one hears the bus
//! (`bus.rs`), one looks at the schedule with `CLIENT TRACKING ON NOLOOP`, so that the server announces the next
//! change.

mod bus;
mod inbox;
mod keys;
mod link;
mod marks;
mod old;
mod presence;
mod schedule;
mod script;

use std::sync::{Arc, OnceLock};

use homing_core::live::LiveDown;
use redis::{Client, IntoConnectionInfo, ProtocolVersion, PushKind, Value};
use tokio::sync::{Notify, mpsc};

use self::{bus::Order, keys::Keys, link::Link, script::Scripts};
use super::{
    Settings,
    ears::Ears,
    failure::{down, refused},
    old::Shape,
};

/// Ids that are remembered beyond those of kept messages.
pub const MOST_IDS: usize = 65_536;
/// Streams in which a user has marks; beyond, the marks of the stream where they read longest ago go.
pub const MOST_MARKED: usize = 1_024;
/// Read ids that are remembered of a user.
pub const MOST_DONE: usize = 4_096;

/// All ports of live delivery on one server, for one node.
pub struct RedisLive {
    settings: Settings,
    node: Arc<str>,
    /// This life of the node.
    instance: String,
    /// `redis 127.0.0.1:6379`, for errors.
    server: String,
    client: Client,
    keys: Keys,
    scripts: Scripts,
    old: Option<Shape>,
    writes: Link,
    reads: Link,
    looks: Link,
    changed: Arc<Notify>,
    ears: Arc<Ears>,
    bus: OnceLock<mpsc::Sender<Order>>,
}

impl RedisLive {
    /// Prepares to use the server at `url` (`redis://[user:password@]host:port[/db]`) as the node of this name;
    /// connects at the first call, and its connections belong to the runtime of that call.
    ///
    /// # Errors
    /// The URL cannot be read (its text is not repeated, since it may hold a password), or the settings are wrong.
    pub fn new(url: &str, settings: &Settings, node: &str) -> Result<Arc<Self>, LiveDown> {
        let what = "live store of redis";
        settings.check().map_err(|why| refused(what, why))?;
        let info = url.into_connection_info().map_err(|error| down(what, error))?;
        let server = format!("redis {}", info.addr());
        let of_resp3 = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(of_resp3)).map_err(|error| down(what, error))?;
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        let tracking: link::OnPush = Arc::new(move |push| {
            if matches!(push.kind, PushKind::Invalidate | PushKind::Disconnection) {
                wake.notify_one();
            }
        });
        let link = |tracking| Link::new(client.clone(), settings.timeout, tracking);
        Ok(Arc::new(Self {
            node: node.into(),
            instance: format!("{:016x}", random()),
            server,
            keys: Keys::new(&settings.prefix, &settings.schedule.key),
            scripts: Scripts::new(),
            old: settings.old_history.clone().map(Shape::new),
            writes: link(None),
            reads: link(None),
            looks: link(Some(tracking)),
            changed,
            ears: Arc::new(Ears::new(settings.bus_bytes)),
            bus: OnceLock::new(),
            client,
            settings: settings.clone(),
        }))
    }

    /// A failure of `part`: `inbox`, `bus`, `presence`, `schedule`.
    fn down(&self, part: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LiveDown {
        down(&self.what(part), source)
    }

    fn what(&self, part: &str) -> String {
        format!("{part} of {}", self.server)
    }

    fn unexpected(&self, part: &str, script: &script::Script, answer: &Value) -> LiveDown {
        self.down(part, script.unexpected(answer))
    }
}

impl std::fmt::Debug for RedisLive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("RedisLive");
        shown.field("server", &self.server).field("node", &self.node).finish_non_exhaustive()
    }
}

/// Milliseconds for a script.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number that no other process has: the standard library's hasher keys are random per process and per call.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
