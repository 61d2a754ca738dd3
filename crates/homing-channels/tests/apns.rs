//! The APNs channel against the simulator over TLS on the loopback, and the simulator against requests of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

#[path = "apns/bench.rs"]
mod bench;
#[path = "apns/certificate.rs"]
mod certificate;
#[path = "apns/connections.rs"]
mod connections;
#[path = "apns/credentials.rs"]
mod credentials;
#[path = "apns/environments.rs"]
mod environments;
#[path = "apns/outcomes.rs"]
mod outcomes;
#[path = "apns/simulator.rs"]
mod simulator;
