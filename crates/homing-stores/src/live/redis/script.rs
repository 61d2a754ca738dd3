//! The scripts: called by their hash, loaded once per server when it does not know them.

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, aio::ConnectionLike};

/// A Lua script and its hash.
pub(super) struct Script {
    name: &'static str,
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(name: &'static str, code: &'static str) -> Self {
        Self { name, code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// `EVALSHA hash <keys>`: the caller adds keys and arguments.
    pub(super) fn call(&self, keys: usize) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(keys);
        cmd
    }

    /// Runs a command made by [`Script::call`].
    pub(super) async fn run(&self, cmd: &Cmd, on: &mut (impl ConnectionLike + Send)) -> RedisResult<Value> {
        // Somebody may flush the scripts again in between; a few times are enough for everybody but a vandal.
        for _ in 0..3 {
            match on.req_packed_command(cmd).await.and_then(Value::extract_error) {
                Err(error) if is_unknown_script(&error) => {
                    let mut load = redis::cmd("SCRIPT");
                    load.arg("LOAD").arg(self.code);
                    on.req_packed_command(&load).await.and_then(Value::extract_error)?;
                }
                answer => return answer,
            }
        }
        on.req_packed_command(cmd).await.and_then(Value::extract_error)
    }

    /// An answer that this script does not give.
    pub(super) fn unexpected(&self, answer: &Value) -> String {
        let mut shown = format!("{answer:?}");
        shown.truncate(shown.char_indices().nth(200).map_or(shown.len(), |(at, _)| at));
        format!("unexpected answer to {}: {shown}", self.name)
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript)) || error.code() == Some("NOSCRIPT")
}

/// All of them.
pub(super) struct Scripts {
    pub(super) post: Script,
    pub(super) after: Script,
    pub(super) unread: Script,
    pub(super) mark: Script,
    pub(super) were_read: Script,
    pub(super) old: Script,
    pub(super) attend: Script,
    pub(super) beat: Script,
    pub(super) seen: Script,
    pub(super) put: Script,
    pub(super) cancel: Script,
    pub(super) look: Script,
    pub(super) bury: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            post: Script::new("post", include_str!("scripts/post.lua")),
            after: Script::new("after", include_str!("scripts/after.lua")),
            unread: Script::new("unread", include_str!("scripts/unread.lua")),
            mark: Script::new("mark", include_str!("scripts/mark.lua")),
            were_read: Script::new("were_read", include_str!("scripts/were_read.lua")),
            old: Script::new("old", include_str!("scripts/old.lua")),
            attend: Script::new("attend", include_str!("scripts/attend.lua")),
            beat: Script::new("beat", include_str!("scripts/beat.lua")),
            seen: Script::new("seen", include_str!("scripts/seen.lua")),
            put: Script::new("put", include_str!("scripts/put.lua")),
            cancel: Script::new("cancel", include_str!("scripts/cancel.lua")),
            look: Script::new("look", include_str!("scripts/look.lua")),
            bury: Script::new("bury", include_str!("scripts/bury.lua")),
        }
    }
}

/// A whole number of an answer that cannot be negative.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

/// Bytes of an answer.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// Text of an answer.
pub(super) fn text(value: Value) -> Option<String> {
    bytes(value).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// An array of an answer.
pub(super) fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(parts) | Value::Set(parts) => Some(parts),
        _ => None,
    }
}
