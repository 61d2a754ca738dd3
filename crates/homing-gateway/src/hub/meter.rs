//! What is counted: what is there now (in atomics, for whoever asks), and what has happened (in plain numbers of a shard,
//! told to the metrics every tick: nothing is looked up for a send).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::parcel::Dialect;

/// Sessions, per shard.
pub const SESSIONS: &str = "homing_gateway_sessions";
/// WebSockets, by dialect and shard.
pub const SOCKETS: &str = "homing_gateway_sockets";
/// Connections whose first request is not there yet, per shard.
pub const HANDSHAKES: &str = "homing_gateway_handshakes";
/// Bytes that wait for sockets, per shard.
pub const OVERFLOW: &str = "homing_gateway_overflow_bytes";
/// Connections accepted.
pub const ACCEPTED: &str = "homing_gateway_accepted_total";
/// WebSockets refused, by HTTP status.
pub const REFUSED: &str = "homing_gateway_refused_total";
/// Sessions ended, by class of code: `normal`, `fault` (1002 to 1009), `failed`, `restart`, `slow`, `resume`, `silent`,
/// `token`, `lost` (no close frame came), `other`.
pub const CLOSED: &str = "homing_gateway_closed_total";
/// Messages to sockets and sessions.
pub const DELIVERIES: &str = "homing_gateway_deliveries_total";
/// Messages of clients.
pub const MESSAGES: &str = "homing_gateway_client_messages_total";
/// Bytes written to sockets, before TLS.
pub const SENT: &str = "homing_gateway_sent_bytes_total";
/// Bytes read from sockets, after TLS.
pub const RECEIVED: &str = "homing_gateway_received_bytes_total";
/// Panics of sessions, caught.
pub const PANICS: &str = "homing_gateway_session_panics_total";
/// Gaps found in streams.
pub const GAPS: &str = "homing_gateway_gaps_total";

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(super) struct Level(AtomicUsize);

impl Level {
    pub(super) fn up(&self, by: usize) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn down(&self, by: usize) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a shard has now.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sessions: Level,
    pub(super) identified: Level,
    sockets: [Level; 3],
    pub(super) handshakes: Level,
    pub(super) connections: Level,
    pub(super) overflow: Level,
}

impl Counters {
    pub(super) fn sockets(&self, dialect: Dialect) -> &Level {
        let [plain, engine4, engine3] = &self.sockets;
        match dialect {
            Dialect::Plain => plain,
            Dialect::Engine4 => engine4,
            Dialect::Engine3 => engine3,
        }
    }
}

/// Room for sessions and sockets, shared by the shards.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    limit: usize,
}

impl Room {
    pub(super) fn new(limit: usize) -> Self {
        Self { taken: AtomicUsize::new(0), limit }
    }

    pub(super) fn full(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limit
    }

    /// One place, if there is one. Whoever has it gives it back.
    pub(super) fn take(&self) -> bool {
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.limit {
            return true;
        }
        self.give();
        false
    }

    pub(super) fn give(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What has happened on a shard since the last tick.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) deliveries: u64,
    pub(super) messages: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) panics: u64,
    pub(super) gaps: u64,
    closed: [u64; CLASSES.len()],
    refused: [u64; STATUS.len()],
}

const CLASSES: [&str; 10] =
    ["normal", "fault", "failed", "restart", "slow", "resume", "silent", "token", "lost", "other"];
const STATUS: [(u16, &str); 8] =
    [(400, "400"), (401, "401"), (403, "403"), (404, "404"), (426, "426"), (431, "431"), (503, "503"), (0, "other")];

impl Tally {
    /// A session ended with this code.
    pub(super) fn closed(&mut self, code: u16) {
        use crate::session::code;
        let class = match code {
            1000 | 1001 => 0,
            1002..=1004 | 1007..=1010 => 1,
            code::FAILED => 2,
            code::RESTART | code::FULL => 3,
            code::SLOW => 4,
            code::RESUME => 5,
            code::SILENT => 6,
            code::UNAUTHORIZED..=code::DISMISSED => 7,
            1005 | 1006 => 8,
            _ => 9,
        };
        if let Some(count) = self.closed.get_mut(class) {
            *count += 1;
        }
    }

    /// A WebSocket was refused with this status.
    pub(super) fn refused(&mut self, status: u16) {
        let place = STATUS.iter().position(|(known, _)| *known == status).unwrap_or(STATUS.len() - 1);
        if let Some(count) = self.refused.get_mut(place) {
            *count += 1;
        }
    }

    /// Tells the metrics, and begins anew.
    pub(super) fn flush(&mut self, shard: &Arc<str>, now: &Counters) {
        let all = std::mem::take(self);
        for (name, count) in [
            (ACCEPTED, all.accepted),
            (DELIVERIES, all.deliveries),
            (MESSAGES, all.messages),
            (SENT, all.sent),
            (RECEIVED, all.received),
            (PANICS, all.panics),
            (GAPS, all.gaps),
        ] {
            if count > 0 {
                metrics::counter!(name).increment(count);
            }
        }
        for (class, count) in CLASSES.iter().zip(all.closed) {
            if count > 0 {
                metrics::counter!(CLOSED, "class" => *class).increment(count);
            }
        }
        for ((_, status), count) in STATUS.iter().zip(all.refused) {
            if count > 0 {
                metrics::counter!(REFUSED, "status" => *status).increment(count);
            }
        }
        for (name, level) in [(SESSIONS, &now.sessions), (HANDSHAKES, &now.handshakes), (OVERFLOW, &now.overflow)] {
            metrics::gauge!(name, "shard" => Arc::clone(shard)).set(level.get() as f64);
        }
        for (dialect, name) in [(Dialect::Plain, "plain"), (Dialect::Engine4, "engine4"), (Dialect::Engine3, "engine3")]
        {
            metrics::gauge!(SOCKETS, "shard" => Arc::clone(shard), "dialect" => name)
                .set(now.sockets(dialect).get() as f64);
        }
    }
}
