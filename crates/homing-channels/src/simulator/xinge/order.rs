//! What a request asks for once every check that needs no memory has passed.

use std::sync::Arc;

use homing_core::notification::Platform;
use serde_json::Value;

use super::config::{App, Flavour};

/// What is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// A message for the devices that are named with it.
    Push { content: Content, to: To, expire_s: i64 },
    /// v2: a task without devices.
    Create { content: Content, expire_s: i64 },
    /// A page of devices for a task that there is.
    Page { app: Arc<App>, push_id: String, tokens: Vec<String> },
    /// In order, and reaches no device: accounts, tags, everybody, and calls that change tags. The simulator does not know
    /// who they are.
    Nobody { app: Arc<App>, environment: &'static str },
    /// A question that changes nothing, and its answer.
    Query { app: Arc<App>, result: Value },
}

/// The devices of a message.
#[derive(Debug)]
pub(super) enum To {
    /// One, by a call for one.
    One(String),
    /// A list.
    Page { tokens: Vec<String>, skip_invalid: bool },
}

/// A message, shared by all its deliveries.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) app: Arc<App>,
    /// As the flavour writes it: `1`, `notify`.
    pub(super) message_type: Value,
    /// As the flavour writes it: `0`, `1`, `2`; `product`, `dev`.
    pub(super) environment: &'static str,
    /// Its text as it came.
    pub(super) message: String,
    /// The custom field `id`.
    pub(super) id: Option<String>,
}

/// `ret_code` and `err_msg`, in the words of a flavour.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) flavour: Flavour,
    pub(super) code: i64,
    pub(super) text: String,
    pub(super) result: Option<Value>,
}

/// What is answered with status 200.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) flavour: Flavour,
    pub(super) code: i64,
    pub(super) text: String,
    pub(super) push_id: Option<u64>,
    pub(super) result: Option<Value>,
    pub(super) environment: &'static str,
    /// TPNS answers some questions with `retCode` and `errMsg`.
    pub(super) query: bool,
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(flavour: Flavour, code: i64, text: impl Into<String>) -> Self {
        Self { flavour, code, text: text.into(), result: None }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let Refusal { flavour, code, text, result } = refusal;
        Self { flavour, code, text, push_id: None, result, environment: "product", query: false }
    }
}

// === impl Reply ===

impl Reply {
    pub(super) fn accepted(flavour: Flavour, environment: &'static str) -> Self {
        Self { flavour, code: 0, text: String::new(), push_id: None, result: None, environment, query: false }
    }

    /// The body. v2 hands a push id out as a text or as a number, as the original did; v3 and TPNS as a text.
    pub(super) fn json(&self) -> String {
        match self.flavour {
            Flavour::V2 => {
                let result = match (self.push_id, &self.result) {
                    (Some(id), _) if id % 2 == 0 => serde_json::json!({"push_id": id}),
                    (Some(id), _) => serde_json::json!({"push_id": id.to_string()}),
                    (None, Some(result)) => result.clone(),
                    (None, None) => Value::from(""),
                };
                serde_json::json!({"ret_code": self.code, "err_msg": self.text, "result": result}).to_string()
            }
            Flavour::Tpns if self.query => {
                serde_json::json!({"seq": 0, "retCode": self.code, "errMsg": self.text, "result": self.result})
                    .to_string()
            }
            Flavour::V3 | Flavour::Tpns => {
                let mut reply = serde_json::json!({"seq": 0, "ret_code": self.code, "environment": self.environment});
                let text = match (self.flavour, self.code) {
                    (Flavour::Tpns, 0) => "NO_ERROR",
                    _ => &self.text,
                };
                reply["err_msg"] = text.into();
                if let Some(id) = self.push_id {
                    reply["push_id"] = id.to_string().into();
                }
                if let Some(result) = &self.result {
                    reply["result"] = result.clone();
                }
                reply.to_string()
            }
        }
    }
}

// === impl Content ===

impl Content {
    /// The id within the custom fields, wherever the flavour keeps them.
    pub(super) fn id_of(custom: Option<&Value>) -> Option<String> {
        match custom?.get("id")? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The custom fields of a v3 or TPNS message: an object, or the text of one.
    pub(super) fn custom_of(message: &Value, platform: Platform) -> Option<Value> {
        let part = match platform {
            Platform::Ios => message.get("ios"),
            _ => message.get("android"),
        };
        let within = |of: &Value| of.get("custom_content").or_else(|| of.get("custom")).cloned();
        match part.and_then(within).or_else(|| within(message))? {
            Value::String(text) => serde_json::from_str(&text).ok(),
            other => Some(other),
        }
    }
}
