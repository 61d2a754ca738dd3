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
