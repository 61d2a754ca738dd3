//! Who is judged again: what was read on a socket meanwhile, and since when the recipient is known to the rules.

use std::{collections::HashMap, sync::Arc};

use homing_core::{
    clock::Millis,
    live::{LiveDown, MAX_NAME},
    lookup::StoreDown,
    notification::live_id,
    rules::{Facts, JUDGED_AT, Rule},
};

use super::{Lane, decide::Judged, plan::Plan};

/// The rule of quiet hours, which a type may ignore.
pub(super) const QUIET: &str = "quiet";

/// Rules of a lane, made ready for a batch.
pub(super) struct Judges {
    /// All but that of quiet hours; empty where that is the last word anyway.
    pub(super) loud: Vec<Arc<dyn Rule>>,
}

impl Judges {
    pub(super) fn new(lane: &Lane) -> Self {
        // Only presence defers beside quiet hours.
        let rules = lane.rules.iter().filter(|_| lane.presence.is_some());
        Self { loud: rules.filter(|rule| rule.name() != QUIET).cloned().collect() }
    }
}

/// What is known of a recipient who was deferred before.
pub(super) struct Rejudged {
    /// The message was read on a socket.
    pub(super) read: bool,
    /// What the rules say of this message, where it was judged before.
    pub(super) judged: Judged,
}

/// Recipients who are judged again, by the place of their plan and their name.
#[derive(Default)]
pub(super) struct Again(HashMap<usize, HashMap<String, Rejudged>>);

impl Again {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, place: usize, user: &str) -> Option<&Rejudged> {
        self.0.get(&place)?.get(user)
    }
}

/// Plans of recipients who were deferred, with their places, if the lane has sockets.
fn returned<'a, 'b>(lane: &Lane, plans: &'a [Plan<'b>]) -> impl Iterator<Item = (usize, Millis, &'a Plan<'b>)> {
    let counts = lane.inbox.is_some() || lane.presence.is_some();
    let plans = plans.iter().enumerate().filter(move |_| counts);
    plans.filter_map(|(place, plan)| Some((place, plan.entry.deferred()?.judged_at, plan)))
}

/// Of the recipients of a batch who were deferred, in their order: have they read the message on a socket? One question for
/// all of them.
pub(super) async fn were_read(lane: &Lane, plans: &[Plan<'_>]) -> Result<Vec<bool>, StoreDown> {
    let Some(inbox) = &lane.inbox else { return Ok(Vec::new()) };
    let ids: Vec<_> = returned(lane, plans).map(|(.., plan)| (live_id(&plan.entry.id), &plan.recipients)).collect();
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (id, users) in &ids {
        pairs.extend(users.iter().map(|user| (user.as_str(), id.as_ref())));
    }
    // Nobody has a stream under such a name, and a store would refuse the whole question for it.
    let has_stream: Vec<bool> = pairs.iter().map(|(user, _)| (1..=MAX_NAME).contains(&user.len())).collect();
    let mut of_whom = has_stream.iter();
    pairs.retain(|_| of_whom.next().copied().unwrap_or(false));
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut read = inbox.were_read(&pairs).await.map_err(down)?.into_iter();
    Ok(has_stream.into_iter().map(|asked| asked && read.next().unwrap_or(false)).collect())
}

/// It is asked again, as any other store: nobody is woken, or left out, on a guess.
fn down(down: LiveDown) -> StoreDown {
    StoreDown { lookup: "of what was read on sockets".to_owned(), refused: false, source: Box::new(down) }
}

/// Judges those of a batch again who were deferred before; `read` is what [`were_read`] answered.
pub(super) fn again(
    lane: &Lane,
    judges: &Judges,
    plans: &[Plan<'_>],
    users: &[&str],
    facts: &[Facts],
    read: &[bool],
    now: Millis,
) -> Again {
    let mut again = Again::default();
    let mut read = read.iter().copied();
    let mut facts_of: HashMap<&str, &Facts> = HashMap::new();
    for (place, judged_at, plan) in returned(lane, plans) {
        if facts_of.is_empty() {
            facts_of.extend(users.iter().copied().zip(facts));
        }
        let each = plan.recipients.iter().filter_map(|user| {
            let read = read.next().unwrap_or(false);
            let facts = *facts_of.get(user.as_str())?;
            let judged = match since(lane, facts, judged_at) {
                Some(facts) => Judged::new(lane, judges, &facts, now),
                None => Judged::new(lane, judges, facts, now),
            };
            Some((user.clone(), Rejudged { read, judged }))
        });
        again.0.insert(place, each.collect());
    }
    again
}

/// The facts with the time of the first judgement among those of presence; `None` where no rule reads that.
fn since(lane: &Lane, facts: &Facts, judged_at: Millis) -> Option<Facts> {
    let lookup = lane.presence.as_ref()?;
    let mut facts = facts.clone();
    facts.get_mut(lookup)?.first_mut()?.insert(JUDGED_AT.to_owned(), judged_at.to_string());
    Some(facts)
}
