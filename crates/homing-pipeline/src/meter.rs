//! The workers' metrics, one function each, so that names and labels stand in one place.

use std::time::Duration;

use homing_core::queue::{Log, QueueName, Snapshot};
use metrics::{counter, gauge, histogram};

pub(crate) fn owned(queue: &QueueName, held: bool) {
    gauge!("homing_lease_owned", "queue" => queue.to_string()).set(if held { 1.0 } else { 0.0 });
}

pub(crate) fn depth(queue: &QueueName, snapshot: &Snapshot) {
    for log in &snapshot.logs {
        let depth = log.length.saturating_sub(log.finished);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!("homing_queue_depth", "queue" => queue.to_string(), "list" => log.log.name().to_owned())
            .set(depth as f64);
    }
    for (list, depth) in [("delayed", snapshot.delayed), ("dead", snapshot.dead)] {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!("homing_queue_depth", "queue" => queue.to_string(), "list" => list).set(depth as f64);
    }
}

pub(crate) fn oldest_age(queue: &QueueName, log: &Log, age: Duration) {
    gauge!("homing_queue_oldest_age_seconds", "queue" => queue.to_string(), "list" => log.name().to_owned())
        .set(age.as_secs_f64());
}

pub(crate) fn committed(stage: &'static str, items: usize) {
    counter!("homing_commits_total", "stage" => stage).increment(1);
    counter!("homing_commit_items_total", "stage" => stage).increment(items as u64);
}

pub(crate) fn skipped(rule: &str, recipients: usize) {
    counter!("homing_skipped_total", "rule" => rule.to_owned()).increment(recipients as u64);
}

pub(crate) fn pushed(channel: &'static str, app: &str, platform: &'static str, outcome: &'static str, targets: usize) {
    counter!("homing_push_total", "provider" => channel, "app" => app.to_owned(), "platform" => platform, "outcome" => outcome)
        .increment(targets as u64);
}

pub(crate) fn paused(channel: &str, app: &str, platform: &str, paused: bool) {
    let labels = [("channel", channel.to_owned()), ("app", app.to_owned()), ("platform", platform.to_owned())];
    gauge!("homing_route_paused", &labels).set(if paused { 1.0 } else { 0.0 });
}

pub(crate) fn rerouted(from: &'static str, to: &str, app: &str, targets: usize) {
    counter!("homing_rerouted_total", "channel" => from, "to" => to.to_owned(), "app" => app.to_owned())
        .increment(targets as u64);
}

pub(crate) fn rehearsed(channel: &'static str, app: &str, outcome: &str, targets: usize) {
    counter!("homing_rehearsed_total", "channel" => channel, "app" => app.to_owned(), "outcome" => outcome.to_owned())
        .increment(targets as u64);
}

pub(crate) fn user_cleaned(channel: &'static str) {
    counter!("homing_users_cleaned_total", "channel" => channel).increment(1);
}

pub(crate) fn call_took(channel: &'static str, seconds: f64) {
    histogram!("homing_push_duration_seconds", "provider" => channel).record(seconds);
}

pub(crate) fn token_removed(channel: &'static str) {
    counter!("homing_tokens_removed_total", "provider" => channel, "reason" => "token_invalid").increment(1);
}

pub(crate) fn end_to_end(seconds: f64, targets: usize) {
    histogram!("homing_e2e_latency_seconds").record_many(seconds, targets);
}

/// Behind our clock, in milliseconds.
pub(crate) fn scanner_lag(source: &str, millis: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    gauge!("homing_scanner_lag_seconds", "source" => source.to_owned()).set(millis.max(0) as f64 / 1_000.0);
}

/// What a scanner found: `received`, `late` (of those received or unreadable), `unreadable`.
pub(crate) fn scanned(source: &str, what: &'static str, chats: usize) {
    if chats > 0 {
        counter!("homing_scanner_chats_total", "source" => source.to_owned(), "what" => what).increment(chats as u64);
    }
}
