//! Webhooks: a service of one's own or of a partner is told by HTTP, with a signature.
//!
//! A token is the name of a hook in the configuration, so that no address comes from outside.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.webhook]` and its hooks |
//! | `body` | the JSON that is posted |
//! | `sign` | the signature over it |
//! | `channel` | one attempt, and what its answer means |

mod body;
mod channel;
mod settings;
mod sign;

pub use channel::{Webhook, open};
pub use sign::{SIGNATURE, sign};
