//! Questions of sessions: taken on the shards' threads without waiting, answered here.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use homing_core::live::{Position, Stream};
use serde_json::value::RawValue;
use tokio::sync::mpsc::error::TrySendError;

use super::{Node, meter};
use crate::{
    desk::{Ask, Desk, Reply},
    hub::Order,
    identity::Verdict,
    rpc,
    session::SessionKey,
};

/// Something that was asked.
pub(super) enum Question {
    /// By a session.
    Ask(SessionKey, Ask),
    /// By a shard that missed something.
    Behind(u16, Stream, Position),
}

const BUSY: &str = "the node is busy; try again in a moment";
/// Without the request's id: to find it would be work, of which there is too much.
const BUSY_RPC: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32003,"message":"the node is busy; try again in a moment"},"id":null}"#;
/// What clients read when a store is away; the log says more.
const AWAY: &str = "the store is unavailable; try again in a moment";

impl Desk for Node {
    fn ask(&self, key: SessionKey, ask: Ask) {
        let full = match self.questions.try_send(Question::Ask(key, ask)) {
            Ok(()) => return,
            Err(TrySendError::Full(question) | TrySendError::Closed(question)) => question,
        };
        metrics::counter!(meter::ASKED, "kind" => "any", "result" => "busy").increment(1);
        let Question::Ask(key, ask) = full else { return };
        let reply = match ask {
            Ask::Identify(_) => Reply::Verdict(Verdict::Unavailable(BUSY.to_owned())),
            Ask::Attend { .. } => Reply::Attending(Err(BUSY.to_owned())),
            Ask::Mark { .. } => Reply::Marked(Err(BUSY.to_owned())),
            Ask::Rpc { .. } => Reply::Rpc(RawValue::from_string(BUSY_RPC.to_owned()).ok()),
            Ask::Callback { .. } => return,
        };
        if let Some(shards) = self.shards.get().cloned() {
            self.runtime.spawn(async move {
                shards.order(key.shard, Order::Reply(key, reply)).await;
            });
        }
    }

    fn came(&self, user: &Arc<str>) {
        self.roll.change(user, 1);
    }

    fn went(&self, user: &Arc<str>) {
        self.roll.change(user, -1);
    }

    fn follows(&self, shard: u16, stream: &Stream, yes: bool) {
        self.follows.note(shard, stream, yes);
    }

    fn behind(&self, shard: u16, stream: &Stream, last: Position) {
        let question = Question::Behind(shard, stream.clone(), last);
        let Err(TrySendError::Full(_)) = self.questions.try_send(question) else { return };
        // The shard shows nothing of the stream until it is answered. No place is like none of the sessions': all come back.
        let (shards, stream) = (self.shards.get().cloned(), stream.clone());
        self.runtime.spawn(async move {
            if let Some(shards) = shards {
                let top = Position::default();
                let order = Order::CaughtUp { stream, whole: false, top, messages: Vec::new() };
                shards.order(shard, order).await;
            }
        });
    }
}

impl Node {
    /// Answers questions, several at once.
    pub(super) async fn answer(&self) {
        let asked = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(mut asked) = asked else { return };
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                question = asked.recv(), if under_way.len() < self.settings.asking => {
                    let Some(question) = question else { return };
                    under_way.push(self.question(question));
                }
            }
        }
    }

    async fn question(&self, question: Question) {
        let (key, ask) = match question {
            Question::Ask(key, ask) => (key, ask),
            Question::Behind(shard, stream, last) => return self.mend(shard, vec![(stream, last)], "gap").await,
        };
        let (kind, failed, reply) = match ask {
            Ask::Identify(credentials) => {
                let verdict = self.auth.look_up(&credentials).await;
                ("identify", false, Reply::Verdict(verdict))
            }
            Ask::Attend { user, streams } => {
                let missed = self.missed(user.as_deref(), streams).await;
                if let Err(error) = &missed {
                    self.status.down("inbox", &error.to_string());
                }
                ("attend", missed.is_err(), Reply::Attending(missed.map_err(|_| AWAY.to_owned())))
            }
            Ask::Mark { user, streams, marks } => {
                let marked = self.stores.inbox.mark(&user, &streams, &marks).await;
                ("mark", marked.is_err(), Reply::Marked(marked.map_err(|_| AWAY.to_owned())))
            }
            Ask::Rpc { user, text } => {
                let answer = match self.rpc.get() {
                    Some(rpc) => rpc.answer(&rpc::Caller::user(user), text.as_bytes()).await,
                    None => None,
                };
                ("rpc", false, Reply::Rpc(answer))
            }
            Ask::Callback { route, args, binary } => {
                if let Some(writer) = self.writers.get().and_then(|writers| writers.get(route.source))
                    && let Err(error) = writer.callback(&route, &args, &binary).await
                {
                    tracing::warn!(%error, "An emitter does not learn of an acknowledgement.");
                }
                return;
            }
        };
        metrics::counter!(meter::ASKED, "kind" => kind, "result" => if failed { "failed" } else { "ok" }).increment(1);
        self.reply(key, reply).await;
    }
}
