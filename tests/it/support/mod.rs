//! A small installation of its own per test: servers, data, configuration, daemons.

mod chats;
mod company;
mod crowd;
mod installation;
mod process;
mod producer;
mod world;

pub(crate) use chats::{Chats, wait_for_cursor};
pub(crate) use company::{Company, Fate};
pub(crate) use crowd::Crowd;
pub(crate) use installation::Installation;
pub(crate) use process::{Process, free_port};
pub(crate) use producer::{Producer, mysql};
pub(crate) use world::{GROUP_CHATS, PRIVATE_CHATS, World, start_redis};

/// A variable that `scripts/test` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test, which starts the servers"))
}

/// Waits until `done` says so.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let since = std::time::Instant::now();
    while !done().await {
        assert!(since.elapsed() < std::time::Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A number that no other test has.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
