//! What is said to a body of JSON-RPC: one request, or a batch.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    caller::Caller,
    fault::{Fault, code},
    json::{MAX_DEPTH, is_flat},
    keys::Keys,
    params::Params,
    request::{Request, answer},
    service::Service,
    settings::Settings,
};

/// JSON-RPC and REST over one service.
pub struct Rpc {
    pub(super) settings: Settings,
    pub(super) keys: Keys,
    pub(super) service: Arc<dyn Service>,
}

impl Rpc {
    /// Over this service. `loopback` = no other machine can reach the listener that serves it.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub fn new(settings: Settings, service: Arc<dyn Service>, loopback: bool) -> Result<Self, String> {
        settings.check()?;
        let keys = Keys::new(&settings, loopback)?;
        Ok(Self { settings, keys, service })
    }

    /// The answer to a body; `None` if nobody waits for one. The requests of a batch are worked on one after another, so
    /// that messages to the same user keep their order.
    pub async fn answer(&self, caller: &Caller, body: &[u8]) -> Option<Box<RawValue>> {
        let refused = |code, message: String| Some(answer(RawValue::NULL, Err(&Fault::new(code, message))));
        let raw: &RawValue = match serde_json::from_slice(body) {
            Ok(raw) => raw,
            Err(error) => return refused(code::PARSE, format!("no JSON: {error}")),
        };
        if !is_flat(raw.get().as_bytes()) {
            return refused(code::REQUEST, format!("nests deeper than {MAX_DEPTH}"));
        }
        if !raw.get().starts_with('[') {
            return self.one(caller, raw).await;
        }
        let batch: Vec<&RawValue> = match serde_json::from_str(raw.get()) {
            Ok(batch) => batch,
            Err(error) => return refused(code::PARSE, format!("no JSON: {error}")),
        };
        let most = self.settings.max_batch;
        match batch.len() {
            0 => return refused(code::REQUEST, "a batch holds at least one request".to_owned()),
            len if len > most => {
                return refused(code::LIMIT, format!("a batch holds at most {most} requests, this one has {len}"));
            }
            _ => {}
        }
        let mut answers = String::from("[");
        let most = caller.most_answered();
        for raw in batch {
            let one = if answers.len() > most {
                self.unanswered(caller, raw, most).await
            } else {
                self.one(caller, raw).await
            };
            if let Some(one) = one {
                if answers.len() > 1 {
                    answers.push(',');
                }
                answers.push_str(one.get());
            }
        }
        if answers.len() == 1 {
            return None;
        }
        answers.push(']');
        RawValue::from_string(answers).ok()
    }

    /// A request whose answer there is no room for: it is not done, and that is said. One that wants no answer is done.
    async fn unanswered(&self, caller: &Caller, raw: &RawValue, most: usize) -> Option<Box<RawValue>> {
        match Request::read(raw) {
            Ok(Request { id: Some(id), .. }) => {
                let message = format!("the answers before this one have more than {most} bytes: ask again, by itself");
                Some(answer(id, Err(&Fault::new(code::LIMIT, message))))
            }
            _ => self.one(caller, raw).await,
        }
    }

    async fn one(&self, caller: &Caller, raw: &RawValue) -> Option<Box<RawValue>> {
        let request = match Request::read(raw) {
            Ok(request) => request,
            Err(broken) => return Some(answer(broken.id, Err(&broken.fault))),
        };
        let outcome = match self.resolve(&request.method) {
            Some((method, alias)) => match Params::read(request.params, method, alias) {
                Ok(params) => self.call(caller, method, params).await,
                Err(fault) => Err(fault),
            },
            None => Err(Fault::new(code::METHOD, format!("there is no method {}", shorten(&request.method)))),
        };
        let id = request.id?;
        Some(answer(id, outcome.as_deref()))
    }
}

/// Names that callers made up are not repeated at length.
fn shorten(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
pub(super) mod tests;
