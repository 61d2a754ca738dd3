//! Web Push: browsers, through the push service that each of them brings (RFC 8030, 8188, 8291, 8292).
//!
//! A token is the `PushSubscription` as the browser gives it: the address to post to and the keys to encrypt for. The
//! push service cannot read what it carries.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.web_push]` and its accounts |
//! | `subscription` | the token |
//! | `payload` | the JSON that the page's service worker reads |
//! | `seal` | encryption for one browser |
//! | `vapid` | the key pair that names the sender |
//! | `origins` | per push service: permits, the signed header, whether it takes our key |
//! | `verdict` | statuses to outcomes |
//! | `channel` | one attempt |

mod channel;
mod origins;
mod payload;
mod seal;
mod settings;
mod subscription;
mod vapid;
mod verdict;

pub use channel::{PAGE_MAX, WebPush, open};
pub use vapid::{generate_vapid, public_key};
