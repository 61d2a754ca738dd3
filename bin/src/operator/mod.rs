//! The operator's tool, a file per command.

#![allow(clippy::print_stdout, reason = "printing is what the operator's tool is for")]

pub mod check;
pub mod demo;
mod demo_api;
pub mod ledger;
pub mod simulate;
pub mod trace;

use homing_core::{ledger::Role, queue::QueueName};

use crate::{config::Config, wiring};

/// Every shard of a configuration with its lane and role.
///
/// # Errors
/// A list template cannot be used.
pub fn shards(config: &Config) -> anyhow::Result<Vec<(String, Role, QueueName)>> {
    let mut all = Vec::new();
    for (name, lane) in &config.lane {
        for queue in wiring::shards(&format!("lane.{name}.entry"), &lane.entry)?.all() {
            all.push((name.clone(), Role::Entry, queue));
        }
        for queue in wiring::delivery(name, lane)?.all() {
            all.push((name.clone(), Role::Delivery, queue));
        }
    }
    Ok(all)
}
