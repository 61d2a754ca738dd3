//! FCM, Google's push service, by its HTTP v1 API: Android, and through it iOS and browsers.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.fcm]` and its accounts |
//! | `service_account` | the key file that Google hands out |
//! | `access` | the OAuth2 access token, lent for an hour |
//! | `message` | the body of a call from a notification |
//! | `account` | one project: its token, its streams, its limit, one call |
//! | `answer` | what an answer means, by `codes.toml` |
//! | `channel` | the port: a page of calls |
//! | `examine` | tries the credentials without sending |

mod access;
mod account;
mod answer;
mod channel;
mod examine;
mod message;
mod service_account;
mod settings;

pub use channel::{Fcm, PAGE};
pub use message::MESSAGE_MAX;
