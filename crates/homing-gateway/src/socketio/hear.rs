//! What a client is told: parcels, what it missed, and what proves that it has them.

use std::sync::Arc;

use metrics::counter;

use super::{
    NEVER, Read, Socketio,
    acks::Due,
    encode::{namespace, ready},
    packet,
    session::RETRY,
};
use crate::{
    desk::{Callback, Missed},
    engine::{Out, meter, packet::Version},
    parcel::{Parcel, Source},
    replay::{Next, Replay},
    session::Socket,
};

impl Socketio {
    /// A parcel for this client.
    pub(crate) fn deliver(&mut self, out: &mut Out<'_>, parcel: &Arc<Parcel>, callback: Option<&Arc<Callback>>) {
        let Some(name) = namespace(&parcel.source) else {
            out.send_parcel(parcel);
            return;
        };
        let Some(name) = self.connected(name) else { return };
        let id = match &parcel.source {
            Source::Message { message, at: Some(_), .. } if self.user.is_some() => Some(&message.id),
            _ => None,
        };
        let settings = &out.site.settings;
        let read = id.filter(|_| settings.read == Read::Ack).cloned();
        if callback.is_none() && read.is_none() {
            if out.send_parcel(parcel)
                && settings.read == Read::Heartbeat
                && let Some(id) = id
            {
                self.follow_up(out, id);
            }
            return;
        }
        let Some(ready) = ready(&parcel.source, settings.meta) else { return };
        let due = Due { namespace: Arc::clone(&name), callback: callback.cloned(), read };
        let (number, forgotten) = self.acks.get_or_insert_default().expect(out.link.now(), due);
        counter!(meter::ACKS, "result" => "forgotten").increment(forgotten as u64);
        for packet in packet::event(out.wire.version, &name, Some(number), &ready.array, &ready.binary) {
            out.send(packet);
        }
    }

    /// What the user has missed, or the store is away.
    pub(super) fn attending(&mut self, out: &mut Out<'_>, missed: Result<Vec<Missed>, String>) {
        match missed {
            Ok(missed) => {
                self.replay = Some(Box::new(Replay::new(missed)));
                self.replay(out);
            }
            // What is new comes by way of the same store, so holding it back costs nothing.
            Err(_) => self.retry_at = out.link.now() + RETRY,
        }
    }

    /// Sends of the backlog what the client can take; when it was all of it, messages flow.
    pub(crate) fn replay(&mut self, out: &mut Out<'_>) {
        loop {
            let Some(replay) = &mut self.replay else { return };
            match replay.next(out.waiting()) {
                Next::Send(parcel) => self.deliver(out, &parcel, None),
                Next::Wait => return out.link.when_drained(),
                Next::Done(shown) => {
                    self.replay = None;
                    return out.link.live(&shown);
                }
            }
        }
    }

    // === Proofs ===

    fn follow_up(&mut self, out: &Out<'_>, id: &Arc<str>) {
        let polls = !out.link.has(Socket::Main);
        let at = match out.wire.version {
            // The next GET is the proof; nothing needs to be asked.
            Version::V3 if polls => NEVER,
            _ => {
                // Not all sessions at the same moment.
                let spread = u64::from(out.link.key().slot % 16) * 16;
                let after = u64::try_from(out.site.settings.read_after.as_millis()).unwrap_or(NEVER / 4);
                out.link.now() + after + spread
            }
        };
        if !self.proof.get_or_insert_default().wrote(Arc::clone(id), at) {
            counter!(meter::PROVEN, "result" => "too many").increment(1);
        }
    }

    /// Is there something to prove by a heartbeat (version 4)?
    pub(crate) fn unproven(&self, now: u64) -> bool {
        self.proof.as_ref().is_some_and(|proof| proof.at <= now && proof.can_ask())
    }

    /// A heartbeat was written (version 4).
    pub(crate) fn pinged(&mut self, now: u64) {
        if let Some(proof) = &mut self.proof {
            proof.ask(now, None);
        }
    }

    /// It was answered.
    pub(crate) fn ponged(&mut self, out: &mut Out<'_>) {
        self.proven(out);
    }

    /// A GET took what waited.
    pub(crate) fn carried(&mut self, version: Version) {
        if version == Version::V3
            && let Some(proof) = &mut self.proof
        {
            proof.ask(0, None);
        }
    }

    /// The next GET came.
    pub(crate) fn fetched(&mut self, out: &mut Out<'_>) {
        if out.wire.version == Version::V3 {
            self.proven(out);
        }
    }

    /// Asks by a WebSocket ping, or looks for its answer (version 3).
    pub(crate) fn look(&mut self, out: &mut Out<'_>) {
        let Some(proof) = &mut self.proof else { return };
        if out.wire.version != Version::V3 || !out.link.has(Socket::Main) {
            return;
        }
        let now = out.link.now();
        if proof.answered(out.link.answered(), now) {
            return self.proven(out);
        }
        if proof.at <= now && proof.can_ask() {
            let number = out.link.ping();
            proof.ask(now, Some(number).filter(|number| *number > 0));
        }
    }

    fn proven(&mut self, out: &mut Out<'_>) {
        let Some(proof) = &mut self.proof else { return };
        let ids = proof.proven(out.link.now());
        if proof.is_empty() {
            self.proof = None;
        }
        self.mark_proven(out, ids);
    }
}
