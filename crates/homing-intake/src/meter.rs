//! The intake's metrics, one function each, so that names and labels stand in one place.

use metrics::counter;

/// A request was answered.
pub(crate) fn request(route: &str, status: u16) {
    counter!("homing_intake_requests_total", "route" => route.to_owned(), "status" => status.to_string()).increment(1);
}

/// What became of offered events: `accepted`, `replayed`, `invalid`, `full`, `unavailable`.
pub(crate) fn events(lane: &str, result: &'static str, count: usize) {
    if count > 0 {
        counter!("homing_intake_events_total", "lane" => lane.to_owned(), "result" => result).increment(count as u64);
    }
}

/// What became of receipts: `accepted`, `repeated`, `refused`.
pub(crate) fn receipts(result: &'static str, count: usize) {
    if count > 0 {
        counter!("homing_intake_receipts_total", "result" => result).increment(count as u64);
    }
}

/// What a sweep of the registry did: `expired`, `removed`, `dropped`; and changes that were `told`.
pub(crate) fn registry(result: &'static str, count: u64) {
    if count > 0 {
        counter!("homing_registry_changes_total", "result" => result).increment(count);
    }
}
