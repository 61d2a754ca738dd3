//! Why a store of live delivery could not answer, in the port's words.

pub use homing_core::live::MAX_BODY;
use homing_core::live::{LiveDown, MAX_ID, MAX_NAME, Post, Stream};

/// A failure of `what`; worth another try.
pub(crate) fn down(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LiveDown {
    LiveDown { what: what.to_owned(), refused: false, source: source.into() }
}

/// `what` is well and does not take it.
pub(crate) fn refused(what: &str, why: String) -> LiveDown {
    LiveDown { what: what.to_owned(), refused: true, source: why.into() }
}

/// Refuses what no store takes, before anything is written.
pub(crate) fn check_posts(what: &str, posts: &[Post]) -> Result<(), LiveDown> {
    for post in posts {
        let (id, stream, size) = (&post.id, &post.stream, post.body.len());
        check_stream(what, stream)?;
        if id.is_empty() || id.len() > MAX_ID {
            let shown: String = id.chars().take(40).collect();
            return Err(refused(what, format!("id {shown:?} of a message to {stream} must have 1 to {MAX_ID} bytes")));
        }
        if size > MAX_BODY {
            return Err(refused(
                what,
                format!("message {id} to {stream} has {size} bytes; at most {MAX_BODY} are taken"),
            ));
        }
    }
    Ok(())
}

/// Refuses a scheduled message that no store takes.
pub(crate) fn check_member(what: &str, id: &str, member: &[u8]) -> Result<(), LiveDown> {
    if id.is_empty() || id.len() > MAX_ID {
        let shown: String = id.chars().take(40).collect();
        return Err(refused(what, format!("id {shown:?} of a scheduled message must have 1 to {MAX_ID} bytes")));
    }
    if member.len() > MAX_BODY {
        let size = member.len();
        return Err(refused(what, format!("scheduled message {id} has {size} bytes; at most {MAX_BODY} are taken")));
    }
    Ok(())
}

/// Refuses names that are too long or empty.
pub(crate) fn check_stream(what: &str, stream: &Stream) -> Result<(), LiveDown> {
    match stream {
        Stream::User(name) | Stream::Group(name) => check_name(what, name),
        Stream::Everyone => Ok(()),
    }
}

/// As [`check_stream`], of a user's name.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), LiveDown> {
    if name.is_empty() || name.len() > MAX_NAME {
        let shown: String = name.chars().take(40).collect();
        return Err(refused(what, format!("name {shown:?} must have 1 to {MAX_NAME} bytes")));
    }
    Ok(())
}
