//! The gateway: real clients and emitters of others against it.

mod answers;
mod calls;
mod drain;
mod durable;
mod flask;
mod history;
mod javascript;
mod listener;
mod matrix;
mod nodes;
mod pipeline;
mod producer;
mod race;
mod raw;
mod site;
mod slow;
mod tab;
mod tls;
