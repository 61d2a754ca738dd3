//! epoll, level-triggered: a socket that was not read to its end shows again.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

pub use rustix::event::epoll::EventFlags;

/// An epoll descriptor and room for what it tells.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    pub fn add(&self, source: impl AsFd, name: u64, what: EventFlags) -> anyhow::Result<()> {
        Ok(epoll::add(&self.epoll, source, epoll::EventData::new_u64(name), what)?)
    }

    pub fn change(&self, source: impl AsFd, name: u64, what: EventFlags) -> anyhow::Result<()> {
        Ok(epoll::modify(&self.epoll, source, epoll::EventData::new_u64(name), what)?)
    }

    pub fn remove(&self, source: impl AsFd) -> anyhow::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits for something, at most `milliseconds`; puts names and flags into `into`.
    pub fn wait(&mut self, milliseconds: Option<u32>, into: &mut Vec<(u64, EventFlags)>) -> anyhow::Result<()> {
        let timeout =
            milliseconds.map(|ms| Timespec { tv_sec: i64::from(ms / 1000), tv_nsec: i64::from(ms % 1000) * 1_000_000 });
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        into.clear();
        into.extend(self.events.iter().map(|event| (event.data.u64(), event.flags)));
        Ok(())
    }
}
