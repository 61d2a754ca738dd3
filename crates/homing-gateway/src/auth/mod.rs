//! Who a client is: a JSON Web Token (RFC 7519) from wherever it stands, or an opaque cookie that something else resolves.
//!
//! What needs only keys is decided at once, on the thread of the socket ([`Auth::check`](crate::identity::Authenticate));
//! a key set that must be fetched and a cookie's lookup are asked for on the node's runtime. A token's algorithm must be
//! the one that its key was configured for: so no public key is ever taken for a secret, and `none` is no algorithm.

mod authenticator;
mod claims;
mod cookie;
mod jwks;
mod key;
pub mod meter;
pub mod origin;
mod place;
mod settings;
mod token;

pub use authenticator::Auth;
pub use settings::{
    Algorithm, HttpLookup, IfInvalid, IfMissing, JwksSettings, KeySettings, LookupSettings, RedisLookup, SessionCookie,
    Settings,
};
