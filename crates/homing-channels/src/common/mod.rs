//! What the channels share: one HTTP exchange, signed tokens, tokens that a provider lends, and code tables.

pub(crate) mod codes;
pub(crate) mod http;
pub(crate) mod jose;
pub(crate) mod lent;
pub(crate) mod section;
