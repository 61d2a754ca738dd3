//! `homing check`: does the configuration fit together, and is everybody there?

use homing_core::clock::SystemClock;
use homing_stores::Level;
use std::sync::Arc;

use super::shards;
use crate::{config::Config, wiring};

/// Checks everything that can be checked without sending a message; prints a line each. Answers whether all is well
/// enough to start.
///
/// # Errors
/// Names the key that does not fit.
pub async fn check(config: &Config, offline: bool) -> anyhow::Result<bool> {
    let stores = homing_stores::build(&config.stores())?;
    config.catalogue()?;
    wiring::channel(config, Arc::new(SystemClock::default()))?;
    let queue = wiring::queue(config)?;
    let all = shards(config)?;
    if all.is_empty() {
        anyhow::bail!("the configuration has no [lane.NAME]: there is nothing to do (config/higo.toml shows one)");
    }
    wiring::check(config, &stores)?;
    println!(
        "ok      configuration: {} lanes, {} shards, {} accounts",
        config.lane.len(),
        all.len(),
        config.account.len()
    );
    if offline {
        return Ok(true);
    }
    let mut well = true;
    if let Some((_, _, first)) = all.first() {
        match queue.inspect(first).await {
            Ok(_) => println!("ok      redis"),
            Err(error) => {
                println!("error   redis: {error}");
                well = false;
            }
        }
    }
    for line in stores.check().await {
        let level = match line.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        println!("{level:<7} {}: {}", line.subject, line.text);
        well &= line.level != Level::Error;
    }
    Ok(well)
}
