//! What a session asks of the node for its client: to mark messages as read, to call a method. Answers carry no number, so
//! there is one question of a kind at a time, and the others wait.

use std::sync::Arc;

use homing_core::live::Marks;
use metrics::counter;
use serde_json::value::RawValue;

use super::{Socketio, json, packet};
use crate::{
    desk::Ask,
    engine::{Out, meter},
};

/// Questions of a kind that wait; further ones are answered with an error.
const MAX_WAITING: usize = 64;
/// Ids that wait to be marked together.
const MAX_IDS: usize = 1_000;

/// Where the answer to a client's event goes.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) namespace: Arc<str>,
    /// `None` = it waits for none.
    pub(super) id: Option<u64>,
}

/// Messages to be marked as read.
#[derive(Debug)]
pub(super) struct Marking {
    ids: Vec<Arc<str>>,
    /// `None` = it was proven; nobody asked.
    asker: Option<Asker>,
}

/// A JSON-RPC request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) text: String,
    pub(super) asker: Asker,
}

impl Socketio {
    /// The client says that it has read these.
    pub(super) fn mark_asked(&mut self, out: &mut Out<'_>, ids: Vec<Arc<str>>, asker: Asker) {
        if self.user.is_none() {
            return answer(out, &asker, r#"{"error":"a user is needed"}"#);
        }
        self.mark(out, Marking { ids, asker: Some(asker) });
    }

    /// The client has these.
    pub(super) fn mark_proven(&mut self, out: &mut Out<'_>, ids: Vec<Arc<str>>) {
        if ids.is_empty() || self.user.is_none() {
            return;
        }
        let last = self.busy.as_mut().and_then(|busy| busy.marks.back_mut());
        match last {
            Some(last) if last.asker.is_none() && last.ids.len() + ids.len() <= MAX_IDS => last.ids.extend(ids),
            _ => self.mark(out, Marking { ids, asker: None }),
        }
    }

    fn mark(&mut self, out: &mut Out<'_>, marking: Marking) {
        let busy = self.busy.get_or_insert_default();
        if busy.marks.len() >= MAX_WAITING {
            if let Some(asker) = &marking.asker {
                answer(out, asker, r#"{"error":"too many at a time"}"#);
            }
            return;
        }
        busy.marks.push_back(marking);
        self.next_mark(out);
    }

    fn next_mark(&mut self, out: &mut Out<'_>) {
        if let (Some(busy), Some(user)) = (&mut self.busy, &self.user)
            && busy.marking.is_none()
            && let Some(marking) = busy.marks.pop_front()
        {
            let marks = Marks::Ids(marking.ids.clone());
            let user = Arc::clone(user);
            busy.marking = Some(marking);
            out.link.ask(Ask::Mark { user, streams: self.streams(), marks });
        }
        self.tidy();
    }

    pub(super) fn marked(&mut self, out: &mut Out<'_>, marked: Result<Vec<Arc<str>>, String>) {
        let Some(marking) = self.busy.as_mut().and_then(|busy| busy.marking.take()) else { return };
        match (&marking.asker, &marked) {
            (Some(asker), Ok(ids)) => {
                let ids: Vec<String> = ids.iter().map(|id| json::text(id)).collect();
                answer(out, asker, &format!(r#"{{"read":[{}]}}"#, ids.join(",")));
            }
            (Some(asker), Err(why)) => answer(out, asker, &format!(r#"{{"error":{}}}"#, json::text(why))),
            (None, Ok(_)) => counter!(meter::PROVEN, "result" => "marked").increment(marking.ids.len() as u64),
            // They stay unread: shown again at the next connect, which is better than never.
            (None, Err(_)) => counter!(meter::PROVEN, "result" => "unavailable").increment(marking.ids.len() as u64),
        }
        self.next_mark(out);
    }

    /// The client calls a method.
    pub(super) fn call(&mut self, out: &mut Out<'_>, call: Call) {
        let busy = self.busy.get_or_insert_default();
        if busy.calls.len() >= MAX_WAITING {
            return answer(out, &call.asker, r#"{"error":"too many at a time"}"#);
        }
        busy.calls.push_back(call);
        self.next_call(out);
    }

    fn next_call(&mut self, out: &mut Out<'_>) {
        if let Some(busy) = &mut self.busy
            && busy.calling.is_none()
            && let Some(mut call) = busy.calls.pop_front()
        {
            let text = std::mem::take(&mut call.text);
            busy.calling = Some(call);
            out.link.ask(Ask::Rpc { user: self.user.clone(), text });
        }
        self.tidy();
    }

    pub(super) fn called(&mut self, out: &mut Out<'_>, response: Option<Box<RawValue>>) {
        let Some(call) = self.busy.as_mut().and_then(|busy| busy.calling.take()) else { return };
        answer(out, &call.asker, response.as_deref().map_or("", RawValue::get));
        self.next_call(out);
    }
}

/// Answers an event with this argument, where the client waits for an answer.
pub(super) fn answer(out: &mut Out<'_>, asker: &Asker, argument: &str) {
    if let Some(id) = asker.id {
        let array = format!("[{argument}]");
        for packet in packet::ack(out.wire.version, &asker.namespace, id, array.as_bytes(), &[]) {
            out.send(packet);
        }
    }
}
