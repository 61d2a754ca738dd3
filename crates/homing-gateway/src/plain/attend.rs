//! What a session follows, and how it comes to follow it without a gap.

use std::sync::Arc;

use homing_core::live::{Position, Stream};

use super::{
    frames,
    session::{PlainSession, State, millis},
    settings::{Settings, Subscribe},
};
use crate::{
    desk::{Ask, Missed},
    replay::{Next, Replay},
    session::{Link, Socket, code},
    topic::Topic,
};

impl PlainSession {
    /// Follows these streams, and asks what was missed.
    pub(super) fn attend(&mut self, link: &mut dyn Link, streams: Vec<(Stream, Option<Position>)>, first: bool) {
        let from = self.streams.len();
        link.hold();
        for (stream, _) in &streams {
            link.join(Topic::Stream(stream.clone()));
            self.streams.push((stream.clone(), 0));
        }
        self.state = State::Attending { first, from };
        link.ask(Ask::Attend { user: self.user.clone(), streams });
    }

    pub(super) fn attending(&mut self, link: &mut dyn Link, missed: Result<Vec<Missed>, String>) {
        let State::Attending { first, from } = self.state else { return };
        let mut missed = match missed {
            Ok(missed) => missed,
            Err(why) if first => return self.close(link, code::FULL, why),
            Err(why) => {
                for (stream, _) in self.streams.drain(from.min(self.streams.len())..) {
                    link.leave(&Topic::Stream(stream));
                }
                link.write(Socket::Main, &frames::error("group", &why));
                Vec::new()
            }
        };
        // Some may have been unsubscribed meanwhile.
        missed.retain(|one| self.streams.iter().any(|(stream, _)| *stream == one.stream));
        for one in &missed {
            if let Some((_, epoch)) = self.streams.iter_mut().find(|(stream, _)| *stream == one.stream) {
                *epoch = one.top.epoch;
            }
        }
        let Settings { hello, bare, ping_interval, .. } = *self.settings();
        if first && hello && !bare {
            let key = link.key();
            let session = format!("{}-{}-{}", key.shard, key.slot, key.generation);
            let frame = frames::connected(self.user.as_deref(), &session, &missed, millis(ping_interval));
            link.write(Socket::Main, &frame);
        } else if !first && !missed.is_empty() {
            link.write(Socket::Main, &frames::subscribed(&missed));
        }
        self.rare().replay = Some(Replay::new(missed));
        self.replay(link);
    }

    /// Sends of the backlog what the client can take; when it was all of it, messages flow.
    pub(super) fn replay(&mut self, link: &mut dyn Link) {
        let mut shown = loop {
            let Some(replay) = self.rare.as_mut().and_then(|rare| rare.replay.as_mut()) else { return };
            match replay.next(link.waiting()) {
                Next::Send(parcel) => {
                    link.send(&parcel);
                }
                Next::Wait => return link.when_drained(),
                Next::Done(shown) => break shown,
            }
        };
        let rare = self.rare.as_deref_mut();
        let (mut before, joining) =
            rare.map(|rare| (std::mem::take(&mut rare.shown), std::mem::take(&mut rare.joining))).unwrap_or_default();
        if let Some(rare) = &mut self.rare {
            rare.replay = None;
        }
        shown.append(&mut before);
        if joining.is_empty() {
            // Of what was left meanwhile nothing is held.
            shown.retain(|(stream, _)| self.streams.iter().any(|(own, _)| own == stream));
            link.live(&shown);
            link.direct(self.knows_all());
            self.state = State::Live;
        } else {
            // What is held back stays so: it is released with all places, once.
            self.rare().shown = shown;
            self.attend(link, joining, false);
        }
        self.tidy();
    }

    pub(super) fn subscribe(&mut self, link: &mut dyn Link, group: Arc<str>, at: Option<Position>) {
        let allowed = match self.settings().subscribe {
            Subscribe::None => false,
            Subscribe::Any => true,
            Subscribe::Claimed => self.rare.as_ref().is_some_and(|rare| rare.claimed.contains(&group)),
        };
        if !allowed {
            return self.fault(link, "group", "may not be followed");
        }
        let stream = Stream::Group(group);
        let joining = self.rare.as_ref().map(|rare| &*rare.joining).unwrap_or_default();
        let known = |own: &Stream| *own == stream;
        if self.streams.iter().any(|(own, _)| known(own)) || joining.iter().any(|(own, _)| known(own)) {
            return link.write(Socket::Main, &frames::error("group", "is followed already"));
        }
        let groups = self.streams.iter().filter(|(own, _)| matches!(own, Stream::Group(_))).count() + joining.len();
        if groups >= self.settings().max_groups {
            return self.fault(link, "group", "too many are followed");
        }
        if matches!(self.state, State::Live) {
            self.attend(link, vec![(stream, at)], false);
        } else {
            self.rare().joining.push((stream, at));
        }
    }

    pub(super) fn unsubscribe(&mut self, link: &mut dyn Link, group: Arc<str>) {
        if self.settings().subscribe == Subscribe::None {
            return self.fault(link, "group", "may not be left");
        }
        let stream = Stream::Group(group);
        if let Some(place) = self.streams.iter().position(|(own, _)| *own == stream) {
            self.streams.remove(place);
            if let State::Attending { from, .. } = &mut self.state
                && place < *from
            {
                *from -= 1;
            }
            link.leave(&Topic::Stream(stream.clone()));
        } else if let Some(rare) = &mut self.rare {
            rare.joining.retain(|(own, _)| *own != stream);
        }
        let Stream::Group(group) = stream else { return };
        link.write(Socket::Main, &frames::unsubscribed(&group));
    }
}
