//! What the channels share: one HTTP exchange, signed tokens, tokens that a provider lends, code tables, and how answers
//! that blame a token or a credential are judged.

pub(crate) mod codes;
pub(crate) mod grant;
pub(crate) mod guard;
pub(crate) mod http;
pub(crate) mod jose;
pub(crate) mod key_file;
pub(crate) mod lent;
pub(crate) mod renewals;
pub(crate) mod section;
pub(crate) mod strangers;
pub(crate) mod words;
