//! What a client has read and the node has not confirmed yet. One question is under way at a time, so that each answer is
//! known to belong to it; what comes meanwhile is gathered.

use std::{collections::VecDeque, sync::Arc};

use homing_core::live::{Marks, Stream};

use super::client::MAX_IDS;

/// Most ids that wait.
const MOST: usize = 4 * MAX_IDS;
/// Most streams that wait.
const MOST_STREAMS: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reading {
    asked: Option<Marks>,
    ids: Vec<Arc<str>>,
    streams: VecDeque<Marks>,
}

impl Reading {
    /// Takes ids; false = too many wait.
    pub(super) fn ids(&mut self, ids: Vec<Arc<str>>) -> bool {
        if self.ids.len() + ids.len() > MOST {
            return false;
        }
        self.ids.extend(ids);
        true
    }

    /// Takes all of a stream up to a place; false = too many wait.
    pub(super) fn up_to(&mut self, marks: Marks) -> bool {
        if self.streams.len() >= MOST_STREAMS {
            return false;
        }
        self.streams.push_back(marks);
        true
    }

    /// What is to be asked now.
    pub(super) fn next(&mut self) -> Option<Marks> {
        if self.asked.is_some() {
            return None;
        }
        if !self.ids.is_empty() {
            let rest = self.ids.split_off(self.ids.len().min(MAX_IDS));
            self.asked = Some(Marks::Ids(std::mem::replace(&mut self.ids, rest)));
        } else {
            self.asked = self.streams.pop_front();
        }
        self.asked.clone()
    }

    /// What was asked, now that there is an answer: ids, or a stream.
    pub(super) fn answered(&mut self) -> Option<(Vec<Arc<str>>, Option<Stream>)> {
        Some(match self.asked.take()? {
            Marks::Ids(ids) => (ids, None),
            Marks::UpTo(stream, _) => (Vec::new(), Some(stream)),
        })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_none() && self.ids.is_empty() && self.streams.is_empty()
    }
}
