//! A push service for browsers, and the browsers behind it, written from RFC 8030, 8188, 8291 and 8292: it checks who
//! sends, and, being the browser too, decrypts what came. Plain HTTP on the loopback.
//!
//! | path | answers |
//! |---|---|
//! | `POST /_sim/subscribe` | a new subscription, as `pushManager.subscribe` would give it; or many |
//! | `POST /push/{id}` | takes a message: 201 |
//! | `DELETE /push/{id}` | the user withdrew the permission: 410 from now on |
//!
//! `/_sim/subscribe` takes `{"name": "good", "count": 100, "applicationServerKey": "B.."}`, all of them optional: `name`
//! begins the ids, so that a script's prefixes make states of them; with a key only its owner may send (403 for others);
//! with `count` the answer is `{"subscriptions": [..]}`. The states of the stand: dead = 410, foreign = 403, throttled =
//! 429, a code of its own = that HTTP status.
//!
//! | file | holds |
//! |---|---|
//! | `http` | the routes |
//! | `request` | what a push must look like |
//! | `vapid` | the sender's signature |
//! | `browser` | the keys of a browser, and decryption |

mod browser;
mod http;
mod request;
mod vapid;

#[cfg(test)]
pub(crate) use browser::{Browser, open};
pub use http::{Config, router};
