//! In what order a stream's messages are shown. Pure: no sockets, no sessions.
//!
//! A shard keeps a [`Line`] per stream that somebody here follows: how far it is. What comes next in its turn is shown,
//! what came before is dropped, and a gap makes the shard ask for what it missed; meanwhile nothing with a place is shown.
//! A session that has just come is [`Held`] until it has shown its backlog. Then it may be *ahead* of the shard
//! ([`Ahead`]): it has shown what the bus has still to bring.
//!
//! So a session is shown no place twice, none out of order, and where one is left out it is told ([`Broken`]).

use homing_core::live::{Position, Stream};

/// Is `next` the one behind `last`? A stream that has never held a message stands at epoch 0.
fn directly(last: Position, next: Position) -> bool {
    next.offset == last.offset + 1 && (next.epoch == last.epoch || last.epoch == 0)
}

fn not_after(place: Position, last: Position) -> bool {
    place.epoch == last.epoch && place.offset <= last.offset
}

/// How far a shard is in a stream.
#[derive(Debug, Default)]
pub(super) struct Line {
    last: Option<Position>,
    /// It is being shown at this moment; `last` follows when that is done.
    showing: bool,
    behind: Option<Behind>,
}

#[derive(Debug, Default)]
struct Behind {
    /// The latest that came meanwhile.
    newest: Option<Position>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is shown; then [`Line::shown`] is said.
    Show,
    /// It was shown, or comes with what is asked for.
    Drop,
    /// So is this one, and what is behind this place is to be asked for.
    Ask(Position),
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Caught {
    /// Messages behind this offset are shown, each by [`Line::shown`]; `None` = none of them.
    pub(super) after: Option<u64>,
    /// Sessions that are not at `top` yet are broken off.
    pub(super) broken: bool,
    /// The stream began anew: a held session cannot know from what comes now whether it has missed something.
    pub(super) anew: bool,
}

impl Line {
    pub(super) fn last(&self) -> Option<Position> {
        self.last
    }

    /// A message with this place came.
    pub(super) fn offer(&mut self, at: Position) -> Turn {
        if let Some(behind) = &mut self.behind {
            behind.newest = Some(at);
            return Turn::Drop;
        }
        match self.last {
            Some(last) if not_after(at, last) => Turn::Drop,
            Some(last) if !directly(last, at) => {
                self.behind = Some(Behind { newest: Some(at) });
                Turn::Ask(last)
            }
            _ => {
                self.showing = true;
                Turn::Show
            }
        }
    }

    /// It was shown to all.
    pub(super) fn shown(&mut self, at: Position) {
        self.showing = false;
        if !self.last.is_some_and(|last| not_after(at, last)) {
            self.last = Some(at);
        }
    }

    /// An answer has come, asked for or not.
    pub(super) fn caught_up(&mut self, whole: bool, top: Position) -> Caught {
        let Some(last) = self.last else { return Caught::default() };
        if not_after(top, last) {
            return Caught::default();
        }
        self.showing = true;
        let anew = top.epoch != last.epoch && last.epoch != 0;
        let after = whole.then_some(if anew { 0 } else { last.offset });
        Caught { after, broken: !whole, anew }
    }

    /// One message of an answer was shown to all; there may be more.
    pub(super) fn stepped(&mut self, at: Position) {
        if !self.last.is_some_and(|last| not_after(at, last)) {
            self.last = Some(at);
        }
    }

    /// All of the answer was shown: the shard is at `top`. Answers the place behind which it must ask again, if it must.
    pub(super) fn caught(&mut self, top: Position) -> Option<Position> {
        self.showing = false;
        let newest = self.behind.take().and_then(|behind| behind.newest);
        let Some(last) = &mut self.last else { return None };
        if !not_after(top, *last) {
            *last = top;
        }
        let last = *last;
        if newest.is_some_and(|newest| !not_after(newest, last)) {
            self.behind = Some(Behind::default());
            return Some(last);
        }
        None
    }

    /// A session is live in this stream and has shown everything up to `at`. True = the session is ahead of the shard.
    pub(super) fn joined(&mut self, at: Position) -> bool {
        match self.last {
            None => {
                self.last = Some(at);
                self.showing
            }
            Some(last) => self.showing || last != at,
        }
    }
}

/// What is held back for a session, of whatever kind `P`.
#[derive(Debug)]
pub(super) struct Held<P> {
    entries: Vec<Entry<P>>,
}

#[derive(Debug)]
enum Entry<P> {
    /// Something to show, with its place if it has one.
    Show(P, Option<(Stream, Position)>),
    /// Whoever is not at this place by now has missed something.
    Gap(Stream, Position),
}

/// A session has missed something of this stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) Stream);

/// A session's places where it is ahead of its shard.
pub(super) type Ahead = Vec<(Stream, Position)>;

impl<P> Default for Held<P> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<P> Held<P> {
    pub(super) fn show(&mut self, what: P, place: Option<(Stream, Position)>) {
        self.entries.push(Entry::Show(what, place));
    }

    pub(super) fn gap(&mut self, stream: &Stream, top: Position) {
        self.entries.push(Entry::Gap(stream.clone(), top));
    }

    /// The session has shown its backlog up to `shown`: what is to be shown now, in order, and where it then is. `last` is
    /// how far the shard is. A stream that is not among `shown` is shown as it came.
    pub(super) fn release(
        self,
        shown: &[(Stream, Position)],
        last: impl Fn(&Stream) -> Option<Position>,
    ) -> Result<(Vec<P>, Ahead), Broken> {
        let mut places: Ahead = shown.to_vec();
        let mut show = Vec::new();
        for entry in self.entries {
            match entry {
                Entry::Show(what, None) => show.push(what),
                Entry::Show(what, Some((stream, at))) => {
                    if let Some((_, place)) = places.iter_mut().find(|(known, _)| *known == stream) {
                        if not_after(at, *place) {
                            continue;
                        }
                        if directly(*place, at) {
                            *place = at;
                        } else if at.epoch == place.epoch || place.epoch == 0 {
                            return Err(Broken(stream));
                        } else {
                            // From before the stream began anew; the backlog is from after. A change in the other
                            // direction has left a gap here.
                            continue;
                        }
                    }
                    show.push(what);
                }
                Entry::Gap(stream, top) => {
                    let place = places.iter().find(|(known, _)| *known == stream).map(|(_, place)| *place);
                    if !place.is_some_and(|place| not_after(top, place)) {
                        return Err(Broken(stream));
                    }
                }
            }
        }
        // The shard is beyond what the session has seen, and nothing was held of it: it got lost.
        for (stream, place) in &places {
            let lost =
                |last: Position| not_after(*place, last) && *place != last || place.epoch == 0 && last.offset > 0;
            if last(stream).is_some_and(lost) {
                return Err(Broken(stream.clone()));
            }
        }
        Ok((show, places))
    }
}

/// May a session that is ahead be shown this? It forgets that it was ahead when the shard has reached it.
pub(super) fn admits(ahead: &mut Ahead, stream: &Stream, at: Position) -> bool {
    let Some(place) = ahead.iter().position(|(known, _)| known == stream) else { return true };
    let Some((_, shown)) = ahead.get(place) else { return true };
    if at.epoch == shown.epoch && at.offset > shown.offset || directly(*shown, at) {
        ahead.swap_remove(place);
        return true;
    }
    false
}

/// A shard could not catch up, or the stream began anew, and it is at `top` now. False = the session has missed something
/// if the shard has.
pub(super) fn is_past(ahead: &Ahead, stream: &Stream, top: Position) -> bool {
    ahead.iter().any(|(known, shown)| known == stream && not_after(top, *shown))
}

/// The stream began anew at `top`: whoever was ahead of its earlier life is not any more.
pub(super) fn forget(ahead: &mut Ahead, stream: &Stream, top: Position) {
    ahead.retain(|(known, shown)| known != stream || shown.epoch == top.epoch);
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
