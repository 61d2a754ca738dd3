//! Every message is sent back as it came: what conformance suites of RFC 6455 talk to. Only with the protocol suites'
//! fixture, at `/echo`.

use std::sync::Arc;

use crate::{
    desk::{Callback, Reply},
    parcel::{Dialect, Parcel, Payload},
    session::{Admission, Doorman, Link, Request, Session, Socket},
};

/// Lets everybody in at `/echo`.
pub(crate) struct EchoDoor;

impl Doorman for EchoDoor {
    fn websocket(&self, request: &Request) -> Option<Admission> {
        (request.path == "/echo").then(|| Admission::Session(Box::new(Echo)))
    }
}

struct Echo;

impl Session for Echo {
    fn dialect(&self) -> Dialect {
        Dialect::Plain
    }

    fn open(&mut self, _: &mut dyn Link) {}

    fn message(&mut self, link: &mut dyn Link, socket: Socket, payload: Payload) {
        link.write(socket, &payload);
    }

    fn lost(&mut self, _: &mut dyn Link, _: Socket) -> bool {
        false
    }

    fn deliver(&mut self, _: &mut dyn Link, _: &Arc<Parcel>, _: Option<&Arc<Callback>>) {}

    fn wake(&mut self, _: &mut dyn Link) {}

    fn reply(&mut self, _: &mut dyn Link, _: Reply) {}
}
