//! A call: may the caller, do the parameters fit, what does the service say.

use std::{fmt::Display, sync::Arc};

use homing_core::{
    live::{Seen, Stream, Unread},
    wire_live::Message,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{
    alias::Table,
    answer::Rpc,
    caller::Caller,
    fault::{Fault, code},
    meter,
    method::Method,
    params::Params,
    service::{Failure, Push, Pushed, Read, To, When},
};

/// Most ids in one `history.read`.
const MAX_IDS: usize = 1_000;
/// Most messages of one stream in an answer of `history.unread`.
const MAX_UNREAD: usize = 1_000;
/// As many without `limit`.
const USUAL_UNREAD: usize = 100;

type Outcome = Result<Box<RawValue>, Fault>;

impl Rpc {
    /// The method of this name, or behind this alias.
    pub(super) fn resolve(&self, name: &str) -> Option<(Method, Option<&Table>)> {
        if let Some(method) = Method::parse(name) {
            return Some((method, None));
        }
        let alias = self.settings.aliases.get(name)?;
        Some((Method::parse(alias.method())?, alias.table()))
    }

    pub(super) async fn call(&self, caller: &Caller, method: Method, params: Params<'_>) -> Outcome {
        let began = Instant::now();
        let outcome = match timeout(self.settings.timeout, self.dispatch(caller, method, params)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::new(code::UNAVAILABLE, "it took too long; it may have been done or not").again(1)),
        };
        let result = outcome.as_ref().map_or_else(Fault::label, |_| "ok");
        metrics::counter!(meter::CALLS, "method" => method.name(), "result" => result).increment(1);
        metrics::histogram!(meter::SECONDS, "method" => method.name()).record(began.elapsed().as_secs_f64());
        outcome
    }

    async fn dispatch(&self, caller: &Caller, method: Method, mut params: Params<'_>) -> Outcome {
        caller.require(method)?;
        let failed = |failure: Failure| {
            if let Failure::Down(down) = &failure {
                warn!(method = method.name(), error = %chain(down), "A call failed.");
            }
            Fault::of(failure)
        };
        match method {
            Method::PushUser | Method::PushUsers | Method::PushBroadcast | Method::PushGroup => {
                let to = match method {
                    Method::PushUser => To::User(params.needed("user")?),
                    Method::PushGroup => To::Group(params.needed("group")?),
                    Method::PushBroadcast => To::Everyone,
                    _ => {
                        let users = params.users("users", self.settings.max_users)?;
                        To::Users(users.ok_or_else(|| Fault::param("users", "is missing"))?)
                    }
                };
                let messages = if let To::Users(users) = &to { users.len() } else { 1 };
                let push = self.push(to, &mut params)?;
                params.end(method)?;
                spend(caller, messages)?;
                let pushed = self.service.push(push).await.map_err(failed)?;
                if method == Method::PushUsers {
                    return shown(&Many { pushed: pushed.iter().map(One::of).collect() });
                }
                let first = pushed.first().ok_or_else(|| Fault::new(code::INTERNAL, "the node said nothing"))?;
                shown(&One::of(first))
            }
            Method::PresenceGet => {
                let many = params.users("users", self.settings.max_users)?;
                let one = params.name("user")?;
                params.end(method)?;
                if let Some(users) = many {
                    if one.is_some() {
                        return Err(Fault::param("users", "is given beside `user`"));
                    }
                    let users = match caller {
                        Caller::Key(_) => users,
                        Caller::User(_) => {
                            users.into_iter().map(|user| caller.about(Some(user))).collect::<Result<_, _>>()?
                        }
                    };
                    spend(caller, users.len())?;
                    let seen = self.service.presence(&users).await.map_err(failed)?;
                    return shown(&Everybody { users: users.iter().zip(&seen).map(Present::of).collect() });
                }
                let users = [caller.about(one)?];
                spend(caller, 1)?;
                let seen = self.service.presence(&users).await.map_err(failed)?;
                shown(&Present::of((&users[0], &seen.first().copied().unwrap_or_default())))
            }
            Method::HistoryUnread => {
                let user = caller.about(params.name("user")?)?;
                let limit = params.number("limit", MAX_UNREAD)?.unwrap_or(USUAL_UNREAD);
                params.end(method)?;
                spend(caller, 1)?;
                let unread = self.service.unread(&user, limit).await.map_err(failed)?;
                shown_unread(&user, &unread)
            }
            Method::HistoryRead => {
                let user = caller.about(params.name("user")?)?;
                let (ids, all) = (params.ids("ids", MAX_IDS)?, params.flag("all")?);
                params.end(method)?;
                let what = match (ids, all) {
                    (Some(ids), false) => Read::Ids(ids),
                    (None, true) => Read::All,
                    _ => return Err(Fault::param("ids", "expected either `ids` or `all`: true")),
                };
                spend(caller, 1)?;
                let ids = self.service.read(&user, what).await.map_err(failed)?;
                shown(&Marked { user: &user, ids: &ids })
            }
            Method::SchedulePut => {
                let to = To::User(params.needed("user")?);
                let when = match (params.time("at")?, params.span("after")?) {
                    (Some(at), None) => When::At(at),
                    (None, Some(after)) => When::After(after),
                    _ => return Err(Fault::param("at", "expected either `at` or `after`")),
                };
                let push = self.push(to, &mut params)?;
                params.end(method)?;
                spend(caller, 1)?;
                let filed = self.service.schedule(when, push).await.map_err(failed)?;
                shown(&Filed { id: &filed.id, at: filed.at })
            }
            Method::ScheduleCancel => {
                let id = params.words_of_id()?;
                params.end(method)?;
                spend(caller, 1)?;
                shown(&Cancelled { id: &id, cancelled: self.service.cancel(&id).await.map_err(failed)? })
            }
            Method::SessionEnd => {
                let user = params.needed("user")?;
                let why = params.words("reason")?;
                params.end(method)?;
                spend(caller, 1)?;
                let why = why.as_deref().unwrap_or("the session was ended");
                self.service.end(&user, why).await.map_err(failed)?;
                shown(&Ended { user: &user, ended: true })
            }
        }
    }

    fn push(&self, to: To, params: &mut Params<'_>) -> Result<Push, Fault> {
        Ok(Push {
            to,
            kind: params.kind()?,
            data: params.data(self.settings.max_data)?,
            id: params.id("id")?,
            ttl: params.span("ttl")?,
        })
    }
}

fn spend(caller: &Caller, messages: usize) -> Result<(), Fault> {
    match caller {
        Caller::Key(key) => key.spend(messages, Instant::now()),
        // The socket's own bounds hold.
        Caller::User(_) => Ok(()),
    }
}

fn shown(value: &impl Serialize) -> Outcome {
    to_raw_value(value).map_err(|error| Fault::new(code::INTERNAL, error.to_string()))
}

fn chain(down: &homing_core::live::LiveDown) -> impl Display {
    format!("{down}: {}", down.source)
}

#[derive(Serialize)]
struct Many<'a> {
    pushed: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    id: &'a str,
    stream: String,
    epoch: u32,
    offset: u64,
    fresh: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
}

impl<'a> One<'a> {
    fn of(pushed: &'a Pushed) -> Self {
        Self {
            user: if let Stream::User(user) = &pushed.stream { Some(user) } else { None },
            id: &pushed.id,
            stream: pushed.stream.to_string(),
            epoch: pushed.at.epoch,
            offset: pushed.at.offset,
            fresh: pushed.fresh,
            sessions: pushed.sessions,
        }
    }
}

#[derive(Serialize)]
struct Everybody<'a> {
    users: Vec<Present<'a>>,
}

#[derive(Serialize)]
struct Present<'a> {
    user: &'a str,
    online: bool,
    sessions: u32,
    nodes: u32,
    gone_at: Option<i64>,
}

impl<'a> Present<'a> {
    fn of((user, seen): (&'a Arc<str>, &Seen)) -> Self {
        let Seen { sessions, nodes, gone_at } = *seen;
        Self { user, online: sessions > 0, sessions, nodes, gone_at }
    }
}

#[derive(Serialize)]
struct Unseen<'a> {
    user: &'a str,
    messages: Vec<Line<'a>>,
    truncated: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    id: Arc<str>,
    msg_type: Arc<str>,
    data: Arc<RawValue>,
    at: i64,
    stream: &'a str,
    epoch: u32,
    offset: u64,
}

fn shown_unread(user: &str, unread: &[(Stream, Unread)]) -> Outcome {
    let names: Vec<String> = unread.iter().map(|(stream, _)| stream.to_string()).collect();
    let mut messages = Vec::new();
    for ((_, unread), stream) in unread.iter().zip(&names) {
        for stored in &unread.messages {
            match Message::decode(&stored.body) {
                Ok(Message { kind: msg_type, data, at, .. }) => messages.push(Line {
                    id: Arc::clone(&stored.id),
                    msg_type,
                    data,
                    at,
                    stream,
                    epoch: unread.top.epoch,
                    offset: stored.offset,
                }),
                Err(error) => warn!(%stream, offset = stored.offset, %error, "A stored message cannot be read."),
            }
        }
    }
    shown(&Unseen { user, messages, truncated: unread.iter().any(|(_, unread)| unread.truncated) })
}

#[derive(Serialize)]
struct Marked<'a> {
    user: &'a str,
    ids: &'a [Arc<str>],
}

#[derive(Serialize)]
struct Filed<'a> {
    id: &'a str,
    at: i64,
}

#[derive(Serialize)]
struct Cancelled<'a> {
    id: &'a str,
    cancelled: bool,
}

#[derive(Serialize)]
struct Ended<'a> {
    user: &'a str,
    ended: bool,
}
