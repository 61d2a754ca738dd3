//! Streams of Node's adapter. They keep what was added while nobody read, so a reconnect misses nothing.

use std::{collections::HashMap, time::Duration};

use redis::{
    AsyncCommands, FromRedisValue, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamRangeReply, StreamReadOptions, StreamReadReply},
};
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
            let newest = connection.xrevrange_count::<_, _, _, _, StreamRangeReply>(name, "+", "-", 1);
            let newest = tokio::time::timeout(PATIENCE, newest).await.map_err(|_| silent())??;
            ends.push(newest.ids.first().map_or_else(|| "0-0".to_owned(), |entry| entry.id.clone()));
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
        let read = connection.xread_options::<_, _, Option<StreamReadReply>>(names, places, &options);
        let reply = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            reply = tokio::time::timeout(BLOCK + PATIENCE, read) => reply.map_err(|_| silent())??,
        };
        for stream in reply.map(|reply| reply.keys).unwrap_or_default() {
            let Some(place) = names.iter().position(|name| *name == stream.key).and_then(|i| places.get_mut(i)) else {
                continue;
            };
            for added in stream.ids {
                let (entry, raw) = entry(&added);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = intake.command(Form::Entry(&entry), &raw) => {}
                }
                *place = added.id;
            }
        }
    }
}

/// The entry's fields, and bytes that stand for it: its id makes them its own.
fn entry(added: &StreamId) -> (Entry, Vec<u8>) {
    let text = |name| field::<String>(&added.map, name).unwrap_or_default();
    let (namespace, kind) = (text("nsp"), text("type"));
    let data = field::<Vec<u8>>(&added.map, "data");
    let mut raw = format!("{}\n{namespace}\n{kind}\n", added.id).into_bytes();
    raw.extend_from_slice(data.as_deref().unwrap_or_default());
    (Entry { namespace, kind, data }, raw)
}

fn field<T: FromRedisValue>(fields: &HashMap<String, Value>, name: &str) -> Option<T> {
    fields.get(name).and_then(|value| T::from_redis_value(value.clone()).ok())
}
