//! Metrics of Engine.IO and Socket.IO.

/// Requests that were refused, by reason.
pub const REFUSED: &str = "homing_gateway_engine_refused_total";
/// Sessions that ended because of what their client did or did not do, by reason.
pub const BROKEN: &str = "homing_gateway_engine_broken_total";
/// Sessions that went from polling to a WebSocket.
pub const UPGRADES: &str = "homing_gateway_engine_upgrades_total";
/// Connects to namespaces, by result.
pub const CONNECTS: &str = "homing_gateway_socketio_connects_total";
/// Events of clients, by what became of them.
pub const EVENTS: &str = "homing_gateway_socketio_events_total";
/// Acknowledgements that were waited for, by what became of them.
pub const ACKS: &str = "homing_gateway_socketio_acks_total";
/// Messages marked read because a client's answer proves that it has them, by result.
pub const PROVEN: &str = "homing_gateway_socketio_proven_total";
