//! What is known of an event before its recipients are: type, texts, end. What needs no lookup is sorted out here.

use std::collections::HashSet;

use homing_core::{
    catalogue::{Content, PushType},
    clock::Millis,
    event::{Audience, Invalid},
    queue::Mark,
    record::Fate,
};

use super::{
    Lane,
    audience::Rest,
    draft::Draft,
    intake::{Batch, Entry, Task},
};

/// An event of which all is known but who gets it.
pub(super) struct Plan<'a> {
    pub(super) entry: &'a Entry,
    pub(super) kind: &'a PushType,
    /// Its words in the lane's own language.
    pub(super) content: Content,
    pub(super) expires_at: Millis,
    pub(super) recipients: Vec<String>,
    /// Nobody can list its recipients; it is told as a whole.
    pub(super) unlisted: bool,
    /// Recipients behind these.
    pub(super) rest: Option<Rest>,
    /// Why its recipients cannot be listed, however often one asks.
    pub(super) refused: Option<String>,
}

impl Plan<'_> {
    /// Is it told in pages of many devices, in the trace too? Then the order per user is not kept.
    pub(super) fn is_paged(&self) -> bool {
        const PAGED_FROM: usize = 64;
        let targets = match &self.entry.event.to {
            Audience::Tokens(devices) => devices.len(),
            _ => self.recipients.len(),
        };
        targets > PAGED_FROM || matches!(self.entry.task, Task::Further { .. })
    }
}

/// The plans of a batch. Duplicates, the cancelled, the expired, the unreadable and what is for later are written to
/// the draft.
pub(super) fn plan<'a>(lane: &'a Lane, batch: &'a Batch, marks: &[Mark], draft: &mut Draft<'_>) -> Vec<Plan<'a>> {
    let mut plans = Vec::with_capacity(batch.entries.len());
    let mut ids = HashSet::new();
    for (i, entry) in batch.entries.iter().enumerate() {
        let mark = marks.get(i).copied().unwrap_or_default();
        if entry.has_own_id() && (mark.seen || ids.contains(entry.id.as_str())) {
            draft.event_ends(entry, Fate::Skipped { rule: "duplicate".to_owned() }, Some("its id was seen before"));
            continue;
        }
        if mark.cancelled {
            draft.event_ends(entry, Fate::Cancelled, None);
            continue;
        }
        let (kind, content) = match compose(lane, entry) {
            Ok(composed) => composed,
            Err(invalid) => {
                draft.invalid(entry, &invalid);
                continue;
            }
        };
        // Only now: an item that cannot be used does not count.
        if entry.has_own_id() {
            ids.insert(entry.id.as_str());
            draft.remember(&entry.id);
        }
        let starts = entry.event.send_at.unwrap_or(entry.first_at).max(entry.first_at);
        let expires_at = starts.saturating_add(entry.event.expires_in.unwrap_or(kind.ttl));
        if expires_at <= draft.now() {
            let held = entry.deferred().map(|held| Fate::Skipped { rule: held.by.clone() });
            let fate = held.unwrap_or(Fate::Expired);
            draft.event_ends(entry, fate, None);
        } else if entry.is_whole() && entry.event.send_at.is_some_and(|at| at > draft.now()) {
            draft.later(entry, starts);
        } else {
            let to = &entry.event.to;
            let unlisted = to.enumerated().is_some_and(|(kind, _)| lane.members(kind).is_none());
            let (recipients, rest, refused) = (Vec::new(), None, None);
            plans.push(Plan { entry, kind, content, expires_at, recipients, unlisted, rest, refused });
        }
    }
    plans
}

fn compose<'a>(lane: &'a Lane, entry: &Entry) -> Result<(&'a PushType, Content), Invalid> {
    let kind = lane.catalogue.admit(&lane.name, &entry.event)?;
    let content = lane.catalogue.compose(kind, &entry.event, &lane.defaults.locale)?;
    let missing = match &entry.event.to {
        Audience::GroupOwner(_) if lane.owners.is_none() => Some(("to.group", "owners")),
        // The sockets of all of it are told at once; nobody needs to be listed for that.
        to if lane.broadcast(to).is_some() => None,
        to => to.enumerated().filter(|(kind, _)| lane.members(kind).is_none()).map(|(kind, _)| ("to", kind)),
    };
    match missing {
        Some((field, key)) => {
            let what = format!("lane {} cannot find {}: it has no `{key}`", lane.name, entry.event.to.describe());
            Err(Invalid::new(field, what))
        }
        None => Ok((kind, content)),
    }
}
