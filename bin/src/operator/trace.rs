//! `homing trace ID`: everything that is on record about one message.

use homing_core::{queue::Queue, record::Fate};
pub use homing_intake::books::Trace;
use homing_intake::{books, receipts};

use crate::{config::Config, intake};

/// Collects the records of `id` from every shard's trace, and the receipts.
///
/// # Errors
/// The server cannot be reached.
pub async fn read(config: &Config, queue: &dyn Queue, id: &str) -> anyhow::Result<Trace> {
    let mut seats = intake::seats(config);
    seats.push(receipts::shard());
    Ok(books::trace(queue, &seats, &intake::shards(config)?, id).await?)
}

/// The history as lines for people.
pub fn lines(trace: &Trace) -> String {
    let mut text = String::new();
    for r in &trace.records {
        let at = jiff::Timestamp::from_millisecond(r.at).map_or_else(|_| r.at.to_string(), |t| t.to_string());
        let detail = match &r.fate {
            Fate::Invalid { error } => error.clone(),
            Fate::Skipped { rule } => format!("rule {rule}"),
            Fate::Queued { channel } => format!("for {channel}"),
            Fate::Delivered { provider_id } => {
                let id = provider_id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
                format!("the provider accepted it{id}")
            }
            Fate::Retried { at, why } => {
                let at = jiff::Timestamp::from_millisecond(*at).map_or_else(|_| at.to_string(), |t| t.to_string());
                format!("again at {at}: {why}")
            }
            Fate::BadToken { removed } => (if *removed { "token removed" } else { "token not removed" }).to_owned(),
            Fate::Dead { why } => why.clone(),
            Fate::Deferred { until } => {
                jiff::Timestamp::from_millisecond(*until).map_or_else(|_| until.to_string(), |t| format!("until {t}"))
            }
            Fate::Rerouted { channel } => format!("goes on by {channel}"),
            Fate::Rehearsed { outcome } => format!("would be {outcome}"),
            Fate::Received
            | Fate::Expanded
            | Fate::Passed
            | Fate::NoDevice
            | Fate::Expired
            | Fate::Cancelled
            | Fate::Seen { .. } => String::new(),
        };
        let parts = [r.target.as_deref().unwrap_or_default(), &detail, r.reason.as_deref().unwrap_or_default()];
        let rest: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        text += &format!("{at:<25} {:<6} {:<10} {}\n", r.stage.name(), r.fate.name(), rest.join("; "));
    }
    if trace.records.is_empty() {
        text += &format!(
            "Nothing is on record about {}: it never came in, or it is older than the trace window.\n",
            trace.id
        );
    }
    text
}
