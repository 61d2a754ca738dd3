//! Places between any two steps of a worker where a test can make the process die. In production nothing listens.

/// A place. Names are stable: fault tests name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The lease was taken; nothing was peeked.
    Taken,
    /// Items (or a page of chats) were read; nothing was worked.
    Peeked,
    /// Facts were looked up.
    LookedUp,
    /// All is decided; the commit was not sent.
    Decided,
    /// The commit script ran; the worker has not noted it.
    Committed,
    /// A provider call is about to be made.
    Calling,
    /// The provider answered; nothing was settled.
    Answered,
    /// Due work moved to the retry list.
    Promoted,
    /// Work is done and committed; the lease was not given back.
    Releasing,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Taken,
        Self::Peeked,
        Self::LookedUp,
        Self::Decided,
        Self::Committed,
        Self::Calling,
        Self::Answered,
        Self::Promoted,
        Self::Releasing,
    ];

    /// Its name: `looked_up`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Peeked => "peeked",
            Self::LookedUp => "looked_up",
            Self::Decided => "decided",
            Self::Committed => "committed",
            Self::Calling => "calling",
            Self::Answered => "answered",
            Self::Promoted => "promoted",
            Self::Releasing => "releasing",
        }
    }

    /// The step of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// Is told of every step.
pub trait Steps: Send + Sync {
    /// The worker is at `step`.
    fn at(&self, step: Step);
}

/// Nothing happens at any step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Undisturbed;

impl Steps for Undisturbed {
    fn at(&self, _: Step) {}
}
