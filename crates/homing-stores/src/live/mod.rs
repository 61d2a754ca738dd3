//! The ports of live delivery (`homing_core::live`): streams of messages, the bus between nodes, presence, the
//! schedule.
//!
//! | folder | what for |
//! |---|---|
//! | [`redis`] | many nodes, one Redis; its head lists every key |
//! | [`embedded`] | one process: streams and schedule in a SQLite file, bus and presence in memory |
//!
//! Both pass the same contract, `tests/live_contract.rs`. `settings.rs` has what is configured, `ears.rs` the bounded
//! buffer of what was heard, `reads.rs` how it is kept what a user has read, `old.rs` the form of a history from before
//! Homing, [`PresenceLookup`] the rule "online" over presence.

mod ears;
pub mod embedded;
mod failure;
mod old;
mod presence_lookup;
mod reads;
pub mod redis;
mod settings;

pub use homing_core::live::Ports;

pub use self::{
    failure::MAX_BODY,
    presence_lookup::PresenceLookup,
    settings::{OldHistory, Schedule as ScheduleSettings, Settings, Unit},
};
