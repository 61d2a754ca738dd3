//! Metrics of the plain WebSocket.

/// Frames of clients, by kind.
pub const FRAMES: &str = "homing_gateway_plain_frames_total";
/// Sessions closed by the protocol, by close code.
pub const CLOSED: &str = "homing_gateway_plain_closed_total";
