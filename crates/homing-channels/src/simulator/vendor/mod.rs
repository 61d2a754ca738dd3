//! The phone makers' push services: Xiaomi, OPPO, vivo, Honor, one file each, on one [`Stand`](super::stand::Stand) per
//! server. States of devices are answered as the vendor does it:
//!
//! | state | Xiaomi | OPPO | vivo | Honor |
//! |---|---|---|---|---|
//! | dead | `bad_regids`; alone 20301 | 10000 | 10302, `status` 2 | `expireTokens`; alone 80300007 |
//! | of another app | as dead | as dead | 10302, `status` 1 | `failTokens` |
//! | throttled | 10027 for the call | 55 | 10072 for the call | 80100017 for the call |
//! | a code | for the call | that code | for the call, `status N` for the device | for the call, or a list's name |
//!
//! `own.revoked = N` in the script: the first N access tokens that were lent are not taken any more.

pub mod honor;
mod line;
pub mod oppo;
pub mod vivo;
pub mod xiaomi;
