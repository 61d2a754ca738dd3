//! What every daemon does the same way: configuration, logs, metrics, health, signals, supervision, systemd.
//!
//! A daemon's main loads its [configuration](config), starts a [`Daemon`], gives it tasks to supervise and waits:
//!
//! ```no_run
//! use std::{error::Error, process::ExitCode};
//!
//! use homing_runtime::{Daemon, Done, GRACE, Settings, admin, block_on, config, logs, with_causes};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     #[serde(default)]
//!     log: logs::Settings,
//!     #[serde(default)]
//!     admin: admin::Settings,
//! }
//!
//! async fn run() -> Result<Done, Box<dyn Error>> {
//!     let sources = config::Sources::new()
//!         .defaults("homing.toml", "[log]\nfilter = 'info'")
//!         .files(["config/higo.toml"])
//!         .env(std::env::vars_os());
//!     let config::Loaded { value: config, warnings, .. } = config::load::<Config>(sources)?;
//!     let mut daemon = Daemon::start("homing-sender", &Settings { log: config.log, admin: config.admin }).await?;
//!     warnings.iter().for_each(|warning| tracing::warn!("{warning}."));
//!
//!     let redis = daemon.health().part("redis"); // Every part before `run_until_done`.
//!     let shutdown = daemon.shutdown();
//!     daemon.supervise("sender", async move {
//!         redis.ready();
//!         shutdown.cancelled().await; // Take nothing new, finish what is in hand.
//!         Ok::<(), std::io::Error>(())
//!     });
//!     Ok(daemon.run_until_done(GRACE).await)
//! }
//!
//! fn main() -> ExitCode {
//!     block_on(async {
//!         run().await.map_or_else(
//!             |error| {
//!                 eprintln!("homing-sender: {}", with_causes(error.as_ref()));
//!                 ExitCode::FAILURE
//!             },
//!             ExitCode::from,
//!         )
//!     })
//! }
//! ```

#![warn(missing_docs)]

pub mod admin;
pub mod config;
mod daemon;
mod error;
mod health;
pub mod logs;
mod metrics;
mod names;
mod process;
mod ready;
mod signals;

pub use daemon::{Daemon, Done, GRACE, Settings, block_on};
pub use error::{Error, Result, with_causes};
pub use health::{Health, NotReady, Part};
pub use homing_core::duration::{self, NotADuration, format_duration, parse_duration};
pub use metrics::Metrics;
pub use names::Metric;
