//! What one vendor says to differ. A vendor does no IO: it writes calls as data and reads replies as data.

use std::collections::HashMap;

use homing_core::{
    clock::Millis,
    notification::{Notification, Priority},
};
use serde_json::Value;

use super::settings::Account;
use crate::common::lent::Fresh;

/// What is fixed about a vendor.
pub(super) struct Profile {
    /// The channel's name.
    pub(super) name: &'static str,
    /// Its code table.
    pub(super) codes: &'static str,
    /// Where messages go, by region; the first is the default.
    pub(super) regions: &'static [(&'static str, &'static str)],
    /// Where access tokens come from, if that is another place.
    pub(super) auth: Option<&'static str>,
    /// Does it lend access tokens?
    pub(super) lends: bool,
    /// Keys of an account beside `app`, `secret` and those that all have; `true` = it cannot do without.
    pub(super) keys: &'static [(&'static str, bool)],
    /// Codes of a whole call that say that every target of it is dead.
    pub(super) all_dead: &'static [&'static str],
}

/// A call, without the address of the server.
pub(super) struct Call {
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// The body of a call.
pub(super) enum Body {
    Form(Vec<(&'static str, String)>),
    Json(Value),
}

/// What a call is made from.
pub(super) struct Job<'a> {
    pub(super) account: &'a Account,
    pub(super) notification: &'a Notification,
    /// The message as [`Vendor::message`] wrote it.
    pub(super) message: &'a Value,
    /// The devices, at most a page.
    pub(super) tokens: &'a [&'a str],
    /// The access token; empty where there is none.
    pub(super) access: &'a str,
    /// What the call before this one made.
    pub(super) task: Option<&'a str>,
    pub(super) now: Millis,
}

/// What a reply says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The code of the whole call, as in the code table.
    pub(super) code: String,
    /// The vendor's words.
    pub(super) words: String,
    /// Its id of the message, or of the task.
    pub(super) id: Option<String>,
    /// What it says of single targets.
    pub(super) tokens: HashMap<String, Verdict>,
    /// It names every target: one that it leaves out has no answer.
    pub(super) complete: bool,
}

/// What a reply says of one target.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) code: String,
    pub(super) words: String,
    pub(super) id: Option<String>,
}

/// A vendor of the family.
pub(super) trait Vendor: Send + Sync {
    fn profile(&self) -> &'static Profile;

    /// What a message is rationed by: the kind of message that shares a day's quota.
    fn ration(&self, account: &Account, notification: &Notification) -> String;

    /// The call that fetches an access token.
    fn ask(&self, account: &Account, now: Millis) -> Option<Call> {
        let _ = (account, now);
        None
    }

    /// The access token in the reply to that call. `None`: there is none, and the code says why.
    fn lent(&self, reply: &Value, now: Millis) -> Option<Fresh> {
        let _ = (reply, now);
        None
    }

    /// The message without its devices, which is the same for all pages.
    ///
    /// # Errors
    /// In words, why it cannot be sent.
    fn message(&self, account: &Account, notification: &Notification, now: Millis) -> Result<Value, String>;

    /// A call that has to be made before [`Vendor::call`] and shows nobody anything; its reply's id is `job.task`.
    fn before(&self, job: &Job<'_>) -> Option<Call> {
        let _ = job;
        None
    }

    /// The call that sends.
    fn call(&self, job: &Job<'_>) -> Call;

    /// What a reply says; `None` when it is none of this vendor's. `asked` is the only target of the call, if it has one.
    fn read(&self, reply: &Value, asked: Option<&str>) -> Option<Reading>;

    /// A wait that a code asks for, where it is not the end of the day.
    fn wait(&self, code: &str, now: Millis) -> Option<Millis> {
        let _ = (code, now);
        None
    }

    /// A call that shows nobody anything and tells whether the credentials are good, where no access token does.
    fn probe(&self, account: &Account) -> Option<Call> {
        let _ = account;
        None
    }
}

/// A code as number or as text; `None` where there is neither.
pub(super) fn code_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// A text, or nothing.
pub(super) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Is it to be quiet on the device?
pub(super) fn quiet(notification: &Notification) -> bool {
    notification.priority == Priority::Low
}
