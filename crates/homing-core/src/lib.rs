//! What a message is and who decides what: events, notifications, fates, rules, retry arithmetic, wire shapes, and the
//! ports that the other crates implement. No IO: clocks, stores and providers are handed in.

#![warn(missing_docs)]

pub mod catalogue;
pub mod channel;
pub mod chat;
pub mod clock;
pub mod duration;
pub mod event;
pub mod ledger;
pub mod live;
pub mod lookup;
pub mod notification;
pub mod queue;
pub mod quiet;
pub mod receipt;
pub mod record;
pub mod registry;
pub mod retry;
pub mod rules;
pub mod steps;
pub mod window;
pub mod wire;
pub mod wire_live;
