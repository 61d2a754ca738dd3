//! Devices and tokens: recipients that may be told become notifications in delivery queues.

use std::collections::HashMap;

use homing_codec::{Key, Value, to_php};
use homing_core::{
    catalogue::{Ambiguous, Content, QuietPolicy},
    event::Device,
    lookup::Row,
    notification::{Environment, Notification, Platform, Target},
    queue::MAX_ITEM,
    quiet::QuietHours,
};

use super::{DeliveryCodec, Devices, Lane, draft::Draft, plan::Plan};

/// What the notifications of one event may have together in one commit. One that goes to 5,000 devices at the most that a
/// provider takes has a sixth of it.
const MAX_BYTES: usize = 128 << 20;

/// What all targets of one notification have in common.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Group {
    language: Option<String>,
    app: String,
    platform: Platform,
    environment: Environment,
    quiet: Option<QuietHours>,
}

/// Collects the targets of one event.
pub(super) struct Address<'a> {
    lane: &'a Lane,
    plan: &'a Plan<'a>,
    groups: HashMap<Group, Vec<Target>>,
    /// In the order of their first target.
    order: Vec<Group>,
}

impl<'a> Address<'a> {
    pub(super) fn new(lane: &'a Lane, plan: &'a Plan<'a>) -> Self {
        Self { lane, plan, groups: HashMap::new(), order: Vec::new() }
    }

    /// The devices of a recipient who may be told; answers how many fit.
    pub(super) fn user(&mut self, user: &str, locale: &str, quiet: Option<QuietHours>, devices: &[Row]) -> usize {
        let wanted = self.plan.entry.event.app.as_deref();
        let language = self.plan.kind.nearest(self.plan.entry.event.locale.as_deref().unwrap_or(locale));
        let quiet = quiet.filter(|_| self.plan.kind.quiet != QuietPolicy::Ignore);
        let mut fit = 0;
        for device in devices.iter().filter_map(read).filter(|d| wanted.is_none_or(|app| app == d.app)) {
            fit += 1;
            self.add(language, quiet.clone(), Target::new(user, &device.token), &device);
            if self.lane.devices == Devices::First {
                break;
            }
        }
        fit
    }

    /// A device that the event names itself.
    pub(super) fn device(&mut self, device: &Device) {
        let language = self.plan.entry.event.locale.as_deref().and_then(|locale| self.plan.kind.nearest(locale));
        self.add(language, None, Target::new("", &device.token), device);
    }

    fn add(&mut self, language: Option<&str>, quiet: Option<QuietHours>, target: Target, device: &Device) {
        let group = Group {
            language: language.map(str::to_owned),
            app: device.app.clone(),
            platform: device.platform,
            environment: device.environment,
            quiet,
        };
        match self.groups.get_mut(&group) {
            Some(targets) => targets.push(target),
            None => {
                self.order.push(group.clone());
                self.groups.insert(group, vec![target]);
            }
        }
    }

    /// Writes the notifications to the draft: one per device, or for a large audience pages of many.
    pub(super) fn hand_over(mut self, draft: &mut Draft<'_>) {
        let (lane, plan) = (self.lane, self.plan);
        let id = &plan.entry.id;
        let mut page_number = plan.rest.as_ref().map_or(0, |rest| rest.worked);
        let mut bytes = 0;
        // One letter has the event; it stands for all its targets that no list takes.
        let mut too_large: Option<(String, usize, String)> = None;
        for group in self.order {
            let mut targets = self.groups.remove(&group).unwrap_or_default();
            // A language whose texts need a field that is missing falls back to the lane's own.
            let content = group.language.as_deref();
            let content = content.and_then(|l| lane.catalogue.compose(plan.kind, &plan.entry.event, l).ok());
            let content = content.as_ref().unwrap_or(&plan.content);
            let size = if plan.is_paged() && lane.delivery_codec == DeliveryCodec::Own { lane.page.max(1) } else { 1 };
            while !targets.is_empty() {
                let rest = targets.split_off(size.min(targets.len()));
                let page = std::mem::replace(&mut targets, rest);
                let count = page.len();
                let (queue, label) = match page.as_slice() {
                    [one] if !plan.is_paged() => {
                        let key = if one.user.is_empty() { &one.token } else { &one.user };
                        (lane.delivery.of(key), if one.user.is_empty() { one.label() } else { one.user.clone() })
                    }
                    page => {
                        // Pages of one event are spread over the shards: they have no order to keep.
                        page_number += 1;
                        let label = match page {
                            [one] => one.label(),
                            many => format!("{} targets", many.len()),
                        };
                        (lane.delivery.of(&format!("{id}:{page_number}")), label)
                    }
                };
                if bytes > MAX_BYTES {
                    let error = || format!("its notifications have more than {MAX_BYTES} bytes together");
                    too_large.get_or_insert_with(|| (label, 0, error())).1 += count;
                    continue;
                }
                let notification = notification(plan, &group, content, page);
                let item = match lane.delivery_codec {
                    DeliveryCodec::Own => notification.encode(),
                    DeliveryCodec::Php => php(&notification).into(),
                };
                if item.len() > MAX_ITEM {
                    let error = format!("the notification has {} bytes, the limit is {MAX_ITEM}", item.len());
                    too_large.get_or_insert((label, 0, error)).1 += count;
                } else {
                    bytes += item.len();
                    draft.queued(id, &lane.channel, &label);
                    draft.hand_over(queue, item, count, lane.high_water);
                }
            }
        }
        if let Some((label, targets, error)) = too_large {
            let label = if targets == 1 { label } else { format!("{targets} targets") };
            draft.too_large(plan.entry, &label, targets, error);
        }
    }
}

fn notification(plan: &Plan<'_>, group: &Group, content: &Content, targets: Vec<Target>) -> Notification {
    Notification {
        id: plan.entry.id.clone(),
        kind: plan.kind.code,
        app: group.app.clone(),
        platform: group.platform,
        environment: group.environment,
        title: content.title.clone(),
        body: content.body.clone(),
        custom: content.custom.clone(),
        action: content.action.clone(),
        collapse: content.collapse.clone(),
        priority: plan.entry.event.priority.unwrap_or(plan.kind.priority),
        quiet: group.quiet.clone(),
        created_at: plan.entry.first_at,
        expires_at: plan.expires_at,
        at_most_once: plan.kind.ambiguous == Ambiguous::Drop,
        silent: plan.kind.silent,
        category: plan.kind.category.clone(),
        cohort: None,
        targets,
    }
}

/// HIGO's own item of a delivery list, for an old sender: a PHP array with `xinge_token`, `via` and `app`, which are
/// known, and the content under names that are guesses (docs/xinge.md).
fn php(notification: &Notification) -> Vec<u8> {
    let text = |text: &str| Value::Str(text.as_bytes().to_vec());
    let via = match notification.platform {
        Platform::Ios => "iphone",
        other => other.name(),
    };
    let token = notification.targets.first().map_or("", |t| t.token.as_str());
    let user = notification.targets.first().map_or("", |t| t.user.as_str());
    let fields = [
        ("xinge_token", text(token)),
        ("via", text(via)),
        ("app", text(&notification.app)),
        ("type", Value::Int(notification.kind)),
        ("title", text(&notification.title)),
        ("content", text(&notification.body)),
        ("custom", Value::from_json(serde_json::Value::Object(notification.custom.clone()))),
        ("user_id", text(user)),
        ("id", text(&notification.id)),
        ("expires_at", Value::Int(notification.expires_at / 1_000)),
    ];
    to_php(&Value::Map(fields.into_iter().map(|(name, value)| (Key::Str(name.into()), value)).collect()))
}

/// A row of the devices' lookup: `None` without token or app, or of a platform that is not known.
fn read(row: &Row) -> Option<Device> {
    Some(Device {
        token: row.get("token").filter(|t| !t.is_empty())?.clone(),
        platform: Platform::parse(row.get("platform")?)?,
        app: row.get("app").filter(|app| !app.is_empty())?.clone(),
        environment: row.get("env").and_then(|env| Environment::parse(env)).unwrap_or_default(),
    })
}
