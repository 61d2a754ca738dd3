//! The channel `mqtt` against real mosquitto, with paho as the subscriber, and against brokers that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and show its figures"
)]

#[path = "mqtt/broker.rs"]
mod broker;
#[path = "mqtt/delivery.rs"]
mod delivery;
#[path = "mqtt/faults.rs"]
mod faults;
