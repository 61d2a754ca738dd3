//! What is wrong with a server's settings, for `homing check`: each of them loses messages or stops work one day, and none
//! of them shows before.

use std::time::Duration;

use homing_core::queue::Result;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, Value, aio::ConnectionLike};

use super::script::{array, text, unavailable};

/// Below this a burst of an hour fills the server.
const LITTLE: u64 = 256 << 20;

/// Looks at the settings of the server at `url`; a sentence for each that should be otherwise, with what to do. Changes
/// nothing.
///
/// # Errors
/// The URL cannot be read, or the server cannot be reached within `timeout`.
pub async fn advice(url: &str, timeout: Duration) -> Result<Vec<String>> {
    let info = url.into_connection_info().map_err(unavailable)?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings)).map_err(unavailable)?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(unavailable)?;
    let answer = connection.req_packed_command(&redis::cmd("INFO")).await.and_then(Value::extract_error);
    let info = match answer.map_err(unavailable)? {
        Value::VerbatimString { text, .. } => text,
        other => text(&other),
    };
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("GET").arg("appendfsync");
    // A hosted server may refuse CONFIG; INFO tells all the rest.
    let fsync = match connection.req_packed_command(&cmd).await.and_then(Value::extract_error) {
        Ok(Value::Map(pairs)) => pairs.first().map(|(_, value)| text(value)),
        Ok(other) => array("CONFIG", other)?.get(1).map(text),
        Err(_) => None,
    };
    Ok(advise(&info, fsync.as_deref()))
}

/// `info` as INFO answers, `fsync` the setting `appendfsync` where the server tells it.
fn advise(info: &str, fsync: Option<&str>) -> Vec<String> {
    let field = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    let number = |name: &str| field(name).and_then(|n| n.parse::<u64>().ok());
    let mut all = Vec::new();
    match field("redis_version").map(|version| (version, numbers(version))) {
        Some((version, Some(numbers))) if numbers < (6, 2) => {
            all.push(format!("version {version} is too old: Homing needs 6.2 or later"));
        }
        Some((_, Some(_))) => {}
        _ => all.push("the server does not tell its version; Homing needs Redis 6.2 or later".to_owned()),
    }
    if field("aof_enabled") == Some("0") {
        all.push(
            "appendonly is no: a restart of the server loses everything since the last snapshot; say `CONFIG SET \
             appendonly yes` and write it into redis.conf"
                .to_owned(),
        );
    } else if fsync == Some("no") {
        all.push("appendfsync is no: a power failure loses half a minute; say everysec or always".to_owned());
    }
    if field("aof_last_write_status").is_some_and(|status| status != "ok") {
        all.push("the last write of the append-only file failed: look at the server's disk and log".to_owned());
    }
    match field("maxmemory_policy") {
        None | Some("noeviction") => {}
        Some(policy) => all.push(format!(
            "maxmemory-policy is {policy}: a full server throws messages away; say `CONFIG SET maxmemory-policy \
             noeviction` and write it into redis.conf"
        )),
    }
    let mebibytes = |bytes: u64| bytes >> 20;
    match (number("maxmemory"), number("used_memory").unwrap_or(0)) {
        (None | Some(0), _) => all.push(format!(
            "maxmemory is not set: scanners are never held back, and the kernel kills a server that grows too large; set \
             it well below the machine's {} MiB",
            mebibytes(number("total_system_memory").unwrap_or(0))
        )),
        (Some(limit), _) if limit < LITTLE => all.push(format!(
            "maxmemory is {} MiB: little for queues that must hold what a provider's outage leaves; say 256mb or more",
            mebibytes(limit)
        )),
        (Some(limit), used) if used / 4 >= limit / 5 => all.push(format!(
            "{} of {} MiB are in use: raise maxmemory, or find out which list is long",
            mebibytes(used),
            mebibytes(limit)
        )),
        _ => {}
    }
    if field("role").is_some_and(|role| role != "master") {
        all.push("the server is a replica: it takes no writes; name its master".to_owned());
    }
    if field("cluster_enabled") == Some("1") {
        all.push("the server is part of a Redis Cluster, which this version does not follow".to_owned());
    }
    all
}

/// Major and minor of `7.0.15`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\naof_enabled:1\r\naof_last_write_status:ok\r\n\
        maxmemory_policy:noeviction\r\nmaxmemory:4294967296\r\nused_memory:1000000\r\ntotal_system_memory:8589934592\r\n\
        cluster_enabled:0\r\n";

    #[track_caller]
    fn check(from: &str, to: &str, fsync: Option<&str>, expected: &str) {
        assert!(GOOD.contains(from), "{from}");
        let all = advise(&GOOD.replace(from, to), fsync);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all.iter().all(|one| one.starts_with(expected)), "{all:?}");
    }

    #[test]
    fn a_server_as_it_should_be_gets_no_advice() {
        assert_eq!(advise(GOOD, Some("everysec")), Vec::<String>::new());
        assert_eq!(advise(GOOD, None), Vec::<String>::new());
    }

    #[test]
    fn each_setting_that_loses_messages_is_named() {
        check("7.0.15", "6.0.16", None, "version 6.0.16 is too old");
        check("redis_version:7.0.15\r\n", "", None, "the server does not tell its version");
        check("aof_enabled:1", "aof_enabled:0", None, "appendonly is no");
        check("aof_enabled:1", "aof_enabled:1", Some("no"), "appendfsync is no");
        check("status:ok", "status:err", None, "the last write of the append-only file failed");
        check("noeviction", "allkeys-lru", None, "maxmemory-policy is allkeys-lru");
        check("maxmemory:4294967296", "maxmemory:0", None, "maxmemory is not set");
        check("maxmemory:4294967296", "maxmemory:104857600", None, "maxmemory is 100 MiB");
        check("used_memory:1000000", "used_memory:3865470566", None, "3686 of 4096 MiB are in use");
        check("role:master", "role:slave", None, "the server is a replica");
        check("cluster_enabled:0", "cluster_enabled:1", None, "the server is part of a Redis Cluster");
    }
}
