//! The operator's tool, a file per command.

#![allow(clippy::print_stdout, reason = "printing is what the operator's tool is for")]

pub mod check;
pub mod demo;
pub mod explain;
pub mod import_agent;
pub mod import_ini;
pub mod imported;
pub mod ledger;
pub mod migrate;
pub mod observe;
pub mod resync;
pub mod scan;
pub mod send;
pub mod simulate;
pub mod sniff;
pub mod trace;
pub mod up;

use homing_core::{
    ledger::Role,
    lookup::StoreDown,
    queue::{self, QueueName},
};
use homing_pipeline::{distributor::DeliveryCodec, scanner::AuditError};

use crate::{config::Config, wiring};

/// The exit code of a command that failed: 64 if the configuration cannot be used, 1 if something went wrong at work, such
/// as a server that does not answer.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let at_work = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<queue::Error>() || cause.is::<StoreDown>() || cause.is::<AuditError>()
    };
    if error.chain().any(at_work) { 1 } else { 64 }
}

/// Every shard that Homing works, with its lane and role: not the delivery lists that are written for a foreign sender,
/// whose books nobody here keeps.
///
/// # Errors
/// A list template cannot be used.
pub fn shards(config: &Config) -> anyhow::Result<Vec<(String, Role, QueueName)>> {
    listed(config, |codec| codec == DeliveryCodec::Own)
}

/// Every list of a configuration with its lane and role.
///
/// # Errors
/// A list template cannot be used.
pub fn lists(config: &Config) -> anyhow::Result<Vec<(String, Role, QueueName)>> {
    listed(config, |_| true)
}

fn listed(config: &Config, wanted: fn(DeliveryCodec) -> bool) -> anyhow::Result<Vec<(String, Role, QueueName)>> {
    let mut all = Vec::new();
    for (name, lane) in &config.lane {
        for queue in wiring::shards(&format!("lane.{name}.entry"), &lane.entry)?.all() {
            all.push((name.clone(), Role::Entry, queue));
        }
        for (lists, codec) in wiring::deliveries(name, lane)?.into_values() {
            let queues = if wanted(codec) { lists.all() } else { Vec::new() };
            all.extend(queues.into_iter().map(|queue| (name.clone(), Role::Delivery, queue)));
        }
    }
    Ok(all)
}
