//! What is wrong with a message that an emitter published.

/// A message that cannot be read. The words say what and where; they repeat nothing of its content but names of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Bad(pub String);

impl Bad {
    /// With these words.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
