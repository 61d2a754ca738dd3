//! The names of all metrics, in one place.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// A metric of Homing. Its name goes into the macros: `counter!(Metric::PushTotal.name(), "outcome" => "delivered")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Items that stand in a shard's lists: `queue`, `list` (`main`, `retry`, `delayed`, `dead`, ...).
    QueueDepth,
    /// How long the first item of a shard's list has been there, as far as its owner saw: `queue`, `list`.
    QueueOldestAgeSeconds,
    /// Targets that were tried: `provider`, `app`, `platform`, `outcome`.
    PushTotal,
    /// Time of one call to a provider: `provider`.
    PushDurationSeconds,
    /// Recipients that a rule held back: `rule`.
    SkippedTotal,
    /// Dead tokens that were taken out of the directory: `provider`, `reason`.
    TokensRemovedTotal,
    /// Time from the event to the provider's acceptance; no label.
    E2eLatencySeconds,
    /// Whether this process owns a shard, 1 or 0: `queue`.
    LeaseOwned,
    /// Commits: `stage`.
    CommitsTotal,
    /// Items that commits finished: `stage`.
    CommitItemsTotal,
    /// How far a scanner's cursor is behind the clock: `source`.
    ScannerLagSeconds,
    /// Chats that a scanner found: `source`, `what` (`received`, `late`, `unreadable`).
    ScannerChatsTotal,
    /// Requests that the intake answered: `route`, `status`.
    IntakeRequestsTotal,
    /// Events that were offered to the intake: `lane`, `result` (`accepted`, `replayed`, `invalid`, `full`, `unavailable`).
    IntakeEventsTotal,
}

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::QueueDepth,
        Self::QueueOldestAgeSeconds,
        Self::PushTotal,
        Self::PushDurationSeconds,
        Self::SkippedTotal,
        Self::TokensRemovedTotal,
        Self::E2eLatencySeconds,
        Self::LeaseOwned,
        Self::CommitsTotal,
        Self::CommitItemsTotal,
        Self::ScannerLagSeconds,
        Self::ScannerChatsTotal,
        Self::IntakeRequestsTotal,
        Self::IntakeEventsTotal,
    ];

    /// The name that Prometheus knows.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// Tells the recorder what each metric is, which makes the help lines of `/metrics`.
    pub fn describe() {
        for metric in Self::ALL {
            let (name, kind, help) = metric.entry();
            match kind {
                Kind::Counter => describe_counter!(name, help),
                Kind::Gauge => describe_gauge!(name, help),
                Kind::Histogram => describe_histogram!(name, help),
            }
        }
    }

    const fn entry(self) -> (&'static str, Kind, &'static str) {
        use Kind::{Counter, Gauge, Histogram};
        match self {
            Self::QueueDepth => ("homing_queue_depth", Gauge, "Items in the queue."),
            Self::QueueOldestAgeSeconds => {
                ("homing_queue_oldest_age_seconds", Gauge, "How long the first item of the list has been waiting.")
            }
            Self::PushTotal => {
                ("homing_push_total", Counter, "Targets tried; delivered means that the provider accepted it.")
            }
            Self::PushDurationSeconds => ("homing_push_duration_seconds", Histogram, "Time of one call to a provider."),
            Self::SkippedTotal => ("homing_skipped_total", Counter, "Recipients that a rule held back."),
            Self::TokensRemovedTotal => {
                ("homing_tokens_removed_total", Counter, "Dead tokens taken out of the directory.")
            }
            Self::E2eLatencySeconds => {
                ("homing_e2e_latency_seconds", Histogram, "Time from the event to the provider's answer.")
            }
            Self::LeaseOwned => ("homing_lease_owned", Gauge, "1 if this process owns the shard."),
            Self::CommitsTotal => ("homing_commits_total", Counter, "Commits of finished work."),
            Self::CommitItemsTotal => ("homing_commit_items_total", Counter, "Items finished by commits."),
            Self::ScannerLagSeconds => (
                "homing_scanner_lag_seconds",
                Gauge,
                "Age of the newest chat that was read; it also grows while nobody writes.",
            ),
            Self::ScannerChatsTotal => {
                ("homing_scanner_chats_total", Counter, "Chats found; late ones behind the cursor.")
            }
            Self::IntakeRequestsTotal => {
                ("homing_intake_requests_total", Counter, "Requests that the intake answered.")
            }
            Self::IntakeEventsTotal => (
                "homing_intake_events_total",
                Counter,
                "Events offered to the intake; accepted means that they stand in a queue.",
            ),
        }
    }
}
