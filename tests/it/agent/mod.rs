//! The msgpack push agent from end to end: `config/agent.toml` itself, a Redis with users and groups, mosquitto with paho
//! as the subscriber, Apple's two networks as simulators, and a client in Python that speaks as the original's did.

mod flow;
mod focus;
mod killed;
mod people;
mod site;
mod tokens;
mod wire;
