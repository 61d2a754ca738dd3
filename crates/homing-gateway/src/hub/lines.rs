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
    /// The earliest place of sessions that came live before the bus had brought anything, while others were still held.
    floor: Option<Position>,
    /// It is being shown at this moment; `last` follows when that is done.
    showing: Option<Position>,
    behind: Option<Behind>,
    /// A session has come that stands in another life of the stream than the shard; the next answer says which is over.
    stray: bool,
}

#[derive(Debug, Default)]
struct Behind {
    /// The newest that came meanwhile.
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
    /// The stream began anew: who is held, or ahead, cannot know from what comes now whether it has missed something.
    pub(super) anew: bool,
}

impl Line {
    /// Everything up to here was shown to all who are live.
    pub(super) fn last(&self) -> Option<Position> {
        self.last
    }

    /// Where to look for what may be missing.
    pub(super) fn place(&self) -> Option<Position> {
        self.last.or(self.floor)
    }

    /// A message with this place came.
    pub(super) fn offer(&mut self, at: Position) -> Turn {
        if let Some(behind) = &mut self.behind {
            if !behind.newest.is_some_and(|newest| not_after(at, newest)) {
                behind.newest = Some(at);
            }
            return Turn::Drop;
        }
        if let (None, Some(floor)) = (self.last, self.floor)
            && !not_after(at, floor)
        {
            // Otherwise it is for those who are held; who is live knows that it has it.
            self.last = Some(floor);
        }
        match self.last {
            Some(last) if not_after(at, last) => Turn::Drop,
            Some(last) if !directly(last, at) => {
                self.behind = Some(Behind { newest: Some(at) });
                Turn::Ask(last)
            }
            _ => {
                self.showing = Some(at);
                Turn::Show
            }
        }
    }

    /// It was shown to all.
    pub(super) fn shown(&mut self, at: Position) {
        self.showing = None;
        if !self.last.is_some_and(|last| not_after(at, last)) {
            self.last = Some(at);
        }
    }

    /// An answer has come, asked for or not.
    pub(super) fn caught_up(&mut self, whole: bool, top: Position) -> Caught {
        self.last = self.place();
        let Some(last) = self.last else { return Caught::default() };
        let stray = std::mem::take(&mut self.stray);
        if not_after(top, last) {
            return Caught { anew: stray, ..Caught::default() };
        }
        self.showing = Some(top);
        let anew = top.epoch != last.epoch;
        // What came of the earlier life is not newer than this one.
        if anew && let Some(behind) = &mut self.behind {
            behind.newest = behind.newest.filter(|newest| newest.epoch != last.epoch);
        }
        let after = whole.then_some(if anew { 0 } else { last.offset });
        Caught { after, broken: !whole, anew: anew || stray }
    }

    /// One message of an answer was shown to all; there may be more.
    pub(super) fn stepped(&mut self, at: Position) {
        if !self.last.is_some_and(|last| not_after(at, last)) {
            self.last = Some(at);
        }
    }

    /// All of the answer was shown: the shard is at `top`. Answers the place behind which it must ask again, if it must.
    pub(super) fn caught(&mut self, top: Position) -> Option<Position> {
        self.showing = None;
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

    /// A session is live in this stream and has shown everything up to `at`. `alone` = nobody else is in it.
    pub(super) fn joined(&mut self, at: Position, alone: bool) -> Joined {
        let place = match self.showing.or(self.last) {
            Some(place) => place,
            None if alone => {
                self.last = Some(at);
                return Joined::Level;
            }
            // Others may wait for what is on its way to be held for them: it is not to be dropped.
            None => match self.floor {
                Some(floor) if floor.epoch == at.epoch || floor.epoch == 0 || at.epoch == 0 => {
                    let at_first = at.epoch == 0 || (floor.epoch != 0 && at.offset < floor.offset);
                    self.floor = Some(if at_first { at } else { floor });
                    return Joined::Ahead;
                }
                Some(floor) => {
                    self.last = Some(floor);
                    floor
                }
                None => {
                    self.floor = Some(at);
                    return Joined::Ahead;
                }
            },
        };
        if place == at && self.showing.is_none() {
            return Joined::Level;
        }
        if place.epoch == at.epoch || place.epoch == 0 || directly(at, place) {
            return Joined::Ahead;
        }
        self.stray = true;
        if self.behind.is_some() {
            return Joined::Ahead;
        }
        self.behind = Some(Behind::default());
        // Where the shard will be when it has shown what it is showing.
        Joined::Ask(place)
    }
}

/// Where a session is that has just become live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Where the shard is.
    Level,
    /// Elsewhere: its place is to be kept.
    Ahead,
    /// So is this one, and what is behind this place is to be asked for.
    Ask(Position),
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

    /// The session has shown its backlog up to `shown`: what is to be shown now, in order, and where it then is; that is said
    /// to [`Line::joined`]. `last` is how far the shard is. A stream that is not among `shown` is shown as it came.
    pub(super) fn release(
        self,
        shown: &[(Stream, Position)],
        last: impl Fn(&Stream) -> Option<Position>,
    ) -> Result<(Vec<P>, Ahead), Broken> {
        let mut places: Ahead = shown.to_vec();
        let mut show = Vec::new();
        // Streams of which something of another life than the backlog's was held.
        let mut odd = Vec::new();
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
                            odd.push(stream);
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
                    // What was odd is from before this; the backlog is from after it.
                    odd.retain(|known| *known != stream);
                }
            }
        }
        if let Some(stream) = odd.pop() {
            return Err(Broken(stream));
        }
        // The shard is beyond what the session has seen, and nothing was held of it: it got lost.
        for (stream, place) in &places {
            if last(stream).is_some_and(|last| not_after(*place, last) && *place != last) {
                return Err(Broken(stream.clone()));
            }
        }
        Ok((show, places))
    }
}

/// What becomes of a message for a session that is, or was, ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is shown.
    Yes,
    /// It was shown.
    No,
    /// The session has missed what is before it.
    Gap,
}

/// May a session that is ahead be shown this? It is not ahead any more when the shard has reached it.
pub(super) fn admits(ahead: &mut Ahead, stream: &Stream, at: Position) -> Admitted {
    let Some(place) = ahead.iter().position(|(known, _)| known == stream) else { return Admitted::Yes };
    let Some((_, shown)) = ahead.get(place) else { return Admitted::Yes };
    if not_after(at, *shown) {
        return Admitted::No;
    }
    // Of another life: which of the two is over cannot be told here. It is rare, and an honest end is never wrong.
    let admitted = if directly(*shown, at) { Admitted::Yes } else { Admitted::Gap };
    ahead.swap_remove(place);
    admitted
}

/// The shard jumps to `top`: it could not catch up (`broken`), or the stream began anew. Does a session that is ahead go on?
/// It does where it is at `top` already, or will be by what follows in that life of the stream.
pub(super) fn goes_on(ahead: &mut Ahead, stream: &Stream, top: Position, broken: bool) -> bool {
    let Some(place) = ahead.iter().position(|(known, _)| known == stream) else { return !broken };
    let goes_on =
        ahead.get(place).is_some_and(|(_, shown)| not_after(top, *shown) || (!broken && shown.epoch == top.epoch));
    if !goes_on {
        ahead.swap_remove(place);
    }
    goes_on
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
