//! A small installation of its own per test: servers, data, configuration, daemons.

mod company;
mod process;
mod world;

pub(crate) use company::{Company, Fate};
pub(crate) use process::{Process, free_port};
pub(crate) use world::World;

/// A variable that `scripts/test` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test, which starts the servers"))
}

/// A number that no other test has.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
