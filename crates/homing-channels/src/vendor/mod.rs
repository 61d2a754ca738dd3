//! The push services of phone makers: Xiaomi, OPPO, vivo, Honor. They are alike, so they share one channel:
//!
//! ```text
//! account by (app, environment) -> message -> access token (lent, one fetch for all) -> call -> code -> class -> answers
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `channel` | the path above; `judge` turns a reply into answers |
//! | `vendor` | what a vendor says to differ: the trait, the call as data, the reply as data |
//! | `settings` | `[channel.NAME]` and its accounts |
//! | `text`, `quota` | lengths, keys and custom fields; a day in China |
//! | `xiaomi`, `oppo`, `vivo`, `honor` | one file each, and its codes in `codes/NAME.toml` |

mod channel;
pub(crate) mod honor;
mod judge;
pub(crate) mod oppo;
mod quota;
mod settings;
mod text;
#[allow(clippy::module_inception, reason = "the trait of the family has the family's name")]
mod vendor;
pub(crate) mod vivo;
pub(crate) mod xiaomi;
