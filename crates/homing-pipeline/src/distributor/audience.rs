//! Who is meant: users as named, owners by one lookup for all groups of the batch, members page by page.

use std::collections::{HashMap, HashSet};

use homing_core::{
    event::{Audience, MAX_USERS},
    lookup::{Row, StoreDown},
};

use super::{Lane, intake::Task, plan::Plan};
use crate::context::describe;

/// Recipients behind a page that are still to be worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Where the next page begins.
    pub(super) after: String,
    /// How many recipients were worked with this page.
    pub(super) worked: u64,
}

/// Fills in the recipients of every plan, and what is left of a large audience; or why it cannot be listed.
pub(super) async fn resolve(lane: &Lane, plans: &mut [Plan<'_>]) -> Result<(), StoreDown> {
    let owners = owners(lane, plans).await?;
    for plan in plans {
        let (after, worked) = match &plan.entry.task {
            Task::Deferred(held) => {
                plan.recipients.clone_from(&held.users);
                continue;
            }
            Task::Further { after, worked } => (after.as_deref(), *worked),
            Task::New | Task::Returned => (None, 0),
        };
        plan.recipients = match &plan.entry.event.to {
            Audience::Users(users) => unique(users.iter().map(String::as_str)).into_iter().map(str::to_owned).collect(),
            Audience::GroupOwner(group) => owners.get(group.as_str()).cloned().into_iter().collect(),
            Audience::Tokens(_) => Vec::new(),
            large => {
                let Some((enumerator, of)) = large.enumerated().and_then(|(kind, of)| Some((lane.members(kind)?, of)))
                else {
                    continue;
                };
                let page = match enumerator.page(of, after, MAX_USERS).await {
                    Ok(page) if after.is_some() && page.next.as_deref() == after => {
                        plan.refused =
                            Some(format!("{} stands still behind {}", enumerator.name(), after.unwrap_or("")));
                        continue;
                    }
                    Ok(page) => page,
                    // One group's bad data must not hold up everybody behind it.
                    Err(down) if down.refused => {
                        plan.refused = Some(describe(&down));
                        continue;
                    }
                    Err(down) => return Err(down),
                };
                let worked = worked + page.members.len() as u64;
                plan.rest = page.next.map(|after| Rest { after, worked });
                page.members
            }
        };
    }
    Ok(())
}

async fn owners(lane: &Lane, plans: &[Plan<'_>]) -> Result<HashMap<String, String>, StoreDown> {
    let group = |plan: &Plan<'_>| match (&plan.entry.task, &plan.entry.event.to) {
        (Task::New | Task::Returned, Audience::GroupOwner(group)) => Some(group.clone()),
        _ => None,
    };
    let groups: Vec<String> = plans.iter().filter_map(group).collect();
    let groups = unique(groups.iter().map(String::as_str));
    let Some(lookup) = lane.owners.as_ref().filter(|_| !groups.is_empty()) else { return Ok(HashMap::new()) };
    let rows = lookup.rows(&groups).await?;
    let owner = |row: &Row| row.get("user_id").or_else(|| row.get("value")).cloned();
    let known = groups.iter().zip(rows);
    Ok(known.filter_map(|(group, rows)| Some(((*group).to_owned(), rows.first().and_then(owner)?))).collect())
}

/// The ids, each once, in the order of their first appearance.
pub(super) fn unique<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}
