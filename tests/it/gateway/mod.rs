//! The gateway: real clients and emitters of others against it.

mod flask;
mod javascript;
mod listener;
mod matrix;
mod nodes;
mod site;
mod tab;
