//! Metrics of the calls.

/// Calls, by method and result.
pub const CALLS: &str = "homing_gateway_rpc_calls_total";
/// Time of a call in seconds, by method.
pub const SECONDS: &str = "homing_gateway_rpc_seconds";
