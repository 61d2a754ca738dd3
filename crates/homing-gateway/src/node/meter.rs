//! Metrics of the node.

/// Questions of sessions, by kind and result.
pub const ASKED: &str = "homing_gateway_asked_total";
/// Announcements heard, by kind.
pub const HEARD: &str = "homing_gateway_heard_total";
/// Gaps that were mended, by how they showed.
pub const MENDED: &str = "homing_gateway_mended_total";
/// Scheduled messages published by this node.
pub const PROMOTED: &str = "homing_gateway_promoted_total";
/// How late a scheduled message was published, in seconds.
pub const LATENESS: &str = "homing_gateway_promote_lateness_seconds";
/// Users with a session here.
pub const USERS: &str = "homing_gateway_users";
/// Emits by source and what became of them.
pub const EMITS: &str = "homing_gateway_emits_total";
