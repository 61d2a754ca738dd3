//! Devices and tokens: recipients that may be told become notifications in delivery queues.

use std::collections::HashMap;

use homing_core::{
    catalogue::{Ambiguous, Content, QuietPolicy},
    event::Device,
    lookup::Row,
    notification::{Arm, Cohort, Environment, Notification, Platform, Target},
    queue::{MAX_ITEM, QueueName},
    quiet::QuietHours,
};

use super::{
    Delivery, DeliveryCodec, Devices, Lane,
    choose::{Chooser, Go, IN_USE, Live, Token, Way, each_device, is_in_use, is_to_be_cleaned},
    draft::Draft,
    php::php,
    plan::Plan,
};

/// What the notifications of one event may have together in one commit. One that goes to 5,000 devices at the most that a
/// provider takes has a sixth of it.
const MAX_BYTES: usize = 128 << 20;

/// So many groups are looked through; most events have one.
const FEW: usize = 8;

/// Which of a user's devices are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    All,
    /// Those that are told without waking anybody.
    Live,
    /// All others.
    Waking,
}

impl Reach {
    fn takes(self, platform: Platform) -> bool {
        match self {
            Self::All => true,
            Self::Live => platform.is_live(),
            Self::Waking => !platform.is_live(),
        }
    }
}

/// What all targets of one notification have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Group<'a> {
    language: Option<&'a str>,
    channel: &'a str,
    app: &'a str,
    platform: Platform,
    environment: Environment,
    quiet: Option<QuietHours>,
    part: Option<(&'a str, Arm)>,
}

/// The targets of a group, and where their lists are.
struct Targets<'a> {
    group: Group<'a>,
    delivery: &'a Delivery,
    targets: Vec<Target>,
}

/// Collects the targets of one event.
pub(super) struct Address<'a> {
    lane: &'a Lane,
    plan: &'a Plan<'a>,
    chooser: &'a Chooser<'a>,
    /// Place of a group in `targets`, once there are more than [`FEW`].
    places: HashMap<Group<'a>, usize>,
    /// In the order of their first target.
    targets: Vec<Targets<'a>>,
}

impl<'a> Address<'a> {
    pub(super) fn new(lane: &'a Lane, plan: &'a Plan<'a>, chooser: &'a Chooser<'a>) -> Self {
        Self { lane, plan, chooser, places: HashMap::new(), targets: Vec::new() }
    }

    /// The devices of a recipient who may be told; answers how many fit.
    pub(super) fn user(
        &mut self,
        user: &str,
        locale: &str,
        quiet: Option<&QuietHours>,
        rows: &'a [Row],
        reach: Reach,
    ) -> usize {
        let language = self.language(locale);
        let quiet = quiet.filter(|_| self.plan.kind.quiet != QuietPolicy::Ignore);
        let mut fit = 0;
        self.each_fitting(user, rows, reach, |address, way, tokens| {
            fit += 1;
            let clean = is_to_be_cleaned(tokens);
            address.way(language, quiet, user, clean, way);
            if address.lane.devices == Devices::First { Go::Enough } else { Go::On }
        });
        fit
    }

    /// Is there a device of this recipient that would be told?
    pub(super) fn reaches(&mut self, user: &str, rows: &'a [Row], reach: Reach) -> bool {
        let mut any = false;
        self.each_fitting(user, rows, reach, |_, _, _| {
            any = true;
            Go::Enough
        });
        any
    }

    fn each_fitting(
        &mut self,
        user: &str,
        rows: &'a [Row],
        reach: Reach,
        mut told: impl FnMut(&mut Self, Way<'a>, &[Token<'a>]) -> Go,
    ) {
        let (kind, app) = (self.plan.kind, self.plan.entry.event.app.as_deref());
        each_device(rows, app, |tokens| {
            let Some(way) = self.chooser.choose(kind.code, user, tokens) else { return Go::On };
            let platform = way.token.platform;
            // A message without any words is for an app that sleeps; one in use gets it otherwise.
            let in_use = kind.silent && !platform.is_live() && is_in_use(tokens);
            if in_use || !reach.takes(platform) { Go::On } else { told(self, way, tokens) }
        });
    }

    /// Why no device of a recipient fits; `None` where there is none at all.
    pub(super) fn why_none(&self, rows: &'a [Row]) -> Option<String> {
        let (kind, app) = (self.plan.kind, self.plan.entry.event.app.as_deref());
        let mut why = None;
        each_device(rows, app, |tokens| {
            why = Some(if kind.silent && is_in_use(tokens) {
                IN_USE.to_owned()
            } else {
                self.chooser.no_way(kind.code, tokens)
            });
            Go::Enough
        });
        why.or_else(|| Some(format!("{} devices, none of app {}", rows.len(), app.filter(|_| !rows.is_empty())?)))
    }

    /// A device that the event names itself; answers whether there is a way.
    pub(super) fn device(&mut self, device: &'a Device) -> bool {
        let tokens = [Token::named(device)];
        let Some(way) = self.chooser.choose(self.plan.kind.code, "", &tokens) else { return false };
        self.way(self.own_language(), None, "", false, way);
        true
    }

    /// Why there is no way to a device that the event names.
    pub(super) fn why_not(&self, device: &'a Device) -> String {
        self.chooser.no_way(self.plan.kind.code, &[Token::named(device)])
    }

    /// All of the event's audience at once, by a live way.
    pub(super) fn whole(&mut self, live: Live<'a>, token: String) {
        let language = self.own_language();
        self.live(language, live, Target::new("", token));
    }

    /// A recipient who is told without a device, by a live way.
    pub(super) fn without_device(&mut self, live: Live<'a>, user: &str, locale: &str) {
        let language = self.language(locale);
        self.live(language, live, Target::new(user, format!("user/{user}")));
    }

    fn live(&mut self, language: Option<&'a str>, live: Live<'a>, target: Target) {
        let Live { channel, delivery, platform } = live;
        let app = self.plan.entry.event.app.as_deref().unwrap_or_default();
        let environment = Environment::default();
        self.add(Group { language, channel, app, platform, environment, quiet: None, part: None }, delivery, target);
    }

    fn way(&mut self, language: Option<&'a str>, quiet: Option<&QuietHours>, user: &str, clean: bool, way: Way<'a>) {
        let Way { channel, delivery, token, alternates, part, rehearsal } = way;
        let group = |channel: &'a str, token: &Token<'a>, part| Group {
            language,
            channel,
            app: token.app,
            platform: token.platform,
            environment: token.environment,
            quiet: quiet.filter(|_| !token.platform.is_live()).cloned(),
            part,
        };
        let target = Target { alternates, clean, ..Target::new(user, token.token) };
        self.add(group(channel, &token, part), delivery, target);
        if let (Some((channel, delivery, token)), Some((migration, _))) = (rehearsal, part) {
            let target = Target::new(user, token.token);
            self.add(group(channel, &token, Some((migration, Arm::Shadow))), delivery, target);
        }
    }

    fn add(&mut self, group: Group<'a>, delivery: &'a Delivery, target: Target) {
        let place = if self.targets.len() <= FEW {
            self.targets.iter().position(|targets| targets.group == group)
        } else {
            self.places.get(&group).copied()
        };
        if let Some(targets) = place.and_then(|place| self.targets.get_mut(place)) {
            targets.targets.push(target);
            return;
        }
        self.targets.push(Targets { group, delivery, targets: vec![target] });
        if self.targets.len() > FEW {
            let new = self.targets.iter().enumerate().skip(self.places.len());
            self.places.extend(new.map(|(place, targets)| (targets.group.clone(), place)));
        }
    }

    /// The language among the type's own for somebody who reads `locale`, if the event does not say.
    fn language(&self, locale: &str) -> Option<&'a str> {
        let plan = self.plan;
        plan.kind.nearest(plan.entry.event.locale.as_deref().unwrap_or(locale))
    }

    fn own_language(&self) -> Option<&'a str> {
        let plan = self.plan;
        plan.entry.event.locale.as_deref().and_then(|locale| plan.kind.nearest(locale))
    }

    /// Writes the notifications to the draft: one per device, or for a large audience pages of many.
    pub(super) fn hand_over(self, draft: &mut Draft<'_>) {
        let (lane, plan) = (self.lane, self.plan);
        let id = &plan.entry.id;
        let mut page_number = plan.rest.as_ref().map_or(0, |rest| rest.worked);
        let mut out = Out { lane, plan, draft, bytes: 0, too_large: None };
        let proof = lane.prover.as_ref().filter(|_| !self.targets.is_empty());
        let proof = proof.map(|prover| serde_json::json!({ "id": id, "proof": prover.prove(id) }));
        for Targets { group, delivery, mut targets } in self.targets {
            // A language whose texts need a field that is missing falls back to the lane's own.
            let content = group.language.and_then(|l| lane.catalogue.compose(plan.kind, &plan.entry.event, l).ok());
            let content = content.as_ref().unwrap_or(&plan.content);
            let pages = plan.is_paged() && delivery.codec == DeliveryCodec::Own;
            let size = if pages { lane.page.min(delivery.page).max(1) } else { 1 };
            while !targets.is_empty() {
                let rest = targets.split_off(size.min(targets.len()));
                let page = std::mem::replace(&mut targets, rest);
                let (queue, label) = match page.as_slice() {
                    // A group's own messages keep their order, as one user's do.
                    [one] if !plan.is_paged() || (one.user.is_empty() && group.platform.is_live()) => {
                        let key = if one.user.is_empty() { &one.token } else { &one.user };
                        (delivery.lists.of(key), label_of(one, group.platform))
                    }
                    page => {
                        // Pages of one event are spread over the shards: they have no order to keep.
                        page_number += 1;
                        let label = match page {
                            [one] => one.label(),
                            many => format!("{} targets", many.len()),
                        };
                        (delivery.lists.of(&format!("{id}:{page_number}")), label)
                    }
                };
                let mut notification = notification(plan, &group, content, page);
                if let Some(proof) = proof.as_ref().filter(|_| delivery.codec == DeliveryCodec::Own) {
                    notification.custom.insert(PROOF.to_owned(), proof.clone());
                }
                let why = group.part.map(|(migration, arm)| format!("migration {migration}: {}", arm.name()));
                let handed = out.put(&group, delivery, &queue, &notification, &label, why);
                if handed && plan.kind.silent_copy && group.may_have_copy() && delivery.codec == DeliveryCodec::Own {
                    let why = Some("silent copy".to_owned());
                    out.put(&group, delivery, &queue, &silent_copy(notification), &label, why);
                }
            }
        }
        out.close();
    }
}

/// The custom field with what a device needs to say that it has a message: `{"id": .., "proof": ..}`.
const PROOF: &str = "homing";

impl Group<'_> {
    /// Of what is shown on an iPhone. A rehearsal needs none.
    fn may_have_copy(&self) -> bool {
        self.platform == Platform::Ios && self.part.is_none_or(|(_, arm)| arm != Arm::Shadow)
    }
}

/// Items on their way into the draft.
struct Out<'a, 'd, 'b> {
    lane: &'a Lane,
    plan: &'a Plan<'a>,
    draft: &'d mut Draft<'b>,
    bytes: usize,
    /// One letter has the event; it stands for all its targets that no list takes.
    too_large: Option<(String, usize, String)>,
}

impl Out<'_, '_, '_> {
    /// Answers whether a list takes it.
    fn put(
        &mut self,
        group: &Group<'_>,
        delivery: &Delivery,
        queue: &QueueName,
        notification: &Notification,
        label: &str,
        why: Option<String>,
    ) -> bool {
        let count = notification.targets.len();
        if self.bytes > MAX_BYTES {
            self.refuse(label, count, || format!("its notifications have more than {MAX_BYTES} bytes together"));
            return false;
        }
        let item = match delivery.codec {
            DeliveryCodec::Own => notification.encode(),
            DeliveryCodec::Php => php(notification).into(),
        };
        if item.len() > MAX_ITEM {
            let error = || format!("the notification has {} bytes, the limit is {MAX_ITEM}", item.len());
            self.refuse(label, count, error);
            return false;
        }
        self.bytes += item.len();
        self.draft.queued(&self.plan.entry.id, group.channel, label, why);
        self.draft.hand_over(queue, item, count, self.lane.high_water);
        true
    }

    fn refuse(&mut self, label: &str, targets: usize, error: impl FnOnce() -> String) {
        self.too_large.get_or_insert_with(|| (label.to_owned(), 0, error())).1 += targets;
    }

    fn close(self) {
        if let Some((label, targets, error)) = self.too_large {
            let label = if targets == 1 { label } else { format!("{targets} targets") };
            self.draft.too_large(self.plan.entry, &label, targets, error);
        }
    }
}

/// Who it is, for people: a topic is no secret.
fn label_of(target: &Target, platform: Platform) -> String {
    match target.user.as_str() {
        "" if platform.is_live() => target.token.clone(),
        "" => target.label(),
        user => user.to_owned(),
    }
}

fn notification(plan: &Plan<'_>, group: &Group<'_>, content: &Content, targets: Vec<Target>) -> Notification {
    Notification {
        id: plan.entry.id.clone(),
        kind: plan.kind.code,
        app: group.app.to_owned(),
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
        cohort: group.part.map(|(migration, arm)| Cohort { migration: migration.to_owned(), arm }),
        targets,
    }
}

/// The same fields without words. Its key is another one: a provider that keeps one message per key for a device that is
/// off would keep this one in place of the one with words.
fn silent_copy(shown: Notification) -> Notification {
    let collapse = Some(format!("{}:silent", shown.key()));
    let targets = shown.targets.into_iter().map(|target| Target { clean: false, ..target }).collect();
    let (title, body) = (String::new(), String::new());
    Notification { title, body, action: None, silent: true, collapse, targets, ..shown }
}
