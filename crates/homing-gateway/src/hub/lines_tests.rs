#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

fn at(epoch: u32, offset: u64) -> Position {
    Position { epoch, offset }
}

fn stream() -> Stream {
    Stream::User("42".into())
}

/// Offers and, if it is its turn, shows.
fn offer(line: &mut Line, place: Position) -> Turn {
    let turn = line.offer(place);
    if turn == Turn::Show {
        line.shown(place);
    }
    turn
}

#[test]
fn a_line_shows_what_is_next_and_asks_once_for_what_is_missing() {
    let mut line = Line::default();
    assert_eq!(offer(&mut line, at(1, 7)), Turn::Show);
    assert_eq!(offer(&mut line, at(1, 7)), Turn::Drop);
    assert_eq!(offer(&mut line, at(1, 8)), Turn::Show);
    assert_eq!(offer(&mut line, at(1, 11)), Turn::Ask(at(1, 8)));
    assert_eq!(offer(&mut line, at(1, 9)), Turn::Drop);
    assert_eq!(line.caught_up(true, at(1, 10)), Caught { after: Some(8), broken: false, anew: false });
    assert_eq!(line.caught(at(1, 10)), Some(at(1, 10)), "11 has come meanwhile");
    assert_eq!(line.caught_up(true, at(1, 11)), Caught { after: Some(10), broken: false, anew: false });
    assert_eq!(line.caught(at(1, 11)), None);
    assert_eq!(offer(&mut line, at(1, 12)), Turn::Show);
    // What nobody asked for, and what is old.
    assert_eq!(line.caught_up(false, at(1, 12)), Caught::default());
    assert_eq!(line.caught(at(1, 12)), None);
    assert_eq!(line.last(), Some(at(1, 12)));
}

#[test]
fn another_epoch_is_a_gap_but_the_first_message_of_all_is_none() {
    let mut line = Line::default();
    assert_eq!(line.joined(at(0, 0), true), Joined::Level);
    assert_eq!(offer(&mut line, at(9, 1)), Turn::Show);
    assert_eq!(offer(&mut line, at(10, 2)), Turn::Ask(at(9, 1)));
    assert_eq!(line.caught_up(false, at(10, 2)), Caught { after: None, broken: true, anew: true });
    assert_eq!(line.caught(at(10, 2)), None);
    assert_eq!(offer(&mut line, at(10, 3)), Turn::Show);
    let mut line = Line::default();
    line.joined(at(0, 0), true);
    assert_eq!(offer(&mut line, at(9, 2)), Turn::Ask(at(0, 0)));
    assert_eq!(line.caught_up(true, at(9, 2)), Caught { after: Some(0), broken: false, anew: true });
    assert_eq!(line.caught(at(9, 2)), None);
    // A late message of the former life, during a catch-up, asks for nothing.
    assert_eq!(offer(&mut line, at(9, 4)), Turn::Ask(at(9, 2)));
    assert_eq!(line.caught_up(false, at(11, 1)), Caught { after: None, broken: true, anew: true });
    assert_eq!(line.caught(at(11, 1)), None);
}

fn held(places: &[Option<Position>]) -> Held<usize> {
    let mut held = Held::default();
    for (number, place) in places.iter().enumerate() {
        held.show(number, place.map(|place| (stream(), place)));
    }
    held
}

#[track_caller]
fn check(held: Held<usize>, shown: Position, last: Option<Position>, wanted: Option<&[usize]>) {
    let released = held.release(&[(stream(), shown)], |_| last);
    assert_eq!(released.ok().map(|(show, _)| show).as_deref(), wanted);
}

#[test]
fn what_was_held_follows_the_backlog_without_a_gap() {
    let places = [Some(at(1, 4)), None, Some(at(1, 5)), Some(at(1, 6))];
    let last = Some(at(1, 6));
    check(held(&places), at(1, 3), last, Some(&[0, 1, 2, 3]));
    check(held(&places), at(1, 5), last, Some(&[1, 3]));
    check(held(&places), at(1, 9), last, Some(&[1]));
    check(held(&places), at(1, 2), last, None);
    check(held(&[]), at(1, 5), last, None);
    check(held(&[]), at(1, 6), last, Some(&[]));
    check(held(&[]), at(1, 6), None, Some(&[]));
    check(held(&[Some(at(1, 1))]), at(0, 0), Some(at(1, 1)), Some(&[0]));
    // The backlog is of another life than what was held.
    check(held(&places), at(2, 1), last, None);
    let mut gap = held(&places);
    gap.gap(&stream(), at(2, 3));
    check(gap, at(1, 3), Some(at(2, 3)), None);
    let mut gap = held(&[Some(at(1, 6)), None]);
    gap.gap(&stream(), at(2, 3));
    gap.show(2, Some((stream(), at(2, 4))));
    check(gap, at(2, 3), Some(at(2, 4)), Some(&[1, 2]));
    // A stream of which the backlog says nothing.
    let released = held(&places).release(&[], |_| None).ok().map(|(show, _)| show);
    assert_eq!(released.unwrap(), [0, 1, 2, 3]);
}

#[test]
fn one_who_is_ahead_is_shown_nothing_twice() {
    let mut ahead = vec![(stream(), at(1, 5))];
    assert_eq!(admits(&mut ahead, &stream(), at(1, 4)), Admitted::No);
    assert_eq!(admits(&mut ahead, &stream(), at(1, 5)), Admitted::No);
    assert_eq!(admits(&mut ahead, &Stream::Everyone, at(1, 5)), Admitted::Yes);
    assert!(goes_on(&mut ahead, &stream(), at(1, 5), true) && goes_on(&mut ahead, &stream(), at(1, 6), false));
    assert!(!goes_on(&mut vec![(stream(), at(1, 5))], &stream(), at(1, 6), true));
    assert_eq!(admits(&mut ahead, &stream(), at(1, 6)), Admitted::Yes);
    assert!(ahead.is_empty());
    assert_eq!(admits(&mut vec![(stream(), at(1, 5))], &stream(), at(1, 7)), Admitted::Gap);
    let mut ahead = vec![(stream(), at(2, 5))];
    assert_eq!(admits(&mut ahead, &stream(), at(1, 60)), Admitted::Gap);
    let mut ahead = vec![(stream(), at(2, 5))];
    assert!(!goes_on(&mut ahead, &stream(), at(3, 1), false));
    assert!(ahead.is_empty());
    assert!(goes_on(&mut ahead, &stream(), at(3, 1), false) && !goes_on(&mut ahead, &stream(), at(3, 1), true));
}

#[test]
fn a_session_of_another_life_makes_the_shard_ask() {
    // The stream was lost and holds nothing now; the shard has not heard of it.
    let mut line = Line::default();
    offer(&mut line, at(5, 9));
    assert_eq!(line.joined(at(0, 0), true), Joined::Ask(at(5, 9)));
    assert_eq!(line.caught_up(false, at(0, 0)), Caught { after: None, broken: true, anew: true });
    assert_eq!(line.caught(at(0, 0)), None);
    assert!(goes_on(&mut vec![(stream(), at(0, 0))], &stream(), at(0, 0), true));
    // Or it is the session that was told of an earlier life.
    offer(&mut line, at(6, 1));
    assert_eq!(line.joined(at(5, 9), true), Joined::Ask(at(6, 1)));
    assert_eq!(line.joined(at(5, 9), true), Joined::Ahead);
    assert_eq!(line.caught_up(true, at(6, 1)), Caught { after: None, broken: false, anew: true });
    assert_eq!(line.caught(at(6, 1)), None);
    assert!(!goes_on(&mut vec![(stream(), at(5, 9))], &stream(), at(6, 1), false));
}

#[test]
fn what_one_session_knows_is_not_dropped_for_one_that_is_held() {
    let mut line = Line::default();
    assert_eq!(line.joined(at(1, 2), false), Joined::Ahead);
    assert_eq!(line.joined(at(1, 4), false), Joined::Ahead);
    assert_eq!((line.last(), line.place()), (None, Some(at(1, 2))));
    assert_eq!(offer(&mut line, at(1, 1)), Turn::Show);
    assert_eq!(offer(&mut line, at(1, 2)), Turn::Show);
    assert_eq!(offer(&mut line, at(1, 2)), Turn::Drop);
    // And a gap behind what is known is found with the first message.
    let mut line = Line::default();
    line.joined(at(1, 4), false);
    line.joined(at(0, 0), false);
    assert_eq!(offer(&mut line, at(1, 2)), Turn::Ask(at(0, 0)));
}

// === A stream, a bus that loses, a shard and its sessions, in any order ===

#[derive(Debug, Clone)]
enum Step {
    /// A message is stored, and announced unless the bus loses it.
    Post { lost: bool },
    /// The bus brings the next announcement, or again the one before.
    Hear { again: bool },
    /// A broadcast that is under way ends, for the sessions that are left.
    Finish,
    /// The stream is lost; it begins anew with the next message.
    Wipe,
    /// A session comes and asks what it has missed.
    Join,
    /// Its answer is read from the store now.
    Read(usize),
    /// Its answer comes.
    Live(usize),
    /// The shard's question is answered; `whole` if that can be.
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<bool>().prop_map(|lost| Step::Post { lost }),
        4 => Just(Step::Post { lost: false }),
        8 => (0..5u8).prop_map(|again| Step::Hear { again: again == 0 }),
        4 => Just(Step::Finish),
        1 => Just(Step::Wipe),
        3 => Just(Step::Join),
        4 => any::<usize>().prop_map(Step::Read),
        4 => any::<usize>().prop_map(Step::Live),
        4 => Just(Step::Answer),
    ]
}

enum Mode {
    Held { held: Held<Position>, read: Option<Position> },
    Live(Ahead),
    Broken,
}

struct Follower {
    mode: Mode,
    /// What it has been shown: first what its backlog brought it to, then each.
    seen: Vec<Position>,
}

impl Follower {
    fn give(&mut self, place: Position) {
        match &mut self.mode {
            Mode::Held { held, .. } => held.show(place, Some((stream(), place))),
            Mode::Live(ahead) => match admits(ahead, &stream(), place) {
                Admitted::Yes => self.seen.push(place),
                Admitted::No => {}
                Admitted::Gap => self.mode = Mode::Broken,
            },
            Mode::Broken => {}
        }
    }

    fn gap(&mut self, top: Position, broken: bool) {
        match &mut self.mode {
            Mode::Held { held, .. } => held.gap(&stream(), top),
            Mode::Live(ahead) => {
                if !goes_on(ahead, &stream(), top, broken) {
                    self.mode = Mode::Broken;
                }
            }
            Mode::Broken => {}
        }
    }
}

#[derive(Default)]
struct World {
    epoch: u32,
    top: Position,
    bus: std::collections::VecDeque<Position>,
    heard: Option<Position>,
    line: Line,
    asked: Option<Position>,
    /// A broadcast under way: the place, and whom it has still to reach.
    showing: Option<(Position, std::ops::Range<usize>)>,
    followers: Vec<Follower>,
}

impl World {
    fn post(&mut self, lost: bool) {
        if self.top.offset == 0 {
            self.epoch += 1;
        }
        self.top = at(self.epoch, self.top.offset + 1);
        if !lost {
            self.bus.push_back(self.top);
        }
    }

    fn hear(&mut self, again: bool) {
        self.finish();
        let place = if again { self.heard } else { self.bus.pop_front() };
        let Some(place) = place else { return };
        self.heard = Some(place);
        match self.line.offer(place) {
            Turn::Show => {
                let half = self.followers.len() / 2;
                self.followers[..half].iter_mut().for_each(|follower| follower.give(place));
                self.showing = Some((place, half..self.followers.len()));
            }
            Turn::Drop => {}
            Turn::Ask(last) => self.asked = Some(last),
        }
    }

    fn finish(&mut self) {
        if let Some((place, rest)) = self.showing.take() {
            self.followers[rest].iter_mut().for_each(|follower| follower.give(place));
            self.line.shown(place);
        }
    }

    fn answer(&mut self) {
        self.finish();
        let Some(asked) = self.asked.take() else { return };
        let whole = asked.epoch == self.top.epoch || asked == Position::default();
        let caught = self.line.caught_up(whole, self.top);
        if caught.broken || caught.anew {
            self.followers.iter_mut().for_each(|follower| follower.gap(self.top, caught.broken));
        }
        if let Some(after) = caught.after {
            for offset in after + 1..=self.top.offset {
                let place = at(self.top.epoch, offset);
                self.followers.iter_mut().for_each(|follower| follower.give(place));
                self.line.stepped(place);
            }
        }
        self.asked = self.line.caught(self.top);
    }

    fn live(&mut self, which: usize) {
        let (last, alone) = (self.line.last(), self.followers.len() == 1);
        let Some(follower) = self.followers.get_mut(which) else { return };
        if !matches!(follower.mode, Mode::Held { read: Some(_), .. }) {
            return;
        }
        let Mode::Held { held, read: Some(read) } = std::mem::replace(&mut follower.mode, Mode::Broken) else { return };
        follower.seen.push(read);
        let Ok((show, places)) = held.release(&[(stream(), read)], |_| last) else { return };
        follower.seen.extend(show);
        let place = places[0].1;
        match self.line.joined(place, alone) {
            Joined::Level => follower.mode = Mode::Live(Ahead::new()),
            Joined::Ahead => follower.mode = Mode::Live(places),
            Joined::Ask(last) => {
                follower.mode = Mode::Live(places);
                self.asked = Some(last);
            }
        }
    }

    fn run(&mut self, step: &Step) {
        let count = self.followers.len().max(1);
        match step {
            Step::Post { lost } => self.post(*lost),
            Step::Hear { again } => self.hear(*again),
            Step::Finish => self.finish(),
            Step::Wipe => self.top = Position::default(),
            Step::Join => {
                let mode = Mode::Held { held: Held::default(), read: None };
                self.followers.push(Follower { mode, seen: Vec::new() });
            }
            Step::Read(which) => {
                if let Some(Follower { mode: Mode::Held { read, .. }, .. }) = self.followers.get_mut(which % count) {
                    read.get_or_insert(self.top);
                }
            }
            Step::Live(which) => self.live(which % count),
            Step::Answer => self.answer(),
        }
    }

    /// Nobody was shown a place twice, out of order, or with one left out.
    fn check(&self) -> Result<(), TestCaseError> {
        for follower in &self.followers {
            for pair in follower.seen.windows(2) {
                prop_assert!(directly(pair[0], pair[1]), "{:?}", follower.seen);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_place_is_shown_twice_or_out_of_order_or_left_out_in_silence(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        let mut world = World::default();
        for step in &steps {
            world.run(step);
            world.check()?;
        }
        // Everything is heard, the last message among it: who is live then has it, or was told.
        for which in 0..world.followers.len() {
            world.run(&Step::Read(which));
            world.run(&Step::Live(which));
        }
        world.post(false);
        while !world.bus.is_empty() {
            world.hear(false);
        }
        for _ in 0..4 {
            world.answer();
        }
        world.check()?;
        for follower in &world.followers {
            if let Mode::Live(_) = follower.mode {
                prop_assert_eq!(follower.seen.last(), Some(&world.top));
            }
        }
    }

    #[test]
    fn where_nothing_is_lost_nobody_is_broken_off(
        steps in proptest::collection::vec(
            step().prop_filter("a loss", |step| !matches!(step, Step::Wipe | Step::Post { lost: true })),
            1..120
        )
    ) {
        let mut world = World::default();
        for step in &steps {
            world.run(step);
            prop_assert!(!world.followers.iter().any(|follower| matches!(follower.mode, Mode::Broken)));
        }
        world.check()?;
    }
}
