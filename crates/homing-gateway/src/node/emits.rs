//! What emitters publish, for the sessions of this node: events for rooms, sessions that are moved, and publications for
//! users. Every node hears the same; what is to be stored is stored once all the same ([`Once::Copy`]).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use homing_core::{
    live::{LiveDown, Once, Post, Stream},
    wire_live::{Emitted, Message},
};
use ring::digest;
use serde_json::value::RawValue;
use tracing::{debug, warn};

use super::{Node, meter};
use crate::{
    desk::Callback,
    emit::{Command, Emitter, Health, Kind, Publication, Sink, State},
    hub::Order,
    parcel::{Emit, Parcel, Rooms, Source as Of},
    session::Move,
    topic::{Room, Topic},
};

/// A source, as far as its emits are treated in a way of their own.
pub(super) struct Source {
    name: String,
    /// Emits to rooms are stored: each room is a user's.
    durable: bool,
    /// A queue that all nodes share brings what is to be stored; then what every node hears is not stored.
    shared: bool,
}

impl Source {
    pub(super) fn new(index: usize, emitter: &Emitter) -> Self {
        Self {
            name: emitter.name(index),
            durable: emitter.durable,
            shared: emitter.durable && emitter.kind == Kind::PythonAmqp,
        }
    }
}

impl Sink for Node {
    fn command<'a>(&'a self, source: usize, command: Command, raw: &'a [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.count(source, command.kind());
            let callback = command.callback(source).map(Arc::new);
            match command {
                Command::Emit { emit, rooms, .. } => self.emit(source, emit, rooms, callback, raw).await,
                Command::Enter { namespace, sid, room } => {
                    let whom = Topic::Room(Arc::clone(&namespace), Room::Name(sid));
                    self.step(&[whom], &Move::Enter { namespace, room }).await;
                }
                Command::Leave { namespace, sid, room } => {
                    let whom = Topic::Room(Arc::clone(&namespace), Room::Name(sid));
                    self.step(&[whom], &Move::Leave { namespace, room }).await;
                }
                Command::Disconnect { namespace, sid, close } => {
                    let whom = Topic::Room(Arc::clone(&namespace), Room::Name(sid));
                    self.step(&[whom], &Move::Disconnect { namespace, close }).await;
                }
                Command::CloseRoom { namespace, room } => {
                    self.order_all(|| Order::CloseRoom(Arc::clone(&namespace), room.clone())).await;
                }
                Command::EnterAll { namespace, whom, rooms } => {
                    let whom = self.whom(source, &namespace, whom);
                    for room in rooms {
                        self.step(&whom, &Move::Enter { namespace: Arc::clone(&namespace), room }).await;
                    }
                }
                Command::LeaveAll { namespace, whom, rooms } => {
                    let whom = self.whom(source, &namespace, whom);
                    for room in rooms {
                        self.step(&whom, &Move::Leave { namespace: Arc::clone(&namespace), room }).await;
                    }
                }
                Command::DisconnectAll { namespace, whom, close } => {
                    let whom = self.whom(source, &namespace, whom);
                    self.step(&whom, &Move::Disconnect { namespace, close }).await;
                }
                // The gateway emits nothing of its own that waits for an answer.
                Command::Answer { .. } | Command::Ignored { .. } => {}
            }
        })
    }

    fn publication<'a>(&'a self, source: usize, publication: Publication, raw: &'a [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.count(source, "publication");
            let stream = publication.to.clone().map_or(Stream::Everyone, Stream::User);
            let id: Arc<str> = super::service::new_id().into();
            let message = Message {
                id: Arc::clone(&id),
                kind: publication.kind,
                data: publication.data,
                at: self.clock.now(),
                to: publication.to,
                emit: None,
            };
            let post = self.copy(stream, id, &message, raw);
            if let Err(error) = self.stores.inbox.post(std::slice::from_ref(&post)).await {
                self.failed(&error);
                let Post { stream, .. } = post;
                let parcel = Arc::new(Parcel::new(Of::Message { stream: stream.clone(), at: None, message }));
                self.order_all(|| Order::Deliver {
                    to: [Topic::Stream(stream.clone())].into(),
                    except: [].into(),
                    parcel: Arc::clone(&parcel),
                    callback: None,
                })
                .await;
            }
        })
    }

    fn store<'a>(&'a self, source: usize, command: Command, id: &'a str) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            let Command::Emit { emit, rooms, callback, .. } = command else { return Ok(()) };
            let Some(users) = self.durable(source, &emit, &rooms, callback.is_some()) else { return Ok(()) };
            let Some(posts) = self.posts(&emit, &users, id, |_| Once::Id) else { return Ok(()) };
            self.stores.inbox.post(&posts).await?;
            Ok(())
        })
    }

    fn bad(&self, source: usize, why: &str, raw: &[u8]) {
        self.count(source, "bad");
        debug!(source = self.sources.get(source).map(|s| &*s.name), why, bytes = raw.len(), "An emit cannot be read.");
    }
}

impl Health for Node {
    fn status(&self, _: usize, name: &str, state: &State) {
        match state {
            State::Up => self.status.up(name),
            State::Down(why) => self.status.down(name, why),
        }
    }
}

impl Node {
    /// A store that refuses one message is well.
    fn failed(&self, error: &LiveDown) {
        if !error.refused {
            self.status.down("inbox", &error.to_string());
        }
    }

    fn count(&self, source: usize, kind: &'static str) {
        let name = self.sources.get(source).map_or_else(String::new, |source| source.name.clone());
        metrics::counter!(meter::EMITS, "source" => name, "kind" => kind).increment(1);
    }

    /// An emit goes to the sessions in its rooms. What is stored for users comes back by the bus, in its turn, to their
    /// sessions; those in a room of that name who are not its user (a session's own id, a room of the application) are told
    /// at once.
    async fn emit(&self, source: usize, emit: Emit, rooms: Rooms, callback: Option<Arc<Callback>>, raw: &[u8]) {
        let users = self.durable(source, &emit, &rooms, callback.is_some()).unwrap_or_default();
        let stored = !users.is_empty() && (self.is_shared(source) || self.keep_copy(&emit, &users, raw).await);
        let (to, mut except) = topics(&emit.namespace, rooms);
        if stored {
            except = users.into_iter().map(|user| Topic::Stream(Stream::User(user))).collect();
        }
        let parcel = Arc::new(Parcel::new(Of::Emit(emit)));
        self.order_all(|| Order::Deliver {
            to: Arc::clone(&to),
            except: Arc::clone(&except),
            parcel: Arc::clone(&parcel),
            callback: callback.clone(),
        })
        .await;
    }

    fn is_shared(&self, source: usize) -> bool {
        self.sources.get(source).is_some_and(|source| source.shared)
    }

    /// The users in whose streams an emit belongs; `None` where it is not to be stored. Rooms are users there; whoever
    /// waits for an acknowledgement or spares somebody means the sessions that are here now.
    fn durable(&self, source: usize, emit: &Emit, rooms: &Rooms, answered: bool) -> Option<Vec<Arc<str>>> {
        let stores = self.sources.get(source).is_some_and(|source| source.durable);
        if !stores || answered || rooms.to.is_empty() || !rooms.except.is_empty() || emit.array.is_empty() {
            return None;
        }
        // A room that is a number is no user's, as with the servers of others; a user in several rooms is one.
        let mut users: Vec<Arc<str>> = Vec::with_capacity(rooms.to.len());
        for room in &rooms.to {
            if let Room::Name(name) = room
                && !users.contains(name)
            {
                users.push(Arc::clone(name));
            }
        }
        Some(users).filter(|users| !users.is_empty())
    }

    /// Stores an emit that every node heard. Answers whether it stands.
    async fn keep_copy(&self, emit: &Emit, users: &[Arc<str>], raw: &[u8]) -> bool {
        let once = |stream: &Stream| Once::Copy { hash: hash(stream, raw), node: Arc::clone(&self.name) };
        let Some(posts) = self.posts(emit, users, &super::service::new_id(), once) else { return false };
        match self.stores.inbox.post(&posts).await {
            Ok(_) => true,
            Err(error) => {
                warn!(%error, "An emit could not be stored; it is shown to those who are here.");
                self.failed(&error);
                false
            }
        }
    }

    /// An emit as messages of users, with one id; `None` if its array is none.
    fn posts(&self, emit: &Emit, users: &[Arc<str>], id: &str, once: impl Fn(&Stream) -> Once) -> Option<Vec<Post>> {
        let message = Message { id: id.into(), ..self.message(emit)? };
        let post = |user: &Arc<str>| {
            let stream = Stream::User(Arc::clone(user));
            let body = Message { to: Some(Arc::clone(user)), ..message.clone() }.encode();
            Post { once: once(&stream), stream, id: Arc::clone(&message.id), body, expires_at: None }
        };
        Some(users.iter().map(post).collect())
    }

    fn message(&self, emit: &Emit) -> Option<Message> {
        let parts: Vec<&RawValue> = serde_json::from_slice(&emit.array).ok()?;
        let (name, args) = parts.split_first()?;
        let kind: Arc<str> = serde_json::from_str(name.get()).ok()?;
        let list = args.iter().map(|arg| arg.get()).collect::<Vec<_>>().join(",");
        let list = RawValue::from_string(format!("[{list}]")).ok()?;
        let data = args.first().map_or_else(|| RawValue::NULL.to_owned(), |first| (*first).to_owned());
        Some(Message {
            id: "".into(),
            kind,
            data: data.into(),
            at: self.clock.now(),
            to: None,
            emit: Some(Emitted {
                namespace: Arc::clone(&emit.namespace),
                args: list.into(),
                binary: emit.binary.iter().map(|bytes| STANDARD.encode(bytes)).collect(),
            }),
        })
    }

    fn copy(&self, stream: Stream, id: Arc<str>, message: &Message, raw: &[u8]) -> Post {
        let once = Once::Copy { hash: hash(&stream, raw), node: Arc::clone(&self.name) };
        Post { stream, id, body: message.encode(), expires_at: None, once }
    }

    async fn step(&self, whom: &[Topic], step: &Move) {
        for topic in whom {
            self.order_all(|| Order::Move(topic.clone(), step.clone())).await;
        }
    }

    /// The topics whose sessions are moved.
    fn whom(&self, source: usize, namespace: &Arc<str>, rooms: Rooms) -> Vec<Topic> {
        if !rooms.except.is_empty() {
            let source = self.sources.get(source).map(|source| &*source.name);
            warn!(source, %namespace, "Sessions are moved but for some rooms: that is not supported, nobody is moved.");
            return Vec::new();
        }
        topics(namespace, rooms).0.to_vec()
    }
}

fn topics(namespace: &Arc<str>, rooms: Rooms) -> (Arc<[Topic]>, Arc<[Topic]>) {
    let room = |room: Room| Topic::Room(Arc::clone(namespace), room);
    let to = if rooms.to.is_empty() {
        [Topic::Namespace(Arc::clone(namespace))].into()
    } else {
        rooms.to.into_iter().map(room).collect()
    };
    (to, rooms.except.into_iter().map(room).collect())
}

/// The same on every node, whatever its build: the first bytes of SHA-256 over the stream's name and what was published.
fn hash(stream: &Stream, raw: &[u8]) -> u64 {
    let mut sum = digest::Context::new(&digest::SHA256);
    sum.update(stream.to_string().as_bytes());
    sum.update(&[0]);
    sum.update(raw);
    let sum = sum.finish();
    sum.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
