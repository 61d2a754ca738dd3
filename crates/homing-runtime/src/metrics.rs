//! The recorder behind the `metrics` macros, and its text for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

use crate::{Result, names::Metric, process};

/// Bounds of `*_seconds` histograms: from a call inside the house to a message that waited out an outage.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
/// Bounds of all other histograms (sizes of batches and the like); without any, the exporter makes summaries.
const COUNTS: [f64; 13] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4];

/// How often the exporter is made to sort its samples into buckets; between two times they only pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Makes the recorder that the macros of `metrics` write to. It can be done once in a process.
    pub fn install() -> Result<Self> {
        let handle = builder()?.install_recorder()?;
        Metric::describe();
        Ok(Self(handle))
    }

    /// The text of `/metrics`, with the figures of the process at this moment. It reads `/proc`, so it blocks for a moment.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        process::render(&mut text);
        text
    }

    /// Keeps the recorder's memory bounded; runs for ever.
    pub(crate) async fn upkeep(self) {
        every(UPKEEP, || self.0.run_upkeep()).await;
    }
}

async fn every(period: Duration, mut work: impl FnMut()) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge, histogram};

    use super::*;

    fn recorded(record: impl FnOnce()) -> Metrics {
        let recorder = builder().unwrap().build_recorder();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            Metric::describe();
            record();
        });
        metrics
    }

    #[track_caller]
    fn contains(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{line:?} is missing in\n{text}");
        }
    }

    #[test]
    fn seconds_and_counts_have_their_own_buckets() {
        let metrics = recorded(|| {
            histogram!(Metric::PushDurationSeconds.name(), "provider" => "xinge").record(0.03);
            histogram!("homing_batch_items").record(30.0);
        });
        let text = metrics.render();
        contains(
            &text,
            &[
                "# HELP homing_push_duration_seconds Time of one call to a provider.",
                "# TYPE homing_push_duration_seconds histogram",
                "homing_push_duration_seconds_bucket{provider=\"xinge\",le=\"0.025\"} 0",
                "homing_push_duration_seconds_bucket{provider=\"xinge\",le=\"0.05\"} 1",
                "homing_push_duration_seconds_bucket{provider=\"xinge\",le=\"+Inf\"} 1",
                "# TYPE homing_batch_items histogram",
                "homing_batch_items_bucket{le=\"50\"} 1",
            ],
        );
        assert!(!text.contains("quantile"), "{text}");
    }

    #[test]
    fn names_keep_their_kind() {
        let metrics = recorded(|| {
            counter!(Metric::CommitsTotal.name(), "queue" => "message_queue_1").increment(2);
            gauge!(Metric::QueueDepth.name(), "stage" => "entry", "shard" => "1").set(7.0);
        });
        contains(
            &metrics.render(),
            &[
                "# TYPE homing_commits_total counter",
                "homing_commits_total{queue=\"message_queue_1\"} 2",
                "# TYPE homing_queue_depth gauge",
                "homing_queue_depth{stage=\"entry\",shard=\"1\"} 7",
            ],
        );
    }

    #[test]
    fn all_names_are_listed_once() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
        assert!(names.iter().all(|name| name.starts_with("homing_")), "{names:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn upkeep_comes_every_five_seconds() {
        let mut times = 0;
        let for_ever = every(UPKEEP, || times += 1);
        assert!(tokio::time::timeout(Duration::from_secs(12), for_ever).await.is_err());
        assert_eq!(times, 3, "at 0, 5 and 10 s");
    }
}
