//! `homing up --observe`: watches the lists of a live installation and says what Homing would push to whom and why. It
//! takes no lease, writes nothing and takes nothing away; the old workers go on beside it.

use std::{collections::BTreeMap, io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::{
    chat::Start,
    notification::Notification,
    queue::{Budget, Commit, Destination, QueueName},
    record::{Fate, Record},
};
use homing_pipeline::{
    context::Context,
    distributor::{Lane, preview},
};
use homing_stores::Stores;
use serde::Serialize;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    config::Config,
    wiring::{self, Kit},
};

/// Items at the head of a list that are looked at. A backlog behind them comes into sight as the old worker takes them.
const LOOK: usize = 1_000;

/// A page of chats.
const PAGE: Budget = Budget { items: 500, bytes: 8 << 20 };

/// What Homing would have made of one item.
#[derive(Debug, Serialize)]
pub struct Observed {
    /// Where it stood: a list or a chat source.
    pub queue: String,
    /// The message's id.
    pub id: String,
    /// Every decision, in the words of a trace.
    pub records: Vec<Record>,
    /// What would stand in a delivery list.
    pub would_push: Vec<WouldPush>,
}

/// One notification that would be sent.
#[derive(Debug, Serialize)]
pub struct WouldPush {
    /// The delivery list.
    pub queue: String,
    /// App and platform of the devices.
    pub app: String,
    /// `android`, `ios`.
    pub platform: &'static str,
    /// Devices, by user and the end of the token.
    pub to: Vec<String>,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
}

/// Watches until the process is asked to stop; prints each item as it comes and the totals at the end.
///
/// # Errors
/// The configuration does not fit together.
pub async fn run(config: &Config, stores: &Stores, kit: &Kit, json: bool) -> anyhow::Result<()> {
    let cx = &kit.cx;
    let lanes = wiring::lanes(config, stores, &kit.board, kit.live.as_ref())?;
    let (tell, mut told) = mpsc::channel::<Observed>(256);
    let mut watchers = tokio::task::JoinSet::new();
    let mut lists = 0;
    for (name, lane) in &lanes {
        let Some(configured) = config.lane.get(name) else { continue };
        for queue in wiring::shards(&format!("lane.{name}.entry"), &configured.entry)?.all() {
            lists += 1;
            watchers.spawn(watch_list(cx.clone(), Arc::clone(lane), queue, tell.clone()));
        }
    }
    for scanner in wiring::chat_sources(config, stores, None, cx)? {
        let Some(lane) = config.scanner.get(&scanner.name).and_then(|s| lanes.get(&s.lane)) else { continue };
        lists += 1;
        watchers.spawn(watch_chats(cx.clone(), Arc::clone(lane), scanner, tell.clone()));
    }
    drop(tell);
    eprintln!("Observing {lists} lists and chat sources. Nothing is taken, written or sent. Ctrl-C ends it.");
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let observed = tokio::select! {
            observed = told.recv() => observed,
            () = cx.stop.cancelled() => None,
        };
        let Some(observed) = observed else { break };
        for record in &observed.records {
            *totals.entry(record.stage.field(&record.fate).into_owned()).or_default() += 1;
        }
        if json {
            say(&(serde_json::to_string(&observed)? + "\n"));
        } else {
            say(&lines(&observed));
        }
    }
    watchers.shutdown().await;
    let totals: Vec<String> = totals.iter().map(|(fate, n)| format!("{fate} {n}")).collect();
    eprintln!("Seen: {}", if totals.is_empty() { "nothing".to_owned() } else { totals.join(", ") });
    Ok(())
}

/// A reader that went away ends nothing.
fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}

/// Looks at a list again and again. An item is new if it was not in the former look at the same place behind what was
/// taken meanwhile.
async fn watch_list(cx: Context, lane: Arc<Lane>, queue: QueueName, tell: mpsc::Sender<Observed>) {
    let mut seen: Vec<Bytes> = Vec::new();
    let part = queue.to_string();
    loop {
        match cx.queue.sample(&queue, LOOK).await {
            Ok(now) => {
                cx.status.ready(&part);
                let new = now.get(overlap(&seen, &now)..).unwrap_or_default().to_vec();
                seen = now;
                if !new.is_empty() && report(&cx, &lane, &queue, new, &tell).await.is_none() {
                    return;
                }
            }
            Err(error) => cx.status.not_ready(&part, &error.to_string()),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// How many items of `now` were there before: the longest tail of `before` that `now` begins with.
fn overlap(before: &[Bytes], now: &[Bytes]) -> usize {
    (0..=before.len())
        .filter_map(|taken| before.get(taken..))
        .find(|rest| now.starts_with(rest) || (now.len() < rest.len() && rest.starts_with(now)))
        .map_or(0, |rest| rest.len().min(now.len()))
}

/// Reads a chat source from its newest message on.
async fn watch_chats(cx: Context, lane: Arc<Lane>, source: wiring::ChatFeed, tell: mpsc::Sender<Observed>) {
    let queue = QueueName::new(format!("source {}", source.name));
    let feed = &source.scanner.feed;
    let mut cursor = None;
    let mut begun = false;
    loop {
        let read = async {
            if !begun {
                cursor = feed.source.start(Start::Newest).await?;
                begun = true;
            }
            feed.source.read(cursor.as_ref(), PAGE).await
        };
        match read.await {
            Ok(page) => {
                cx.status.ready(queue.as_str());
                let mut items = Vec::new();
                for chat in page.chats {
                    match chat {
                        Ok(chat) => {
                            items.extend(feed.item(&chat, cx.clock.now()).ok().map(|(_, item)| item));
                            cursor = Some(chat.cursor);
                        }
                        Err(unreadable) => cursor = Some(unreadable.cursor),
                    }
                }
                if !items.is_empty() && report(&cx, &lane, &queue, items, &tell).await.is_none() {
                    return;
                }
            }
            Err(error) => cx.status.not_ready(queue.as_str(), &error.to_string()),
        }
        sleep(source.scanner.poll).await;
    }
}

/// Decides, and tells of each message. `None` when nobody listens any more.
async fn report(
    cx: &Context,
    lane: &Lane,
    queue: &QueueName,
    items: Vec<Bytes>,
    tell: &mpsc::Sender<Observed>,
) -> Option<()> {
    let commit = loop {
        match preview(lane, cx, queue, items.clone()).await {
            Ok(commit) => break commit,
            Err(down) => {
                cx.status.not_ready(queue.as_str(), &down.to_string());
                sleep(Duration::from_secs(1)).await;
            }
        }
    };
    for observed in sort(queue, commit) {
        tell.send(observed).await.ok()?;
    }
    Some(())
}

/// A commit by message.
fn sort(queue: &QueueName, commit: Commit) -> Vec<Observed> {
    let mut order: Vec<Observed> = Vec::new();
    let mut place: BTreeMap<String, usize> = BTreeMap::new();
    let mut of = |order: &mut Vec<Observed>, id: &str| {
        *place.entry(id.to_owned()).or_insert_with(|| {
            let (queue, id) = (queue.to_string(), id.to_owned());
            order.push(Observed { queue, id, records: Vec::new(), would_push: Vec::new() });
            order.len() - 1
        })
    };
    for record in commit.records {
        let at = of(&mut order, &record.id);
        if let Some(observed) = order.get_mut(at) {
            observed.records.push(record);
        }
    }
    for append in commit.append {
        let Destination::Queue(to) = append.to else { continue };
        for n in append.items.iter().filter_map(|item| Notification::decode(item).ok()) {
            let at = of(&mut order, &n.id);
            if let Some(observed) = order.get_mut(at) {
                let devices = n.targets.iter().map(homing_core::notification::Target::label).collect();
                observed.would_push.push(WouldPush {
                    queue: to.to_string(),
                    app: n.app,
                    platform: n.platform.name(),
                    to: devices,
                    title: n.title,
                    body: n.body,
                });
            }
        }
    }
    order
}

fn lines(observed: &Observed) -> String {
    let Observed { queue, id, records, would_push } = observed;
    let mut text = format!("{queue} {id}\n");
    for record in records {
        let target = record.target.as_deref().unwrap_or_default();
        let reason = record.reason.as_deref().unwrap_or_default();
        let what = match &record.fate {
            Fate::Skipped { rule } => format!("would not tell {target}: rule {rule} ({reason})"),
            Fate::Deferred { until } => {
                let until = jiff::Timestamp::from_millisecond(*until).map(|t| t.to_string()).unwrap_or_default();
                format!("would wait with {target} until {until} ({reason})")
            }
            Fate::NoDevice => format!("would not tell {target}: no device {reason}").trim_end().to_owned(),
            Fate::Invalid { error } => format!("would bury it: {error}"),
            Fate::Queued { .. } => continue,
            fate => format!("{} {target} {reason}", fate.name()),
        };
        text += &format!("  {what}\n");
    }
    for push in would_push {
        let to = push.to.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = push.to.len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text +=
            &format!("  would push to {to}{more} ({} {}): {} | {}\n", push.app, push.platform, push.title, push.body);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&'static str]) -> Vec<Bytes> {
        items.iter().map(|i| Bytes::from_static(i.as_bytes())).collect()
    }

    #[test]
    fn only_what_was_not_there_before_is_new() {
        let check = |before: &[&'static str], now: &[&'static str], known: usize| {
            assert_eq!(overlap(&list(before), &list(now)), known, "{before:?} {now:?}");
        };
        check(&[], &["a", "b"], 0);
        check(&["a", "b"], &["a", "b", "c"], 2);
        check(&["a", "b", "c"], &["c", "d"], 1);
        check(&["a", "b"], &["c"], 0);
        check(&["a", "a"], &["a", "a", "a"], 2);
        check(&["a", "b"], &[], 0);
    }
}
