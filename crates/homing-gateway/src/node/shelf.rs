//! Stored messages as sessions are shown them. What went to a group or to everyone is one parcel for all who missed it, as
//! long as one of them still has it in hand: so a thousand that come back together hold one copy.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use homing_core::{
    live::{Position, Stored, Stream},
    wire_live::Message,
};
use tracing::warn;

use crate::parcel::{Parcel, Source};

/// So many names are kept before those are thrown away whose parcels are gone.
const MANY: usize = 4_096;

/// See the module.
#[derive(Default)]
pub(super) struct Shelf {
    shared: Mutex<HashMap<(Stream, Position), Weak<Parcel>>>,
}

impl Shelf {
    /// The parcel of a stored message; `None` = it cannot be read, which is logged.
    pub(super) fn parcel(&self, stream: &Stream, epoch: u32, stored: &Stored) -> Option<Arc<Parcel>> {
        let at = Position { epoch, offset: stored.offset };
        if matches!(stream, Stream::User(_)) {
            return parcel(stream, at, stored);
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (stream.clone(), at);
        if let Some(parcel) = shared.get(&name).and_then(Weak::upgrade) {
            return Some(parcel);
        }
        let parcel = parcel(stream, at, stored)?;
        if shared.len() >= MANY {
            shared.retain(|_, parcel| parcel.strong_count() > 0);
        }
        shared.insert(name, Arc::downgrade(&parcel));
        Some(parcel)
    }
}

fn parcel(stream: &Stream, at: Position, stored: &Stored) -> Option<Arc<Parcel>> {
    match Message::decode(&stored.body) {
        Ok(message) => Some(Arc::new(Parcel::new(Source::Message { stream: stream.clone(), at: Some(at), message }))),
        Err(error) => {
            warn!(%stream, offset = at.offset, id = %stored.id, %error, "A stored message cannot be read.");
            None
        }
    }
}

/// The newest of these that fit into so many bytes, one in any case; true = some did not.
pub(super) fn newest(messages: &mut Vec<Stored>, bytes: usize) -> bool {
    let mut room = bytes;
    let mut fit = 0;
    for stored in messages.iter().rev() {
        let Some(left) = room.checked_sub(stored.body.len()) else { break };
        (room, fit) = (left, fit + 1);
    }
    let cut = messages.len().saturating_sub(fit.max(1));
    messages.drain(..cut);
    cut > 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn stored(offset: u64, body: &str) -> Stored {
        Stored { offset, id: offset.to_string().into(), body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn what_is_for_many_is_one_parcel_while_somebody_has_it() {
        let shelf = Shelf::default();
        let body = stored(1, r#"{"id":"1","type":"n","data":1}"#);
        let first = shelf.parcel(&Stream::Everyone, 7, &body).unwrap();
        assert!(Arc::ptr_eq(&first, &shelf.parcel(&Stream::Everyone, 7, &body).unwrap()));
        assert!(
            !Arc::ptr_eq(&first, &shelf.parcel(&Stream::Everyone, 8, &body).unwrap()),
            "another life of the stream"
        );
        let user = Stream::User("42".into());
        assert!(!Arc::ptr_eq(&shelf.parcel(&user, 7, &body).unwrap(), &shelf.parcel(&user, 7, &body).unwrap()));
        assert!(shelf.parcel(&user, 7, &stored(2, "{}")).is_none());
        for offset in 0..10_000 {
            shelf.parcel(&Stream::Everyone, 9, &stored(offset, r#"{"id":"1","type":"n"}"#)).unwrap();
        }
        assert!(shelf.shared.lock().unwrap().len() <= MANY, "names of what is gone are thrown away");
    }

    #[test]
    fn the_newest_are_kept() {
        let offsets = |bytes| {
            let mut messages = vec![stored(1, "aaaa"), stored(2, "bb"), stored(3, "cc")];
            let cut = newest(&mut messages, bytes);
            (cut, messages.iter().map(|stored| stored.offset).collect::<Vec<_>>())
        };
        assert_eq!(offsets(8), (false, vec![1, 2, 3]));
        assert_eq!(offsets(7), (true, vec![2, 3]));
        assert_eq!(offsets(3), (true, vec![3]));
        assert_eq!(offsets(0), (true, vec![3]), "one is always shown");
        assert!(!newest(&mut Vec::new(), 0));
    }
}
