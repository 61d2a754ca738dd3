//! The msgpack push agent's TCP protocol: business services send jobs `(type, id, data)`, and each becomes an event of the
//! configured lane.
//!
//! ```text
//! framed   u32 length, big-endian ─► msgpack [type, id, data]     ◄─ 00, once the event stands in its entry list
//!          length 0 = heartbeat                                   ◄─ 00
//! bare     msgpack [type, id, data], one after another            (no answer)
//! ```
//!
//! The dialect shows in the first byte: a length begins with 00, a msgpack container with 80 or more.
//!
//! | type | id | whom |
//! |---|---|---|
//! | 1 | text or number | all members of the group, and the group's own topic |
//! | 2, 3 | text or number | one user |
//! | 2, 3 | list | these users |
//!
//! | file | holds |
//! |---|---|
//! | `options` | `[agent]` |
//! | `frame` | a stream of bytes into frames, in both dialects |
//! | `job` | a frame into events |
//! | `connection` | one client: frames in, appends, answers |
//! | `serve` | all clients |
//! | `focus` | which users look at the app: JSON by MQTT |

mod connection;
pub mod focus;
mod frame;
mod job;
mod meter;
mod options;
mod seldom;
mod serve;

pub use options::{Author, Dialect, Options, Text, TypeRule};
pub use serve::{Agent, serve};
