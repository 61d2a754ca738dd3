//! From a reply to one answer per target.
//!
//! The code of the call is every target's, unless the reply says something else of a target. Where a whole page is called
//! dead, that is believed only of codes that mean all of it: otherwise one bad token would take living ones with it.

use homing_core::{
    channel::{Answer, Outcome, Scope},
    clock::Millis,
};
use reqwest::StatusCode;

use super::{
    quota,
    text::masked,
    vendor::{Reading, Vendor, Verdict},
};
use crate::common::{
    codes::{Class, Codes},
    http::Reply,
};

/// What judging needs to know.
pub(super) struct Court<'a> {
    pub(super) vendor: &'a dyn Vendor,
    pub(super) codes: &'a Codes,
    pub(super) now: Millis,
    /// Secrets and the access token, which a reply might repeat.
    pub(super) hide: &'a [&'a str],
    /// Whom a used-up ration holds up.
    pub(super) scope: Scope,
}

/// The answers, and what follows for the account.
#[derive(Debug)]
pub(super) struct Ruling {
    pub(super) answers: Vec<Answer>,
    /// The access token is not taken any more.
    pub(super) renew: bool,
    /// The day's quota is used up, for so long.
    pub(super) used_up: Option<Millis>,
    /// The id that the call's reply names.
    pub(super) id: Option<String>,
    /// The call as a whole was accepted.
    pub(super) accepted: bool,
}

impl Court<'_> {
    /// The ruling on a call for `tokens`.
    pub(super) fn judge(&self, reply: &Reply, tokens: &[&str]) -> Ruling {
        let asked = if let [token] = tokens { Some(*token) } else { None };
        let reading = self.vendor.read(&reply.json(), asked);
        let mut ruling = Ruling {
            answers: Vec::with_capacity(tokens.len()),
            renew: false,
            used_up: None,
            id: None,
            accepted: false,
        };
        let Some(reading) = reading.filter(|reading| self.speaks(reply.status, reading)) else {
            let answer = self.by_status(reply);
            ruling.renew = answer.outcome == Outcome::Corrected;
            ruling.answers = vec![answer; tokens.len()];
            return ruling;
        };
        let call = self.codes.class(&reading.code);
        ruling.accepted = matches!(call, Some(Class::Delivered));
        for token in tokens {
            let (class, answer) = match reading.tokens.get(*token) {
                Some(verdict) => self.single(&reading, verdict, reply),
                None => self.whole(&reading, call, tokens.len(), reply),
            };
            match class {
                Some(Class::Renew) => ruling.renew = true,
                Some(Class::Day) => {
                    let code = reading.tokens.get(*token).map_or(&reading.code, |verdict| &verdict.code);
                    ruling.used_up = Some(self.day(code));
                }
                _ => {}
            }
            ruling.answers.push(answer);
        }
        ruling.id = reading.id;
        ruling
    }

    /// A body with a code outweighs the status, except for "accepted" under a status that says otherwise.
    fn speaks(&self, status: StatusCode, reading: &Reading) -> bool {
        match self.codes.class(&reading.code) {
            Some(Class::Delivered) => status.is_success(),
            Some(_) => true,
            None => status.is_success(),
        }
    }

    fn single(&self, reading: &Reading, verdict: &Verdict, reply: &Reply) -> (Option<Class>, Answer) {
        let class = self.codes.class(&verdict.code);
        let words = if verdict.words.is_empty() { &reading.words } else { &verdict.words };
        let id = verdict.id.clone().or_else(|| reading.id.clone());
        (class, Answer::new(self.outcome(class, &verdict.code, id, reply), self.detail(&verdict.code, words)))
    }

    fn whole(&self, reading: &Reading, call: Option<Class>, size: usize, reply: &Reply) -> (Option<Class>, Answer) {
        let detail = self.detail(&reading.code, &reading.words);
        let outcome = match call {
            Some(Class::Delivered) if reading.complete => {
                return (call, Answer::new(Outcome::Ambiguous, format!("{detail}; the reply leaves this target out")));
            }
            // Who is not among those that failed got it; without a list nobody knows.
            Some(Class::Partial) if !reading.tokens.is_empty() => {
                Outcome::Delivered { provider_id: reading.id.clone() }
            }
            Some(Class::Token) if size > 1 && !self.vendor.profile().all_dead.contains(&reading.code.as_str()) => {
                // Refused for the sake of those that the reply names; without these the next try passes.
                if reading.tokens.is_empty() { Outcome::Unknown } else { Outcome::Retry { after: None } }
            }
            class => self.outcome(class, &reading.code, reading.id.clone(), reply),
        };
        (call, Answer::new(outcome, detail))
    }

    fn outcome(&self, class: Option<Class>, code: &str, id: Option<String>, reply: &Reply) -> Outcome {
        let Some(class) = class else { return Outcome::Unknown };
        match class {
            Class::Delivered => Outcome::Delivered { provider_id: id },
            Class::Renew if !self.vendor.profile().lends => Outcome::Config,
            Class::Day => Outcome::RateLimited { after: Some(self.day(code)), scope: self.scope },
            Class::Rate => Outcome::limited(self.vendor.wait(code, self.now).or_else(|| reply.retry_after(self.now))),
            Class::RateToken => Outcome::RateLimited { after: reply.retry_after(self.now), scope: Scope::Token },
            Class::Retry => Outcome::Retry { after: reply.retry_after(self.now) },
            class => class.outcome(),
        }
    }

    fn day(&self, code: &str) -> Millis {
        self.vendor.wait(code, self.now).unwrap_or_else(|| quota::until_midnight(self.now))
    }

    /// `code 33 (the day's quota is used up): their words`
    pub(super) fn detail(&self, code: &str, words: &str) -> String {
        let (code, meaning) = (masked(code, self.hide), self.codes.words(code));
        let mut detail = format!("code {code}");
        if !meaning.is_empty() {
            detail.push_str(&format!(" ({meaning})"));
        }
        if !words.trim().is_empty() {
            detail.push_str(": ");
            detail.push_str(&masked(words, self.hide));
        }
        detail
    }

    /// A reply without a code: the status has to do.
    fn by_status(&self, reply: &Reply) -> Answer {
        let (status, after) = (reply.status, reply.retry_after(self.now));
        let outcome = match status.as_u16() {
            200..=299 => return Answer::new(Outcome::Ambiguous, "the reply has no readable code"),
            401 if self.vendor.profile().lends => Outcome::Corrected,
            300..=399 | 401 | 403 | 404 | 405 => Outcome::Config,
            408 | 500..=599 => Outcome::Retry { after },
            429 => Outcome::limited(after),
            _ => Outcome::Payload,
        };
        Answer::new(outcome, format!("HTTP {status}"))
    }
}
