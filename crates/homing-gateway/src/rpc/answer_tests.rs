//! JSON-RPC: the examples of its specification (section 7), methods, aliases and bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{LiveDown, Position, Seen, Stored, Stream, Unread},
    wire_live::Message,
};
use serde_json::{Value, json};

use super::*;
use crate::rpc::{Failure, Key, Push, Pushed, Read, Scheduled, To, When};

/// Notes what it was asked.
#[derive(Default)]
pub(in crate::rpc) struct Noted {
    pub(in crate::rpc) said: Mutex<Vec<String>>,
    pub(in crate::rpc) down: Mutex<Option<bool>>,
}

impl Noted {
    fn note(&self, what: String) -> Result<(), Failure> {
        self.said.lock().unwrap().push(what);
        match *self.down.lock().unwrap() {
            Some(refused) => {
                Err(LiveDown { what: "inbox of redis 10.0.0.1".into(), refused, source: "no route".into() }.into())
            }
            None => Ok(()),
        }
    }

    pub(in crate::rpc) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }
}

impl Service for Noted {
    fn push(&self, push: Push) -> BoxFuture<'_, Result<Vec<Pushed>, Failure>> {
        Box::pin(async move {
            let Push { to, kind, data, id, ttl } = push;
            self.note(format!("push {to:?} {kind} {} {id:?} {ttl:?}", data.get()))?;
            let streams = match to {
                To::User(user) => vec![Stream::User(user)],
                To::Users(users) => users.into_iter().map(Stream::User).collect(),
                To::Group(group) => vec![Stream::Group(group)],
                To::Everyone => vec![Stream::Everyone],
            };
            let pushed = |stream: Stream| Pushed {
                sessions: matches!(stream, Stream::User(_)).then_some(2),
                stream,
                id: id.clone().unwrap_or_else(|| "made".into()),
                at: Position { epoch: 7, offset: 1 },
                fresh: true,
            };
            Ok(streams.into_iter().map(pushed).collect())
        })
    }

    fn presence<'a>(&'a self, users: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Seen>, Failure>> {
        Box::pin(async move {
            self.note(format!("presence {users:?}"))?;
            Ok(users.iter().map(|_| Seen { sessions: 2, nodes: 1, gone_at: None }).collect())
        })
    }

    fn unread<'a>(&'a self, user: &'a Arc<str>, limit: usize) -> BoxFuture<'a, Result<Vec<(Stream, Unread)>, Failure>> {
        Box::pin(async move {
            self.note(format!("unread {user} {limit}"))?;
            let data = RawValue::from_string("{\"n\":1.10}".to_owned()).unwrap().into();
            let message = Message { id: "a1".into(), kind: "notify".into(), data, at: 5, to: None, emit: None };
            let stored = |body: bytes::Bytes| Stored { offset: 3, id: "a1".into(), body };
            let messages = vec![stored(message.encode()), stored("spoilt".into())];
            let top = Position { epoch: 7, offset: 4 };
            Ok(vec![(Stream::User(Arc::clone(user)), Unread { truncated: true, top, messages })])
        })
    }

    fn read<'a>(&'a self, user: &'a Arc<str>, what: Read) -> BoxFuture<'a, Result<Vec<Arc<str>>, Failure>> {
        Box::pin(async move {
            self.note(format!("read {user} {what:?}"))?;
            Ok(vec!["a1".into()])
        })
    }

    fn schedule(&self, when: When, push: Push) -> BoxFuture<'_, Result<Scheduled, Failure>> {
        Box::pin(async move {
            self.note(format!("schedule {when:?} {:?} {}", push.to, push.kind))?;
            let at: Millis = if let When::At(at) = when { at } else { 0 };
            Ok(Scheduled { id: "s1".into(), at })
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            self.note(format!("cancel {id}"))?;
            Ok(id == "s1")
        })
    }

    fn end<'a>(&'a self, user: &'a Arc<str>, why: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { self.note(format!("end {user} {why}")) })
    }
}

pub(in crate::rpc) fn rpc(settings: Value) -> (Arc<Noted>, Rpc) {
    let noted = Arc::new(Noted::default());
    let settings = serde_json::from_value(settings).unwrap();
    let rpc = Rpc::new(settings, Arc::clone(&noted) as Arc<dyn Service>, true).unwrap();
    (noted, rpc)
}

fn local() -> Caller {
    Caller::Key(Arc::new(Key::local("test")))
}

async fn ask(rpc: &Rpc, body: &str) -> Option<Value> {
    let answer = rpc.answer(&local(), body.as_bytes()).await?;
    Some(serde_json::from_str(answer.get()).unwrap())
}

/// The error of a call, as code and words.
async fn fault(rpc: &Rpc, caller: &Caller, method: &str, params: Value) -> (i64, String) {
    let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
    let answer = rpc.answer(caller, body.as_bytes()).await.unwrap();
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    (answer["error"]["code"].as_i64().unwrap_or_default(), answer["error"]["message"].to_string().replace('"', ""))
}

/// Code and id of an answer.
fn end(answer: &Value) -> (i64, &Value) {
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer["error"]["message"].is_string(), "{answer}");
    (answer["error"]["code"].as_i64().unwrap(), &answer["id"])
}

/// Methods like those of the examples.
fn like_the_examples() -> (Arc<Noted>, Rpc) {
    rpc(json!({"aliases": {
        "subtract": {"method": "push.user", "params": {"subtrahend": "id", "minuend": "user"},
                     "order": ["minuend", "subtrahend"], "set": {"type": "subtract"}},
        "update": {"method": "push.users", "order": ["users"], "set": {"type": "update"}},
        "sum": {"method": "history.read", "order": ["user", "ids"]},
        "get_data": "presence.get",
    }}))
}

#[tokio::test]
async fn the_examples_of_the_specification() {
    let (noted, rpc) = like_the_examples();
    // Positional and named parameters.
    for (params, id) in [
        (r#"[42, 23]"#, "1"),
        (r#"[23, 42]"#, "2"),
        (r#"{"subtrahend": 23, "minuend": 42}"#, "3"),
        (r#"{"minuend": 42, "subtrahend": 23}"#, "4"),
    ] {
        let body = format!(r#"{{"jsonrpc": "2.0", "method": "subtract", "params": {params}, "id": {id}}}"#);
        let answer = ask(&rpc, &body).await.unwrap();
        assert_eq!(answer["id"].to_string(), id);
        let expected = if id == "2" { ("23", "42") } else { ("42", "23") };
        assert_eq!((&answer["result"]["user"], &answer["result"]["id"]), (&json!(expected.0), &json!(expected.1)));
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "jsonrpc", "result"]);
    }
    assert_eq!(noted.take().len(), 4);
    // Notifications.
    assert_eq!(ask(&rpc, r#"{"jsonrpc": "2.0", "method": "update", "params": [[1,2,3,4,5]]}"#).await, None);
    assert_eq!(noted.take().len(), 1);
    assert_eq!(ask(&rpc, r#"{"jsonrpc": "2.0", "method": "foobar"}"#).await, None);
    // A method that there is not.
    let answer = ask(&rpc, r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#).await.unwrap();
    assert_eq!(end(&answer), (-32601, &json!("1")));
    // No JSON; no request.
    let answer = ask(&rpc, r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#).await.unwrap();
    assert_eq!(end(&answer), (-32700, &Value::Null));
    let answer = ask(&rpc, r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#).await.unwrap();
    assert_eq!(end(&answer), (-32600, &Value::Null));
    // Batches: no JSON, empty, of no requests.
    let broken = r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]"#;
    assert_eq!(end(&ask(&rpc, broken).await.unwrap()), (-32700, &Value::Null));
    assert_eq!(end(&ask(&rpc, "[]").await.unwrap()), (-32600, &Value::Null));
    let answer = ask(&rpc, "[1]").await.unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 1);
    assert_eq!(end(&answer[0]), (-32600, &Value::Null));
    let answer = ask(&rpc, "[1,2,3]").await.unwrap();
    assert_eq!(answer.as_array().unwrap().iter().map(end).collect::<Vec<_>>(), [(-32600, &Value::Null); 3]);
    assert_eq!(noted.take().len(), 0);
    // A mixed one.
    let batch = r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,[2,4]], "id": "1"},
        {"jsonrpc": "2.0", "method": "update", "params": [[7]]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "params": ["hello"], "id": "9"}
    ]"#;
    let answers = ask(&rpc, batch).await.unwrap();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 5);
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "result": {"user": "1", "ids": ["a1"]}, "id": "1"}));
    assert_eq!((&answers[1]["result"]["user"], &answers[1]["id"]), (&json!("42"), &json!("2")));
    assert_eq!(end(&answers[2]), (-32600, &Value::Null));
    assert_eq!(end(&answers[3]), (-32601, &json!("5")));
    assert_eq!((&answers[4]["result"]["sessions"], &answers[4]["id"]), (&json!(2), &json!("9")));
    let said = noted.take();
    assert_eq!(said.len(), 4);
    assert!(said[0].starts_with("read 1 ") && said[1].starts_with("push Users") && said[3] == r#"presence ["hello"]"#);
    // Of notifications alone.
    let batch = r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,[2,4]]},
                    {"jsonrpc": "2.0", "method": "update", "params": [[7]]}]"#;
    assert_eq!(ask(&rpc, batch).await, None);
    assert_eq!(noted.take().len(), 2);
}

#[tokio::test]
async fn ids_are_kept_as_they_are() {
    let (_, rpc) = rpc(json!({}));
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","method":"presence.get","params":{{"user":1}},"id":{id}}}"#);
    for id in ["null", "0", "-1", "1.50", "1e2", "123456789012345678901234567890", r#""""#, r#""\u5c0f \"x\"""#] {
        let answer = rpc.answer(&local(), call(id).as_bytes()).await.unwrap();
        assert!(answer.get().ends_with(&format!("\"id\":{id}}}")), "{}", answer.get());
        assert!(answer.get().contains("result"));
    }
    for id in ["true", "[1]", "{}"] {
        let answer = ask(&rpc, &call(id)).await.unwrap();
        assert_eq!(end(&answer), (-32600, &Value::Null), "{id}");
    }
    for wrong in [
        r#"{"jsonrpc":"1.0","method":"presence.get","id":7}"#,
        r#"{"method":"presence.get","id":7}"#,
        r#"{"jsonrpc":2.0,"method":"presence.get","id":7}"#,
        r#"{"jsonrpc":"2.0","id":7}"#,
        r#"{"jsonrpc":"2.0","method":"presence.get","params":null,"id":7}"#,
    ] {
        assert_eq!(end(&ask(&rpc, wrong).await.unwrap()), (-32600, &json!(7)), "{wrong}");
    }
}

#[tokio::test]
async fn each_method_does_what_it_says() {
    let (noted, rpc) = rpc(json!({}));
    #[track_caller]
    fn same(said: &[String], expected: &str) {
        assert_eq!(said, [expected]);
    }
    let call = async |method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        ask(&rpc, &body).await.unwrap()["result"].clone()
    };
    let place =
        json!({"user": "42", "id": "o-1", "stream": "u:42", "epoch": 7, "offset": 1, "fresh": true, "sessions": 2});
    let params = json!({"user": 42, "msg_type": "notify", "data": {"n": 1}, "id": "o-1", "ttl": "24h"});
    assert_eq!(call("push.user", params).await, place);
    same(&noted.take(), r#"push User("42") notify {"n":1} Some("o-1") Some(86400s)"#);
    let pushed = call("push.users", json!({"users": [1, 2, 1], "type": "x"})).await;
    assert_eq!(pushed["pushed"].as_array().unwrap().len(), 2);
    same(&noted.take(), r#"push Users(["1", "2"]) x null None None"#);
    let pushed = call("push.broadcast", json!({"type": "x", "data": [1]})).await;
    assert_eq!(pushed, json!({"id": "made", "stream": "all", "epoch": 7, "offset": 1, "fresh": true}));
    same(&noted.take(), "push Everyone x [1] None None");
    let pushed = call("push.group", json!({"group": "news", "type": "x"})).await;
    assert_eq!(pushed["stream"], "g:news");
    noted.take();
    let seen = json!({"user": "42", "online": true, "sessions": 2, "nodes": 1, "gone_at": null});
    assert_eq!(call("presence.get", json!({"user": "42"})).await, seen);
    assert_eq!(call("presence.get", json!({"users": ["42"]})).await, json!({"users": [seen]}));
    noted.take();
    let unread = json!({"user": "42", "truncated": true, "messages": [
        {"id": "a1", "msg_type": "notify", "data": {"n": 1.10}, "at": 5, "stream": "u:42", "epoch": 7, "offset": 3}]});
    assert_eq!(call("history.unread", json!({"user": "42"})).await, unread);
    same(&noted.take(), "unread 42 100");
    assert_eq!(call("history.read", json!({"user": "42", "all": true})).await, json!({"user": "42", "ids": ["a1"]}));
    same(&noted.take(), "read 42 All");
    let later = json!({"user": "42", "at": 1_795_219_200, "type": "x"});
    assert_eq!(call("schedule.put", later).await, json!({"id": "s1", "at": 1_795_219_200_000_i64}));
    same(&noted.take(), r#"schedule At(1795219200000) User("42") x"#);
    call("schedule.put", json!({"user": "42", "after": "90s", "type": "x"})).await;
    same(&noted.take(), r#"schedule After(90s) User("42") x"#);
    assert_eq!(call("schedule.cancel", json!(["s1"])).await, json!({"id": "s1", "cancelled": true}));
    assert_eq!(call("schedule.cancel", json!({"id": "s2"})).await["cancelled"], false);
    noted.take();
    assert_eq!(call("session.end", json!({"user": "42", "reason": "out"})).await, json!({"user": "42", "ended": true}));
    same(&noted.take(), "end 42 out");
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let (noted, rpc) = rpc(json!({"max_data": 10, "max_users": 2, "max_batch": 2}));
    let local = local();
    for (method, params, expected) in [
        ("push.user", json!({"type": "x"}), "user: is missing"),
        ("push.user", json!({"user": "42"}), "type: is missing"),
        ("push.user", json!({"user": "42", "type": "x", "data": "12345678 9"}), "data: must have at most 10 bytes"),
        ("push.user", json!({"user": "42", "type": "x", "id": "x".repeat(129)}), "id: must have at most 128 bytes"),
        ("push.user", json!({"user": "42", "type": "x", "tll": 5}), "tll: is unknown; push.user takes"),
        ("push.users", json!({"users": [1, 2, 3], "type": "x"}), "users: expected 1 to 2, found 3"),
        ("push.users", json!({"users": [1, {}], "type": "x"}), "users[1]: expected text or a whole number"),
        ("presence.get", json!({"user": 1, "users": [2]}), "users: is given beside `user`"),
        ("presence.get", json!({}), "user: is missing"),
        ("history.unread", json!({"user": 1, "limit": 1001}), "limit: expected a whole number from 1 to 1000"),
        ("history.read", json!({"user": 1}), "ids: expected either `ids` or `all`: true"),
        ("history.read", json!({"user": 1, "ids": ["a"], "all": true}), "ids: expected either"),
        ("schedule.put", json!({"user": 1, "type": "x"}), "at: expected either `at` or `after`"),
        ("session.end", json!({"user": 1, "reason": "x".repeat(121)}), "reason: must have at most 120 bytes"),
    ] {
        let (code, message) = fault(&rpc, &local, method, params.clone()).await;
        assert_eq!(code, -32602, "{method} {params}");
        assert!(message.starts_with(expected), "{message}");
    }
    let deep = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{}1{},"id":1}}"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(end(&ask(&rpc, &deep).await.unwrap()), (-32600, &Value::Null));
    assert_eq!(end(&ask(&rpc, "[1,2,3]").await.unwrap()), (-32003, &Value::Null));
    assert_eq!(end(&ask(&rpc, "\u{feff}{}").await.unwrap()), (-32700, &Value::Null));
    assert_eq!(noted.take().len(), 0);
}

#[tokio::test]
async fn callers_do_what_they_may() {
    let (noted, rpc) = rpc(json!({"keys": [
        {"name": "shop", "key": "0123456789abcdef", "may": ["push"], "rate": 1},
    ]}));
    let headers = [("x-api-key".parse().unwrap(), "0123456789abcdef".parse().unwrap())].into_iter().collect();
    let shop = Caller::Key(rpc.keys.caller(&headers).unwrap());
    let (code, message) = fault(&rpc, &shop, "presence.get", json!({"user": 1})).await;
    assert_eq!((code, message.as_str()), (-32001, "shop has no key for presence.get"));
    assert_eq!(fault(&rpc, &shop, "push.users", json!({"users": [1, 2], "type": "x"})).await.0, 0);
    assert_eq!(fault(&rpc, &shop, "push.user", json!({"user": 1, "type": "x"})).await.0, -32003);
    noted.take();
    let user = Caller::user(Some("42".into()));
    assert_eq!(fault(&rpc, &user, "push.user", json!({"user": "42", "type": "x"})).await.0, -32001);
    let own = "a client may ask only of its own user";
    for (method, params) in [
        ("presence.get", json!({"user": "43"})),
        ("presence.get", json!({"users": ["42", "43"]})),
        ("history.unread", json!({"user": "43"})),
        ("history.read", json!({"user": "43", "all": true})),
    ] {
        assert_eq!(fault(&rpc, &user, method, params).await, (-32001, own.to_owned()));
    }
    assert_eq!(fault(&rpc, &Caller::user(None), "presence.get", json!({})).await.0, -32001);
    assert_eq!(noted.take().len(), 0);
    for (method, params) in [
        ("presence.get", json!({})),
        ("presence.get", json!({"users": [42]})),
        ("history.unread", json!({"user": 42})),
        ("history.read", json!({"ids": ["a"]})),
    ] {
        assert_eq!(fault(&rpc, &user, method, params).await.0, 0, "{method}");
    }
    assert_eq!(noted.take().len(), 4);
}

#[tokio::test]
async fn a_batch_is_answered_within_bounds() {
    let (noted, rpc) = rpc(json!({}));
    // Ids are said again, so long ones make long answers.
    let long = "x".repeat(100 << 10);
    let asked = |id: Option<&str>| {
        let mut request = json!({"jsonrpc": "2.0", "method": "history.unread"});
        if let Some(id) = id {
            request["id"] = json!(id);
        }
        request
    };
    let batch = json!([asked(Some(&long)), asked(Some(&long)), asked(Some(&long)), asked(Some("a")), asked(None)]);
    let answer = rpc.answer(&Caller::user(Some("42".into())), batch.to_string().as_bytes()).await.unwrap();
    let answers: Vec<Value> = serde_json::from_str(answer.get()).unwrap();
    assert_eq!(answers.len(), 4);
    assert!(answers[..3].iter().all(|answer| answer["result"]["user"] == "42"));
    assert_eq!((&answers[3]["error"]["code"], &answers[3]["id"]), (&json!(-32003), &json!("a")));
    // The fourth was not done; the fifth wants no answer, and was.
    assert_eq!(noted.take().len(), 4);
}

#[tokio::test]
async fn a_store_that_is_away_is_no_mistake_of_the_caller() {
    let (noted, rpc) = rpc(json!({}));
    *noted.down.lock().unwrap() = Some(false);
    let body = r#"{"jsonrpc":"2.0","method":"push.user","params":{"user":1,"type":"x"},"id":1}"#;
    let answer = ask(&rpc, body).await.unwrap();
    assert_eq!(
        answer["error"],
        json!({"code": -32002, "message": "the store is unavailable", "data": {"retry_after": 2}})
    );
    *noted.down.lock().unwrap() = Some(true);
    let answer = ask(&rpc, body).await.unwrap();
    assert_eq!(answer["error"]["code"], -32003);
    assert!(!answer.to_string().contains("10.0.0.1"), "servers are not named to callers");
}

#[test]
fn aliases_that_cannot_be_used_are_named() {
    #[track_caller]
    fn refused(aliases: Value, expected: &str) {
        let settings: Settings = serde_json::from_value(json!({"aliases": aliases})).unwrap();
        assert_eq!(settings.check().unwrap_err(), format!("gateway.rpc.aliases.{expected}"));
    }
    refused(json!({"push.user": "push.users"}), "push.user: is the name of a method, or reserved");
    refused(json!({"rpc.x": "push.users"}), "rpc.x: is the name of a method, or reserved");
    refused(json!({"a": "push.everybody"}), "a: there is no method push.everybody");
    refused(json!({"a": {"method": "push.user", "params": {"uid": "usr"}}}), "a: push.user takes no usr");
    refused(json!({"a": {"method": "push.user", "set": {"kind": "x"}}}), "a: push.user takes no kind");
    refused(json!({"a": {"method": "push.user", "order": ["uid"]}}), "a: order: uid is no parameter");
    assert!(serde_json::from_value::<Settings>(json!({"aliases": {"a": {"methd": "push.user"}}})).is_err());
}
