//! The scripts, and how they are called: by their hash, loaded once per server when it does not know them.

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value, aio::ConnectionLike};

/// A Lua script and its hash.
#[derive(Debug)]
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// `EVALSHA hash <keys>`: the caller adds keys and arguments.
    pub(crate) fn call(&self, keys: usize) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(keys);
        cmd
    }

    /// Runs a command made by [`Script::call`].
    pub(crate) async fn run(&self, cmd: &Cmd, on: &mut (impl ConnectionLike + Send)) -> RedisResult<Value> {
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
}

fn is_unknown_script(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(redis::ServerErrorKind::NoScript)) || error.code() == Some("NOSCRIPT")
}

/// All scripts of the backend.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) acquire: Script,
    pub(crate) commit: Script,
    pub(crate) peek: Script,
    pub(crate) promote: Script,
    pub(crate) renew: Script,
    pub(crate) blame: Script,
    pub(crate) release: Script,
    pub(crate) inspect: Script,
    pub(crate) append: Script,
    pub(crate) cancel: Script,
    pub(crate) marks: Script,
    pub(crate) post: Script,
    pub(crate) tally: Script,
    pub(crate) resync: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            acquire: Script::new(include_str!("scripts/acquire.lua")),
            commit: Script::new(include_str!("scripts/commit.lua")),
            peek: Script::new(include_str!("scripts/peek.lua")),
            promote: Script::new(include_str!("scripts/promote.lua")),
            renew: Script::new(include_str!("scripts/renew.lua")),
            blame: Script::new(include_str!("scripts/blame.lua")),
            release: Script::new(include_str!("scripts/release.lua")),
            inspect: Script::new(include_str!("scripts/inspect.lua")),
            append: Script::new(include_str!("scripts/append.lua")),
            cancel: Script::new(include_str!("scripts/cancel.lua")),
            marks: Script::new(include_str!("scripts/marks.lua")),
            post: Script::new(include_str!("scripts/post.lua")),
            tally: Script::new(include_str!("scripts/tally.lua")),
            resync: Script::new(include_str!("scripts/resync.lua")),
        }
    }
}

/// Wraps any error of the client as "unavailable": the call may or may not have happened.
pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> homing_core::queue::Error {
    homing_core::queue::Error::Unavailable(error.into())
}

/// An answer that no script of ours gives.
pub(crate) fn unexpected(script: &str, answer: &Value) -> homing_core::queue::Error {
    let mut shown = format!("{answer:?}");
    shown.truncate(shown.char_indices().nth(200).map_or(shown.len(), |(at, _)| at));
    unavailable(format!("unexpected answer to {script}: {shown}"))
}

/// The array of an answer.
pub(crate) fn array(script: &str, answer: Value) -> homing_core::queue::Result<Vec<Value>> {
    match answer {
        Value::Array(parts) => Ok(parts),
        other => Err(unexpected(script, &other)),
    }
}

/// Text of a part; empty for nil.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Okay => "OK".to_owned(),
        _ => String::new(),
    }
}

/// Number of a part, also where it came as text.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        #[expect(clippy::cast_possible_truncation, reason = "scores are milliseconds, far below 2^53")]
        Value::Double(d) => Some(*d as i64),
        Value::BulkString(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?;
            #[expect(clippy::cast_possible_truncation, reason = "scores are milliseconds, far below 2^53")]
            text.parse::<i64>().ok().or_else(|| text.parse::<f64>().ok().map(|d| d as i64))
        }
        _ => None,
    }
}

/// Pairs of a flat `field, value, ...` list or of a RESP3 map.
pub(crate) fn pairs(values: Vec<Value>) -> Vec<(String, Vec<u8>)> {
    let mut pairs = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(field), Some(value)) = (values.next(), values.next()) {
        let value = match value {
            Value::BulkString(bytes) => bytes,
            other => text(&other).into_bytes(),
        };
        pairs.push((text(&field), value));
    }
    pairs
}
