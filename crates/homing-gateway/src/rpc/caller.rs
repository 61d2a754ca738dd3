//! Who calls, and what they may.

use std::sync::Arc;

use super::{
    fault::{Fault, code},
    keys::Key,
    method::Method,
};

/// Who calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A service, with its key.
    Key(Arc<Key>),
    /// A client over its socket: a user, or nobody in particular.
    User(Option<Arc<str>>),
}

impl Caller {
    /// The client of a socket.
    pub fn user(user: Option<Arc<str>>) -> Self {
        Self::User(user)
    }

    /// Beyond so many bytes of answers, nothing more of a batch is answered. A request may be a thousandth of its answer, and
    /// anybody with a socket may send a hundred of them in one frame.
    pub(super) fn most_answered(&self) -> usize {
        match self {
            Self::Key(_) => 8 << 20,
            Self::User(_) => 256 << 10,
        }
    }

    pub(super) fn require(&self, method: Method) -> Result<(), Fault> {
        let granted = match self {
            Self::Key(key) => key.may(method.needs()),
            Self::User(user) => user.is_some() && method.is_for_users(),
        };
        if granted {
            return Ok(());
        }
        let message = match self {
            Self::Key(key) => format!("{} has no key for {}", key.name, method.name()),
            Self::User(_) => format!("{} is not for clients", method.name()),
        };
        Err(Fault::new(code::UNAUTHORIZED, message))
    }

    /// The user that a call is about: a client's is itself, whether it names itself or nobody.
    pub(super) fn about(&self, named: Option<Arc<str>>) -> Result<Arc<str>, Fault> {
        match (self, named) {
            (Self::Key(_), Some(user)) => Ok(user),
            (Self::User(Some(own)), None) => Ok(Arc::clone(own)),
            (Self::User(Some(own)), Some(user)) if *own == user => Ok(user),
            (Self::User(_), Some(_)) => {
                let message = "a client may ask only of its own user";
                Err(Fault { field: Some("user".into()), ..Fault::new(code::UNAUTHORIZED, message) })
            }
            (_, None) => Err(Fault::param("user", "is missing")),
        }
    }
}
