//! Streams of Node's adapter. They keep what was added while nobody read, so a reconnect misses nothing.

use std::time::Duration;

use redis::{AsyncCommands, RedisError, RedisResult, Value, aio::MultiplexedConnection, streams::StreamReadOptions};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        intake::{Form, Intake},
        node::Entry,
        reader::Backoff,
        settings::Emitter,
        sink::State,
    },
    link::{Client, PATIENCE},
};

/// Entries per read.
const COUNT: usize = 256;
/// So long a read waits for entries.
const BLOCK: Duration = Duration::from_secs(5);

/// The names of the streams: with several, each has its number.
fn names(emitter: &Emitter) -> Vec<String> {
    match emitter.streams {
        0 | 1 => vec![emitter.prefix.clone()],
        count => (0..count).map(|i| format!("{}-{i}", emitter.prefix)).collect(),
    }
}

/// Reads the streams until `stop`, from what is added after it began.
pub(in super::super) async fn streams(intake: &Intake, stop: &CancellationToken) {
    let names = names(&intake.emitter);
    let mut places: Option<Vec<String>> = None;
    let (mut backoff, mut last) = (Backoff::new(), None);
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = open(intake, &names, &mut places) => opened,
        };
        let error = match (opened, &mut places) {
            (Ok(mut connection), Some(places)) => {
                intake.status(&mut last, "", State::Up);
                backoff.reset();
                match follow(intake, &mut connection, &names, places, stop).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            (Err(error), _) => error,
            (Ok(_), None) => return,
        };
        intake.status(&mut last, "", State::Down(error.to_string()));
        if !backoff.pause(stop).await {
            return;
        }
    }
}

/// A connection of its own, whose answers may take as long as they like; the first time it looks where the streams end.
/// (`$` would be looked up anew by each read, and miss what is added between two.)
async fn open(
    intake: &Intake,
    names: &[String],
    places: &mut Option<Vec<String>>,
) -> RedisResult<MultiplexedConnection> {
    let config = Client::config().set_response_timeout(None);
    let mut connection = Client::new(&intake.emitter)?.connect(config).await?;
    if places.is_none() {
        let mut ends = Vec::new();
        for name in names {
            let newest = connection.xrevrange_count::<_, _, _, _, Value>(name, "+", "-", 1);
            let newest = tokio::time::timeout(PATIENCE, newest).await.map_err(|_| silent())??;
            ends.push(entries(&newest).next().map_or_else(|| "0-0".to_owned(), |(id, _)| id.to_owned()));
        }
        *places = Some(ends);
    }
    Ok(connection)
}

fn silent() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Ends without an error when `stop` came.
async fn follow(
    intake: &Intake,
    connection: &mut MultiplexedConnection,
    names: &[String],
    places: &mut [String],
    stop: &CancellationToken,
) -> RedisResult<()> {
    let options = StreamReadOptions::default().count(COUNT).block(BLOCK.as_millis().try_into().unwrap_or(5_000));
    loop {
        let read = connection.xread_options::<_, _, Value>(names, places, &options);
        let reply = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            reply = tokio::time::timeout(BLOCK + PATIENCE, read) => reply.map_err(|_| silent())??,
        };
        for (stream, added) in streams_of(&reply) {
            let Some(place) = names.iter().position(|name| name == stream).and_then(|i| places.get_mut(i)) else {
                continue;
            };
            for (id, fields) in entries(added) {
                let (entry, raw) = entry(id, fields);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = intake.command(Form::Entry(&entry), &raw) => {}
                }
                id.clone_into(place);
            }
        }
    }
}

/// The streams of an answer to XREAD. It is taken apart here, because anybody may add entries of any bytes: one that the
/// library cannot read would make the whole answer an error, again and again.
fn streams_of(reply: &Value) -> Vec<(&str, &Value)> {
    match reply {
        Value::Map(streams) => streams.iter().filter_map(|(name, added)| Some((text(name)?, added))).collect(),
        Value::Array(streams) => streams
            .iter()
            .filter_map(|stream| match stream {
                Value::Array(pair) => match pair.as_slice() {
                    [name, added] => Some((text(name)?, added)),
                    _ => None,
                },
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Ids and fields of entries.
fn entries(added: &Value) -> impl Iterator<Item = (&str, &[Value])> {
    let added = if let Value::Array(added) = added { added.as_slice() } else { &[] };
    added.iter().filter_map(|entry| match entry {
        Value::Array(entry) => match entry.as_slice() {
            [id, Value::Array(fields)] => Some((text(id)?, fields.as_slice())),
            [id, _] => Some((text(id)?, &[][..])),
            _ => None,
        },
        _ => None,
    })
}

fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// The entry, and bytes that stand for it: its id makes them its own.
fn entry(id: &str, fields: &[Value]) -> (Entry, Vec<u8>) {
    let (fields, _) = fields.as_chunks::<2>();
    let field = |name: &str| fields.iter().find(|[key, _]| text(key) == Some(name)).and_then(|[_, value]| bytes(value));
    let named = |name| field(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
    let (namespace, kind) = (named("nsp"), named("type"));
    let data = field("data").map(<[u8]>::to_vec);
    let mut raw = format!("{id}\n{namespace}\n{kind}\n").into_bytes();
    raw.extend_from_slice(data.as_deref().unwrap_or_default());
    (Entry { namespace, kind, data }, raw)
}
