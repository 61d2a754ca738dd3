//! Calls of JSON-RPC, as other services make them.

use serde_json::{Value, json};

use super::site::SECRET;

pub(crate) struct Calls {
    pub(crate) http: reqwest::Client,
}

impl Calls {
    pub(crate) fn new() -> Self {
        // Whoever installed one before us decided it.
        rustls::crypto::ring::default_provider().install_default().ok();
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Calls a method at a node; the whole answer.
    pub(crate) async fn answer(&self, node: &str, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = self.http.post(format!("{node}/rpc")).bearer_auth(SECRET).body(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Calls a method that must succeed; its result.
    pub(crate) async fn call(&self, node: &str, method: &str, params: Value) -> Value {
        let mut answer = self.answer(node, method, params).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Sessions of each of these users, as a node knows them.
    pub(crate) async fn sessions(&self, node: &str, users: &[String]) -> Vec<u64> {
        let seen = self.call(node, "presence.get", json!({ "users": users })).await;
        seen["users"].as_array().unwrap().iter().map(|one| one["sessions"].as_u64().unwrap()).collect()
    }

    /// How many messages a user has not read.
    pub(crate) async fn unread(&self, node: &str, user: &str) -> usize {
        let params = json!({"user": user, "limit": 1_000});
        self.call(node, "history.unread", params).await["messages"].as_array().unwrap().len()
    }
}
