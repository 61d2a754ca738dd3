//! From one provider to another, and other ways to a device: Xinge, FCM, HMS and Xiaomi, each simulated by a process of
//! its own, told by real distributors and senders.

mod attention;
mod migration;
mod pause;
mod routes;
mod town;
