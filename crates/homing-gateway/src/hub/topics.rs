//! Who hears what on a shard: topics by number, each with its members; a session knows its place in each of its topics, so
//! that nothing is searched for when it goes.

use std::collections::HashMap;

use homing_core::live::Stream;
use slab::Slab;

use super::lines::Line;
use crate::topic::Topic;

/// A session's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    topic: u32,
    /// Its place among the members.
    place: u32,
}

#[derive(Debug)]
struct Entry {
    name: Topic,
    members: Vec<u32>,
    line: Line,
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    entries: Slab<Entry>,
    numbers: HashMap<Topic, u32>,
}

/// A session as the registry needs it: its memberships, by its slot.
pub(super) trait Memberships {
    fn of(&mut self, slot: u32) -> Option<&mut Vec<Membership>>;
}

impl Topics {
    /// `slot`, whose memberships are `own`, joins. `None` = it was there already; true = it is the first.
    pub(super) fn join(&mut self, slot: u32, own: &mut Vec<Membership>, name: Topic) -> Option<bool> {
        let topic = match self.numbers.get(&name) {
            Some(topic) => *topic,
            None => {
                let entry = Entry { name: name.clone(), members: Vec::new(), line: Line::default() };
                let topic = u32::try_from(self.entries.insert(entry)).unwrap_or(u32::MAX);
                self.numbers.insert(name, topic);
                topic
            }
        };
        if own.iter().any(|membership| membership.topic == topic) {
            return None;
        }
        let entry = self.entries.get_mut(topic as usize)?;
        own.push(Membership { topic, place: u32::try_from(entry.members.len()).unwrap_or(u32::MAX) });
        entry.members.push(slot);
        Some(entry.members.len() == 1)
    }

    /// A session that had this membership, which was taken from its list, leaves. Answers the topic when it was the last.
    pub(super) fn leave(&mut self, membership: Membership, others: &mut impl Memberships) -> Option<Topic> {
        let entry = self.entries.get_mut(membership.topic as usize)?;
        if (membership.place as usize) < entry.members.len() {
            entry.members.swap_remove(membership.place as usize);
        }
        // The last member has moved into the gap.
        if let Some(moved) = entry.members.get(membership.place as usize)
            && let Some(theirs) = others.of(*moved)
            && let Some(own) = theirs.iter_mut().find(|own| own.topic == membership.topic)
        {
            own.place = membership.place;
        }
        if !entry.members.is_empty() {
            if entry.members.capacity() > 64 && entry.members.len() < entry.members.capacity() / 4 {
                entry.members.shrink_to(entry.members.len() * 2);
            }
            return None;
        }
        let entry = self.entries.remove(membership.topic as usize);
        self.numbers.remove(&entry.name);
        if self.entries.is_empty() {
            (self.entries, self.numbers) = (Slab::new(), HashMap::new());
        }
        Some(entry.name)
    }

    /// Which of `own` is the membership in `name`.
    pub(super) fn find(&self, own: &[Membership], name: &Topic) -> Option<usize> {
        let topic = *self.numbers.get(name)?;
        own.iter().position(|membership| membership.topic == topic)
    }

    pub(super) fn members(&self, name: &Topic) -> &[u32] {
        let entry = self.numbers.get(name).and_then(|topic| self.entries.get(*topic as usize));
        entry.map_or(&[], |entry| &entry.members)
    }

    pub(super) fn name(&self, membership: Membership) -> Option<&Topic> {
        self.entries.get(membership.topic as usize).map(|entry| &entry.name)
    }

    /// The line of a stream that somebody follows.
    pub(super) fn line(&mut self, stream: &Stream) -> Option<&mut Line> {
        // The key is an enum of the same shape; a clone of it is a reference count.
        let topic = *self.numbers.get(&Topic::Stream(stream.clone()))?;
        self.entries.get_mut(topic as usize).map(|entry| &mut entry.line)
    }

    /// Every stream with its line.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Stream, &Line)> {
        self.entries.iter().filter_map(|(_, entry)| match &entry.name {
            Topic::Stream(stream) => Some((stream, &entry.line)),
            Topic::Namespace(_) | Topic::Room(..) => None,
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
