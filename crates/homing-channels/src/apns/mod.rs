//! APNs, Apple's push service, over HTTP/2: with a signing key (token authentication) or with a certificate per app.
//! (Apple, "Sending notification requests to APNs", "Establishing a token-based connection", "Handling notification
//! responses".)
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.apns]` and its accounts |
//! | `channel` | the channel: finds the account of a notification, makes the calls of a page at once |
//! | `account` | one account, prepared: what a call carries, what its answer means |
//! | `payload` | body and headers of a notification |
//! | `token` | the provider token: one per key, the same in all processes |
//! | `tls` | whom we trust, and who we are in certificate mode |
//! | `line`, `link` | the one connection of a key or certificate: warm-up, streams, GOAWAY, breaks |
//! | `verdict`, `apns.toml` | reasons to outcomes |
//! | `window` | whether `BadDeviceToken` is to be believed |
//! | `examine` | a look at each credential |

mod account;
mod channel;
mod examine;
mod line;
mod link;
mod payload;
mod settings;
mod tls;
mod token;
mod verdict;
mod window;

pub use channel::{Apns, PAGE};
