//! A session of the plain WebSocket.
//!
//! ```text
//! Fresh ──open──▶ Asking ──verdict──▶ Attending ──missed──▶ Live
//!   └─▶ Waiting ──login──▶ ┘
//! ```
//!
//! There may be very many of these: what few need is boxed.

use std::{sync::Arc, time::Duration};

use homing_core::{
    clock::{Clock, Millis},
    live::{Marks, Position, Stream},
};

use super::{
    client::{Frame, Resume, Unknown},
    frames,
    marks::Reading,
    meter,
    settings::Settings,
};
use crate::{
    desk::{Ask, Callback, Reply},
    identity::{Authenticate, Credentials, Identity, Verdict},
    parcel::{Dialect, Parcel, Payload, Source},
    replay::Replay,
    session::{Close, Link, Session, Socket, code},
};

/// An offset beyond all others that any store can hold: 2^53 - 1.
const EVERYTHING: u64 = (1 << 53) - 1;
/// Most JSON-RPC requests under way.
const MOST_CALLS: u8 = 8;
/// A wake-up is never asked for sooner.
const SHORTEST: Duration = Duration::from_millis(100);

/// What all sessions have in common.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) auth: Arc<dyn Authenticate>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What came with the request.
pub(super) struct Opening {
    pub(super) credentials: Credentials,
    pub(super) verdict: Option<Verdict>,
    pub(super) resume: Resume,
}

/// See the module.
pub(super) struct PlainSession {
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
    pub(super) user: Option<Arc<str>>,
    /// What it follows, and in which life of the stream it was shown it.
    pub(super) streams: Vec<(Stream, u32)>,
    /// When the token ends.
    pub(super) expires_at: Option<Millis>,
    /// When it was last pinged, by the link's clock; 0 = never.
    pub(super) pinged_at: u64,
    /// Frames in the second that began then.
    pub(super) second: u64,
    pub(super) frames: u16,
    pub(super) faults: u8,
    pub(super) calls: u8,
    pub(super) rare: Option<Box<Rare>>,
}

pub(super) enum State {
    /// Not open yet.
    Fresh(Box<Opening>),
    /// A login is awaited.
    Waiting(Box<Waiting>),
    /// The node looks up who it is. `answer` = a login frame wants to know.
    Asking { resume: Box<Resume>, answer: bool },
    /// The node looks up what was missed; `first` = since the beginning, else of the streams from the `from`th on, groups
    /// that came later.
    Attending { first: bool, from: usize },
    /// Messages flow.
    Live,
    /// Closed.
    Over,
}

pub(super) struct Waiting {
    pub(super) until: u64,
    /// Known already, and only the frame is awaited.
    pub(super) identity: Option<Identity>,
    pub(super) resume: Resume,
}

/// What few sessions need.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) reading: Reading,
    /// Groups that are to be followed next.
    pub(super) joining: Vec<(Stream, Option<Position>)>,
    /// Places that were shown, while more is asked for.
    pub(super) shown: Vec<(Stream, Position)>,
    /// What was missed, as far as it was not sent yet.
    pub(super) replay: Option<Replay>,
    /// Groups of the token.
    pub(super) claimed: Vec<Arc<str>>,
    /// A new token is being looked up.
    pub(super) renewing: bool,
}

impl PlainSession {
    pub(super) fn new(shared: Arc<Shared>, opening: Opening) -> Self {
        Self {
            shared,
            state: State::Fresh(Box::new(opening)),
            user: None,
            streams: Vec::new(),
            expires_at: None,
            pinged_at: 0,
            second: 0,
            frames: 0,
            faults: 0,
            calls: 0,
            rare: None,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn close(&mut self, link: &mut dyn Link, code: u16, reason: impl Into<String>) {
        metrics::counter!(meter::CLOSED, "code" => code.to_string()).increment(1);
        self.state = State::Over;
        link.wake_after(None);
        link.close(Close::new(code, reason));
    }

    /// Something that was not understood, or is not allowed.
    pub(super) fn fault(&mut self, link: &mut dyn Link, field: &str, message: &str) {
        self.faults = self.faults.saturating_add(1);
        if self.faults > self.settings().max_faults {
            return self.close(link, code::POLICY, "too many frames that cannot be understood");
        }
        link.write(Socket::Main, &frames::error(field, message));
    }

    pub(super) fn frame(&mut self, link: &mut dyn Link, text: &str) {
        let frame = Frame::read(text);
        let kind = frame.as_ref().map_or("unknown", Frame::kind);
        metrics::counter!(meter::FRAMES, "kind" => kind).increment(1);
        let frame = match frame {
            Ok(frame) => frame,
            Err(Unknown { field, message }) => return self.fault(link, field, &message),
        };
        match frame {
            Frame::Ping(answer) => return link.write(Socket::Main, &frames::text(answer)),
            Frame::Pong => return,
            Frame::Login { token, resume } => return self.login(link, token, resume),
            _ => {}
        }
        if !matches!(self.state, State::Live | State::Attending { .. }) {
            return self.fault(link, "msg_type", "a login is needed first");
        }
        match frame {
            Frame::Ack(ids) => self.read(link, |reading| reading.ids(ids)),
            Frame::ReadAll(up_to) => {
                let places: Vec<Marks> = if up_to.is_empty() {
                    let all = |(stream, epoch): &(Stream, u32)| {
                        Marks::UpTo(stream.clone(), Position { epoch: *epoch, offset: EVERYTHING })
                    };
                    // A user's may have been empty always, and there may be a history from before it.
                    let any = |(stream, epoch): &&(Stream, u32)| *epoch != 0 || matches!(stream, Stream::User(_));
                    self.streams.iter().filter(any).map(all).collect()
                } else {
                    let follows = |stream: &Stream| self.streams.iter().any(|(own, _)| own == stream);
                    up_to.into_iter().filter(|(s, _)| follows(s)).map(|(s, at)| Marks::UpTo(s, at)).collect()
                };
                self.read(link, |reading| places.into_iter().all(|place| reading.up_to(place)));
            }
            Frame::Subscribe { group, at } => self.subscribe(link, group, at),
            Frame::Unsubscribe(group) => self.unsubscribe(link, group),
            Frame::Rpc => self.rpc(link, text),
            Frame::Ping(_) | Frame::Pong | Frame::Login { .. } => {}
        }
    }

    pub(super) fn read(&mut self, link: &mut dyn Link, take: impl FnOnce(&mut Reading) -> bool) {
        if self.user.is_none() {
            return self.fault(link, "msg_type", "only users can have read something");
        }
        if !take(&mut self.rare().reading) {
            return self.fault(link, "ids", "too many wait for their answer");
        }
        self.mark(link);
    }

    /// Asks the next thing that waits.
    pub(super) fn mark(&mut self, link: &mut dyn Link) {
        let (Some(user), Some(rare)) = (&self.user, &mut self.rare) else { return };
        if let Some(marks) = rare.reading.next() {
            let streams = self.streams.iter().map(|(stream, _)| stream.clone()).collect();
            link.ask(Ask::Mark { user: Arc::clone(user), streams, marks });
        }
        self.tidy();
    }

    pub(super) fn marked(&mut self, link: &mut dyn Link, marked: Result<Vec<Arc<str>>, String>) {
        let Some((ids, stream)) = self.rare.as_mut().and_then(|rare| rare.reading.answered()) else { return };
        match (marked, stream) {
            // What was named is answered by the same names, whether it was unread or not.
            (Ok(_), None) => link.write(Socket::Main, &frames::acked(&ids, None)),
            (Ok(ids), Some(stream)) => link.write(Socket::Main, &frames::acked(&ids, Some(&stream))),
            (Err(why), _) => link.write(Socket::Main, &frames::error("ids", &why)),
        }
        self.mark(link);
    }

    pub(super) fn rpc(&mut self, link: &mut dyn Link, text: &str) {
        if !self.settings().rpc {
            return self.fault(link, "jsonrpc", "is not answered here");
        }
        if self.calls >= MOST_CALLS {
            return self.fault(link, "jsonrpc", "too many requests wait for their answer");
        }
        self.calls += 1;
        link.ask(Ask::Rpc { user: self.user.clone(), text: text.to_owned() });
    }

    pub(super) fn ends(&self, at: Millis) -> bool {
        self.settings().close_on_expiry && at <= self.shared.clock.now()
    }

    /// Are the lives of all its streams known? Of one that was empty it is seen at the first message, which therefore must
    /// come through here.
    pub(super) fn knows_all(&self) -> bool {
        self.streams.iter().all(|(_, epoch)| *epoch != 0)
    }

    /// Is there a ping behind which nothing was heard?
    pub(super) fn is_owed(&self, link: &dyn Link) -> bool {
        self.pinged_at > link.heard()
    }

    /// Asks to be woken for whatever comes first.
    pub(super) fn sleep(&self, link: &mut dyn Link) {
        let Settings { ping_interval, ping_timeout, close_on_expiry, .. } = *self.settings();
        let now = link.now();
        let mut next = if self.is_owed(link) {
            self.pinged_at.saturating_add(millis(ping_timeout))
        } else {
            link.heard().max(self.pinged_at).saturating_add(millis(ping_interval))
        };
        if let State::Waiting(waiting) = &self.state {
            next = next.min(waiting.until);
        }
        if let (Some(at), true) = (self.expires_at, close_on_expiry) {
            let left = at.saturating_sub(self.shared.clock.now());
            next = next.min(now.saturating_add(u64::try_from(left).unwrap_or(0)));
        }
        let left = Duration::from_millis(next.saturating_sub(now));
        link.wake_after(Some(left.max(SHORTEST)));
    }

    /// Gives back what is not needed any more.
    pub(super) fn tidy(&mut self) {
        let idle = |rare: &Rare| {
            rare.reading.is_idle()
                && rare.joining.is_empty()
                && rare.shown.is_empty()
                && rare.replay.is_none()
                && rare.claimed.is_empty()
                && !rare.renewing
        };
        if self.rare.as_deref().is_some_and(idle) {
            self.rare = None;
        }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Session for PlainSession {
    fn dialect(&self) -> Dialect {
        Dialect::Plain
    }

    fn open(&mut self, link: &mut dyn Link) {
        self.second = link.now();
        let State::Fresh(opening) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Opening { credentials, verdict, resume } = *opening;
        match verdict.or_else(|| self.shared.auth.check(&credentials)) {
            Some(verdict) => self.judged(link, verdict, resume, false),
            None => {
                self.state = State::Asking { resume: Box::new(resume), answer: false };
                link.ask(Ask::Identify(credentials));
                self.sleep(link);
            }
        }
    }

    fn message(&mut self, link: &mut dyn Link, _: Socket, payload: Payload) {
        if matches!(self.state, State::Over) {
            return;
        }
        let now = link.now();
        if now.saturating_sub(self.second) >= 1_000 {
            (self.second, self.frames) = (now, 0);
        }
        self.frames = self.frames.saturating_add(1);
        if self.frames > self.settings().rate {
            return self.close(link, code::POLICY, "too many frames in a second");
        }
        let text = match payload {
            Payload::Text(text) if text.len() > self.settings().max_frame => {
                return self.close(link, code::TOO_BIG, "the frame is too long");
            }
            Payload::Text(text) => text,
            Payload::Binary(_) => return self.fault(link, "frame", "expected text, not binary"),
        };
        match std::str::from_utf8(&text) {
            Ok(text) => self.frame(link, text),
            Err(_) => self.close(link, code::NOT_TEXT, "the frame is no UTF-8"),
        }
    }

    fn lost(&mut self, _: &mut dyn Link, _: Socket) -> bool {
        self.state = State::Over;
        false
    }

    fn deliver(&mut self, link: &mut dyn Link, parcel: &Arc<Parcel>, _: Option<&Arc<Callback>>) {
        if matches!(self.state, State::Over) {
            return;
        }
        link.send(parcel);
        if let Source::Message { stream, at: Some(at), .. } = &parcel.source
            && let Some((_, epoch)) = self.streams.iter_mut().find(|(own, _)| own == stream)
            && *epoch == 0
        {
            *epoch = at.epoch;
            if matches!(self.state, State::Live) {
                link.direct(self.knows_all());
            }
        }
    }

    fn drained(&mut self, link: &mut dyn Link) {
        if !matches!(self.state, State::Over) {
            self.replay(link);
        }
    }

    fn wake(&mut self, link: &mut dyn Link) {
        let now = link.now();
        match &self.state {
            State::Over => return,
            State::Waiting(waiting) if waiting.until <= now => {
                return self.close(link, code::UNAUTHORIZED, "no login came");
            }
            _ => {}
        }
        if self.expires_at.is_some_and(|at| self.ends(at)) {
            return self.close(link, code::EXPIRED, "the token has ended");
        }
        if self.is_owed(link) {
            if self.pinged_at.saturating_add(millis(self.settings().ping_timeout)) <= now {
                return self.close(link, code::SILENT, "no answer to a ping");
            }
        } else if link.heard().max(self.pinged_at).saturating_add(millis(self.settings().ping_interval)) <= now {
            link.ping();
            self.pinged_at = now;
        }
        self.sleep(link);
    }

    fn reply(&mut self, link: &mut dyn Link, reply: Reply) {
        match reply {
            Reply::Verdict(verdict) => match &mut self.state {
                State::Asking { resume, answer } => {
                    let (resume, answer) = (std::mem::take(&mut **resume), *answer);
                    self.judged(link, verdict, resume, answer);
                }
                State::Attending { .. } | State::Live => {
                    self.rare().renewing = false;
                    self.renewed(link, verdict);
                    self.tidy();
                }
                _ => {}
            },
            Reply::Attending(missed) => self.attending(link, missed),
            Reply::Marked(marked) if !matches!(self.state, State::Over) => self.marked(link, marked),
            Reply::Rpc(answer) if !matches!(self.state, State::Over) => {
                self.calls = self.calls.saturating_sub(1);
                if let Some(answer) = answer {
                    link.write(Socket::Main, &frames::text(answer.get()));
                }
            }
            Reply::Marked(_) | Reply::Rpc(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
