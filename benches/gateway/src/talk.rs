//! What the conductor and its load processes say to each other: one JSON object on a line, commands to standard input,
//! answers from standard output. Each command has one answer.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use crate::speech::Speech;

/// Sockets whose messages are timed.
pub const READERS: u8 = 0;
/// Sockets that stop reading, and whose messages are counted one by one.
pub const STALLERS: u8 = 1;

/// What a load process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Open connections, one for each of the users from `first` on. → [`Answer::Opened`], when all are there.
    Open {
        /// The server.
        server: SocketAddr,
        /// The clients' address: one that nobody else uses.
        source: Ipv4Addr,
        /// What is spoken.
        speech: Speech,
        /// The first user.
        first: u32,
        /// How many.
        count: u32,
        /// So many handshakes at a time.
        in_flight: u32,
        /// Signs tokens.
        secret: String,
        /// [`READERS`] or [`STALLERS`].
        group: u8,
    },
    /// Wait until the readers got so many messages since the last answer. → [`Answer::Heard`], then or when nothing new
    /// has come for so many milliseconds.
    Hear {
        /// So many in all.
        messages: u64,
        /// Patience.
        patience: u64,
    },
    /// The stallers stop reading, or go on; what the server has closed meanwhile comes back to `server` and resumes.
    /// → [`Answer::Done`].
    Stall(bool),
    /// Wait until each staller has the messages from the first number to the last, or was told that something is missing.
    /// → [`Answer::Checked`], then, or when nothing new has come for so many milliseconds, or it took `most` in all.
    Check {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
        /// Patience.
        patience: u64,
        /// In all.
        most: u64,
    },
    /// Close everything. → [`Answer::Done`].
    Close,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// See [`Command::Open`].
    Opened {
        /// So many are there.
        opened: u32,
        /// So many failed; the first few reasons.
        failed: u32,
        /// See `failed`.
        why: Vec<String>,
        /// From the first connect to the last greeting.
        seconds: f64,
    },
    /// See [`Command::Hear`].
    Heard {
        /// Microseconds from sending to arrival, one for each message, in the order of arrival.
        micros: Vec<u32>,
        /// Sockets of readers that the server closed since the last answer, by code (0 = without one).
        closed: BTreeMap<u16, u32>,
    },
    /// See [`Command::Check`].
    Checked(Checked),
    /// It is done.
    Done,
    /// It could not be done.
    Failed(String),
}

/// What became of the stallers' messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Checked {
    /// Stallers that have every message once.
    pub whole: u32,
    /// Stallers that lack something and were told so.
    pub told: u32,
    /// Stallers that lack something and were not told, with the first few of them in words.
    pub lost: u32,
    /// See `lost`.
    pub why: Vec<String>,
    /// Messages that came more than once to a staller that had not been told.
    pub repeated: u32,
    /// Stallers that the server closed, by code.
    pub closed: BTreeMap<u16, u32>,
    /// Times that a staller resumed.
    pub resumed: u32,
}
