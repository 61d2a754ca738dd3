//! Limits that both generations share.

/// Tokens of a call.
pub(super) const TOKENS: usize = 1_000;

/// Bytes of a message without its tokens.
pub(super) const BYTES: usize = 4_096;

/// Longest life in seconds.
pub(super) const TTL: i64 = 1_296_000;
