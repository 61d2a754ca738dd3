//! From bytes to the sink: reads, counts, and sets aside what cannot be read.

use std::{sync::Arc, time::Duration};

use super::{
    bad::Bad,
    command::Command,
    kombu, meter, node, plain, python,
    quiet::Quiet,
    settings::Emitter,
    sink::{Health, Sink, State},
};

/// Between two tries to store a message.
const PAUSE: Duration = Duration::from_millis(500);

/// One source's way to the sink.
pub(super) struct Intake {
    pub(super) source: usize,
    /// For logs and metrics.
    pub(super) name: String,
    pub(super) emitter: Emitter,
    python: python::Options,
    node: node::Options,
    sink: Arc<dyn Sink>,
    health: Arc<dyn Health>,
    bad: Quiet,
    lost: Quiet,
    waits: Quiet,
}

/// What the bytes are.
pub(super) enum Form<'a> {
    /// A message of python-socketio.
    Python,
    /// The same in kombu's envelope.
    Kombu,
    /// Node's broadcast.
    Broadcast,
    /// Node's request, of this namespace.
    Request(&'a Arc<str>),
    /// An entry of a stream, whose bytes stand for it.
    Entry(&'a node::Entry),
}

impl Intake {
    pub(super) fn new(source: usize, emitter: Emitter, sink: Arc<dyn Sink>, health: Arc<dyn Health>) -> Self {
        Self {
            name: emitter.name(source),
            python: emitter.python(),
            node: emitter.node(),
            source,
            emitter,
            sink,
            health,
            bad: Quiet::default(),
            lost: Quiet::default(),
            waits: Quiet::default(),
        }
    }

    fn read(&self, form: &Form<'_>, raw: &[u8]) -> Result<Command, Bad> {
        match form {
            Form::Python => python::read(raw, &self.python),
            // The envelope is a third longer than the body, and a little more.
            Form::Kombu if raw.len() > self.emitter.max_bytes.saturating_mul(2) => {
                Err(Bad(format!("an envelope of {} bytes is too large", raw.len())))
            }
            Form::Kombu => python::read(&kombu::open(raw)?, &self.python),
            Form::Broadcast => node::broadcast(raw, &self.node),
            Form::Request(namespace) => node::request(raw, namespace, &self.node),
            Form::Entry(entry) => node::entry(entry, &self.node),
        }
    }

    /// Reads a message and counts it; `None` = it went to the side.
    fn take(&self, form: &Form<'_>, raw: &[u8]) -> Option<Command> {
        match self.read(form, raw) {
            Ok(command) => {
                meter::command(&self.name, &command);
                Some(command)
            }
            Err(Bad(why)) => {
                self.aside(&why, raw);
                None
            }
        }
    }

    /// A message that every node hears.
    pub(super) async fn command(&self, form: Form<'_>, raw: &[u8]) {
        if let Some(command) = self.take(&form, raw) {
            self.sink.command(self.source, command, raw).await;
        }
    }

    /// A message that this node alone got: true when it was stored, or set aside; false when it was given up, because it
    /// is not ours any more.
    pub(super) async fn store(&self, raw: &[u8], ours: impl Fn() -> bool) -> bool {
        let Some(command) = self.take(&Form::Python, raw) else { return true };
        let id = uuid::Uuid::now_v7().simple().to_string();
        loop {
            let down = match self.sink.store(self.source, command.clone(), &id).await {
                Ok(()) => return true,
                Err(down) if down.refused => {
                    self.aside(&format!("the store refused it: {down}"), raw);
                    return true;
                }
                Err(down) => down,
            };
            if let Some(more) = self.waits.speak() {
                tracing::warn!(source = self.name, error = %down, more, "An emit waits for the store.");
            }
            tokio::time::sleep(PAUSE).await;
            if !ours() {
                return false;
            }
        }
    }

    /// A publication.
    pub(super) async fn publication(&self, raw: &[u8]) {
        let fits = if raw.len() > self.emitter.max_bytes {
            Err(Bad(format!("{} bytes are more than {}", raw.len(), self.emitter.max_bytes)))
        } else {
            plain::read(raw)
        };
        match fits {
            Ok(publication) => {
                meter::publication(&self.name);
                self.sink.publication(self.source, publication, raw).await;
            }
            Err(Bad(why)) => self.aside(&why, raw),
        }
    }

    fn aside(&self, why: &str, raw: &[u8]) {
        meter::bad(&self.name);
        if let Some(more) = self.bad.speak() {
            tracing::warn!(source = self.name, why, bytes = raw.len(), more, "A message of an emitter cannot be read.");
        }
        self.sink.bad(self.source, why, raw);
    }

    /// Messages were heard and dropped.
    pub(super) fn dropped(&self, messages: u64) {
        meter::lost(&self.name, messages);
        if let Some(more) = self.lost.speak() {
            tracing::warn!(source = self.name, messages, more, "Messages of an emitter were dropped: too many wait.");
        }
    }

    /// Tells how a part of the source is, if that is news.
    pub(super) fn status(&self, last: &mut Option<State>, part: &str, state: State) {
        // A failure is news once: its words may differ at each try.
        let same =
            matches!((last.as_ref(), &state), (Some(State::Up), State::Up) | (Some(State::Down(_)), State::Down(_)));
        if same {
            return;
        }
        let name = if part.is_empty() { self.name.clone() } else { format!("{}-{part}", self.name) };
        match &state {
            State::Up => tracing::info!(source = name, "An emitter's source is listened to."),
            State::Down(why) => tracing::warn!(source = name, why, "An emitter's source is away; trying again."),
        }
        meter::state(&name, &state);
        self.health.status(self.source, &name, &state);
        *last = Some(state);
    }
}
