//! MQTT 3.1.1: a message is published to the topic `PREFIX/TOKEN` with QoS 1, and is delivered when the broker says so
//! (PUBACK). Who subscribed to the topic, and whether the broker keeps it for them, is the broker's affair.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.mqtt]` and its accounts: address, credentials, certificates |
//! | `topic` | which topics may be published |
//! | `line` | one connection: publishes, waits for the PUBACK, comes back after a loss |
//! | `channel` | the channel: finds the broker and the line of a target |

mod channel;
mod line;
mod settings;
mod topic;

pub use channel::{Mqtt, PAGE, link};
pub use settings::{Broker, Form, Link};
