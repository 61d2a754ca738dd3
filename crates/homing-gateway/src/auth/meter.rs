//! Metrics of authentication.

/// Verdicts, by result: `known`, `anonymous`, `missing`, `refused`, `unavailable`.
pub const VERDICTS: &str = "homing_gateway_auth_total";
/// Fetches of the key set, by result: `ok`, `failed`.
pub const FETCHES: &str = "homing_gateway_auth_jwks_total";
/// Lookups of session cookies, by result: `found`, `unknown`, `failed`.
pub const LOOKUPS: &str = "homing_gateway_auth_cookies_total";
