//! A file that may be removed or replaced while connections to it are open: they would go on with the old one, and what is
//! written there is gone with the last of them.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Says which connections belong to the file that stands there now.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Device and inode; `None`: there is no such file.
    file: Option<(u64, u64)>,
    since: Instant,
}

fn look(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl Watched {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: Mutex::new(Seen { file: look(path), since: Instant::now() }) }
    }

    /// Is a connection that was opened so long ago one to this file? A look is some microseconds.
    pub(super) fn is_current(&self, age: Duration) -> bool {
        let file = look(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.file != file {
            *seen = Seen { file, since: Instant::now() };
        }
        age <= seen.since.elapsed()
    }
}
