//! One socket of the load client: a few dozen bytes.

use std::os::fd::OwnedFd;

use crate::following::Following;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Closed,
    Connecting,
    Shaking,
    Greeting,
    Open,
}

/// See the module.
pub(crate) struct Connection {
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) stage: Stage,
    pub(crate) user: u32,
    pub(crate) group: u8,
    /// It is not read at present.
    pub(crate) stalled: bool,
    /// The request until it is sent; then what was read of a frame that is not whole.
    pub(crate) partial: Vec<u8>,
    /// Only of stallers.
    pub(crate) following: Option<Box<Following>>,
}

impl Connection {
    pub(crate) fn new(user: u32, group: u8) -> Self {
        let following = (group == crate::talk::STALLERS).then(Box::default);
        Self { socket: None, stage: Stage::Closed, user, group, stalled: false, partial: Vec::new(), following }
    }

    pub(crate) fn begin(&mut self, socket: OwnedFd, request: Vec<u8>) {
        self.socket = Some(socket);
        self.stage = Stage::Connecting;
        self.partial = request;
    }
}
