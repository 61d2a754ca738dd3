//! A node that only writes down what it is told.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use homing_core::live::LiveDown;
use homing_gateway::emit::{Command, Emitter, Health, Publication, Sink, State, reader};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes: a hang ends, a slow machine passes.
const PATIENCE: Duration = Duration::from_secs(90);

/// The variable of a server that `scripts/services` started.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

/// A name that nobody else uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("homing-test-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What was heard, in words: `emit ["x"] to [Name("42")]`, `store ...`, `publication ...`, `bad ...`.
#[derive(Default)]
pub(crate) struct Book {
    lines: Mutex<Vec<String>>,
    grew: watch::Sender<usize>,
    states: watch::Sender<Vec<(String, State)>>,
    /// So often the store is away.
    pub(crate) away: AtomicU32,
    /// The store refuses everything.
    pub(crate) refuses: AtomicU32,
}

impl Book {
    fn write(&self, line: String) {
        let mut lines = self.lines.lock().unwrap();
        lines.push(line);
        self.grew.send_replace(lines.len());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines, once there are so many.
    #[track_caller]
    pub(crate) fn wait(self: &Arc<Self>, count: usize) -> impl Future<Output = Vec<String>> {
        let (book, mut grew) = (Arc::clone(self), self.grew.subscribe());
        async move {
            let enough = tokio::time::timeout(PATIENCE, grew.wait_for(|lines| *lines >= count)).await.is_ok();
            assert!(enough, "{count} lines were to come: {:?} {:?}", book.lines(), book.states.borrow());
            book.lines()
        }
    }

    /// Waits for a source to come or go, and answers why it went.
    pub(crate) async fn wait_state(&self, name: &str, up: bool) -> String {
        let mut states = self.states.subscribe();
        let last = |states: &Vec<(String, State)>| {
            let state = states.iter().rev().find(|(of, _)| of == name).map(|(_, state)| state.clone());
            state.filter(|state| (*state == State::Up) == up)
        };
        let found = tokio::time::timeout(PATIENCE, states.wait_for(|states| last(states).is_some())).await;
        let Ok(Ok(states)) = found else { panic!("{name}: {:?}", self.states.borrow()) };
        match last(&states) {
            Some(State::Down(why)) => why,
            _ => String::new(),
        }
    }

    /// How often a source changed.
    pub(crate) fn changes(&self, name: &str) -> usize {
        self.states.borrow().iter().filter(|(of, _)| of == name).count()
    }
}

fn words(command: &Command) -> String {
    match command {
        Command::Emit { emit, rooms, .. } => {
            let array = String::from_utf8_lossy(&emit.array);
            let to: Vec<String> = rooms.to.iter().map(ToString::to_string).collect();
            format!("emit {} {array} to {to:?} with {}", emit.namespace, emit.binary.len())
        }
        other => format!("{} {}", other.kind(), other.namespace()),
    }
}

impl Sink for Book {
    fn command<'a>(&'a self, source: usize, command: Command, raw: &'a [u8]) -> BoxFuture<'a, ()> {
        assert!(!raw.is_empty());
        async move { self.write(format!("{source} {}", words(&command))) }.boxed()
    }

    fn publication<'a>(&'a self, source: usize, publication: Publication, _: &'a [u8]) -> BoxFuture<'a, ()> {
        let Publication { to, kind, data } = publication;
        async move { self.write(format!("{source} publication {kind} {to:?} {data}")) }.boxed()
    }

    fn store<'a>(&'a self, source: usize, command: Command, _: &'a str) -> BoxFuture<'a, Result<(), LiveDown>> {
        async move {
            let down = |refused| LiveDown { what: "the test's store".into(), refused, source: "it is away".into() };
            if self.refuses.load(Ordering::SeqCst) > 0 {
                return Err(down(true));
            }
            if self.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok() {
                return Err(down(false));
            }
            self.write(format!("{source} store {}", words(&command)));
            Ok(())
        }
        .boxed()
    }

    fn bad(&self, source: usize, why: &str, _: &[u8]) {
        self.write(format!("{source} bad {why}"));
    }
}

impl Health for Book {
    fn status(&self, _: usize, name: &str, state: &State) {
        self.states.send_modify(|states| states.push((name.to_owned(), state.clone())));
    }
}

/// A reader that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts it; source 0.
    pub(crate) fn start(emitter: Emitter, node: &str, book: &Arc<Book>) -> Self {
        let (stop, node) = (CancellationToken::new(), node.to_owned());
        let (sink, health, token) = (Arc::clone(book), Arc::clone(book), stop.clone());
        let task = tokio::spawn(async move { reader::run(0, emitter, &node, sink, health, token).await });
        Self { stop, task }
    }

    /// Stops it, and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        assert!(matches!(ended, Ok(Ok(()))), "it did not stop: {ended:?}");
    }
}
