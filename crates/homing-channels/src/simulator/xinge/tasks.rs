//! The tasks that lists go to: a message that was laid down once, and the id that names it.

use std::{collections::BTreeMap, sync::Arc};

use super::{config::Flavour, order::Content};

/// A task.
pub(super) struct Task {
    pub(super) content: Arc<Content>,
    /// Unix seconds on the service's clock.
    pub(super) expires: i64,
    /// Lists that named devices to it.
    pub(super) pages: u64,
}

/// Why a task cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Nobody made it, or it was forgotten, or it is somebody else's.
    Unknown,
    /// Its time is over.
    Expired,
}

/// The latest tasks.
pub(super) struct Tasks {
    keep: usize,
    last: u64,
    /// By the order of their making.
    tasks: BTreeMap<u64, Task>,
}

// === impl Tasks ===

impl Tasks {
    pub(super) fn new(keep: usize) -> Self {
        // Somewhere within the numbers of the original's samples.
        Self { keep: keep.max(1), last: 2_853_330_000, tasks: BTreeMap::new() }
    }

    /// An id for a push that leaves no task behind.
    pub(super) fn id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn make(&mut self, content: Arc<Content>, expires: i64) -> u64 {
        while self.tasks.len() >= self.keep {
            self.tasks.pop_first();
        }
        let id = self.id();
        self.tasks.insert(id, Task { content, expires, pages: 0 });
        id
    }

    /// The task of this app.
    pub(super) fn find(
        &mut self,
        push_id: &str,
        flavour: Flavour,
        access_id: &str,
        now: i64,
    ) -> Result<(u64, &mut Task), Unusable> {
        let id: u64 = push_id.parse().map_err(|_| Unusable::Unknown)?;
        let task = self.tasks.get_mut(&id).ok_or(Unusable::Unknown)?;
        let app = &task.content.app;
        if app.flavour != flavour || app.access_id != access_id {
            return Err(Unusable::Unknown);
        }
        if task.expires <= now { Err(Unusable::Expired) } else { Ok((id, task)) }
    }
}

#[cfg(test)]
mod tests {
    use homing_core::notification::Platform;
    use serde_json::Value;

    use super::*;
    use crate::simulator::App;

    #[test]
    fn tasks_are_bounded_expire_and_belong_to_their_app() {
        let app = App {
            flavour: Flavour::V2,
            access_id: "21".to_owned(),
            secret: "made-up".into(),
            platform: Platform::Android,
        };
        let content = Arc::new(Content {
            app: Arc::new(app),
            message_type: Value::from(1),
            environment: "0",
            message: "{}".to_owned(),
            id: None,
        });
        let mut tasks = Tasks::new(2);
        let ids: Vec<String> = (0..3).map(|_| tasks.make(Arc::clone(&content), 100).to_string()).collect();
        let mut find = |id: &str, flavour, app, now| tasks.find(id, flavour, app, now).map(|(id, _)| id).err();
        assert_eq!(find(&ids[0], Flavour::V2, "21", 0), Some(Unusable::Unknown), "the oldest is forgotten");
        assert_eq!(find(&ids[1], Flavour::V2, "21", 99), None);
        assert_eq!(find(&ids[2], Flavour::V2, "21", 100), Some(Unusable::Expired));
        assert_eq!(find(&ids[2], Flavour::V3, "21", 0), Some(Unusable::Unknown));
        assert_eq!(find(&ids[2], Flavour::V2, "22", 0), Some(Unusable::Unknown));
        assert_eq!(find("x", Flavour::V2, "21", 0), Some(Unusable::Unknown));
    }
}
