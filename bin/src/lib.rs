//! Wiring: configuration in, workers out. The daemons in `bin/` are a page each; what they share stands here.

#![warn(missing_docs)]

pub mod agent;
pub mod config;
pub mod daemon;
pub mod die;
pub mod doctor;
pub mod gateway;
pub mod intake;
pub mod live;
pub mod operator;
pub mod wiring;
