//! The configuration of a daemon, and where each value of it came from.
//!
//! Layers, the later above the earlier: compiled-in defaults, files (`--config`, any number), the environment
//! (`HOMING__SECTION__KEY=value`). Tables merge deeply; arrays and scalars replace. A key that the program does not know is
//! an error, wherever it stands, and every error says where to look:
//!
//! ```text
//! config/higo.toml line 12: lane.system.shards: invalid type: string "x", expected u32
//! environment HOMING__LANE__SYSTEM__SHARDS: invalid type: string "x", expected u32
//! config/higo.toml line 14: lane.system.shrads: unknown key, did you mean "shards"?
//! config/higo.toml line 3 column 8: invalid table header, expected `.`, `]`
//! ```
//!
//! Two things are the type's own affair, because serde hides them from the loader: the variants of a tagged enum must say
//! `deny_unknown_fields`, and a mistake inside one is reported at the line of its table; a struct with `flatten` accepts
//! whatever its parts accept.
//!
//! Secrets need not stand in the file: `url_file = "redis.url"` puts the contents of that file into `url`
//! (see [`Sources::secrets`]).

mod error;
mod layer;
mod load;
mod merge;
mod origin;
mod secrets;
mod strict;
mod suggest;
mod vars;

pub use error::ConfigError;
pub use load::{Loaded, Sources, load};
pub use origin::Origins;
pub use secrets::SECRET_KEYS;
