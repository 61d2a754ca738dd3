//! Parameters of a call, by name or by place, and how each is read. What a method does not take is refused: a misspelt name
//! would be lost without a word.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use homing_core::{
    clock::Millis,
    duration::parse_duration,
    live::{MAX_ID, MAX_NAME},
};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    alias::Table,
    fault::{Fault, code},
    json::{check_name, is_null, name, text},
    method::Method,
};

/// The longest time that may be asked for: ten years.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);
/// Numbers from here on are milliseconds since 1970 and no seconds: as seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;
/// The longest id of a scheduled message in bytes.
const MAX_TICKET: usize = 4_096;
/// The end of the year 9999, as RFC 3339 has it.
const LAST: f64 = 253_402_300_800_000.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> Params<'a> {
    /// Those of a request, under the method's own names.
    pub(super) fn read(raw: Option<&'a RawValue>, method: Method, alias: Option<&'a Table>) -> Result<Self, Fault> {
        let mut params = Self::default();
        match raw {
            None => {}
            Some(raw) if raw.get().starts_with('[') => {
                let values: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|e| unreadable(&e))?;
                let order: Vec<&str> = match alias {
                    Some(table) if !table.order.is_empty() => table.order.iter().map(String::as_str).collect(),
                    _ => method.params().to_vec(),
                };
                if values.len() > order.len() {
                    let message = format!("expected at most {} parameters: {}", order.len(), order.join(", "));
                    return Err(Fault::new(code::PARAMS, message));
                }
                for (name, value) in order.into_iter().zip(values) {
                    params.insert(Cow::Owned(own_name(name, alias).to_owned()), Cow::Borrowed(value))?;
                }
            }
            Some(raw) => {
                let values: BTreeMap<Cow<'a, str>, &'a RawValue> =
                    serde_json::from_str(raw.get()).map_err(|e| unreadable(&e))?;
                for (name, value) in values {
                    let name = match own_name(&name, alias) {
                        own if own == name => name,
                        own => Cow::Owned(own.to_owned()),
                    };
                    params.insert(name, Cow::Borrowed(value))?;
                }
            }
        }
        for (name, value) in alias.into_iter().flat_map(|table| &table.set) {
            params.fill(name, value);
        }
        Ok(params)
    }

    fn insert(&mut self, name: Cow<'a, str>, value: Cow<'a, RawValue>) -> Result<(), Fault> {
        if self.0.iter().any(|(other, _)| *other == name) {
            return Err(Fault::param(name.into_owned(), "is given twice"));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Sets what a request's path says.
    pub(super) fn set(&mut self, name: &'static str, value: &str) -> Result<(), Fault> {
        let Ok(value) = to_raw_value(value) else { return Ok(()) };
        self.insert(Cow::Borrowed(name), Cow::Owned(value))
    }

    /// Sets what is not given.
    pub(super) fn fill(&mut self, name: &'a str, value: &str) {
        if let (false, Ok(value)) = (self.0.iter().any(|(other, _)| other == name), to_raw_value(value)) {
            self.0.push((Cow::Borrowed(name), Cow::Owned(value)));
        }
    }

    fn take(&mut self, field: &str) -> Option<Cow<'a, RawValue>> {
        let place = self.0.iter().position(|(name, _)| name == field)?;
        Some(self.0.swap_remove(place).1).filter(|value| !is_null(value))
    }

    /// A user or group.
    pub(super) fn name(&mut self, field: &'static str) -> Result<Option<Arc<str>>, Fault> {
        self.take(field).map(|raw| name(&raw).map_err(|what| Fault::param(field, what))).transpose()
    }

    /// The same, and it must be there.
    pub(super) fn needed(&mut self, field: &'static str) -> Result<Arc<str>, Fault> {
        self.name(field)?.ok_or_else(|| Fault::param(field, "is missing"))
    }

    /// Several users, each once.
    pub(super) fn users(&mut self, field: &'static str, most: usize) -> Result<Option<Vec<Arc<str>>>, Fault> {
        let Some(users) = self.list(field, most, MAX_NAME)? else { return Ok(None) };
        let mut known = std::collections::HashSet::with_capacity(users.len());
        Ok(Some(users.into_iter().filter(|user| known.insert(Arc::clone(user))).collect()))
    }

    /// Several ids of messages.
    pub(super) fn ids(&mut self, field: &'static str, most: usize) -> Result<Option<Vec<Arc<str>>>, Fault> {
        self.list(field, most, MAX_ID)
    }

    fn list(&mut self, field: &'static str, most: usize, longest: usize) -> Result<Option<Vec<Arc<str>>>, Fault> {
        let Some(raw) = self.take(field) else { return Ok(None) };
        let wrong = |what: String| Fault::param(field, what);
        let values: Vec<&RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| wrong("expected a list".to_owned()))?;
        if values.is_empty() || values.len() > most {
            return Err(wrong(format!("expected 1 to {most}, found {}", values.len())));
        }
        let each = |(place, raw): (usize, &&RawValue)| {
            let wrong = |what: String| Fault::param(format!("{field}[{place}]"), what);
            let name = name(raw).map_err(|what| wrong(what.to_owned()))?;
            if name.len() > longest { Err(wrong(format!("must have at most {longest} bytes"))) } else { Ok(name) }
        };
        values.iter().enumerate().map(each).collect::<Result<_, _>>().map(Some)
    }

    /// A message's id.
    pub(super) fn id(&mut self, field: &'static str) -> Result<Option<Arc<str>>, Fault> {
        match self.name(field)? {
            Some(id) if id.len() > MAX_ID => Err(Fault::param(field, format!("must have at most {MAX_ID} bytes"))),
            id => Ok(id),
        }
    }

    /// `type`, or `msg_type`.
    pub(super) fn kind(&mut self) -> Result<Arc<str>, Fault> {
        self.needed("type")
    }

    /// `data`: any JSON.
    pub(super) fn data(&mut self, longest: usize) -> Result<Arc<RawValue>, Fault> {
        let data = match self.take("data") {
            Some(data) if data.get().len() > longest => {
                return Err(Fault::param("data", format!("must have at most {longest} bytes")));
            }
            Some(data) => data.into_owned(),
            None => RawValue::NULL.to_owned(),
        };
        Ok(data.into())
    }

    /// A span of time: `"24h"`, or a number of seconds.
    pub(super) fn span(&mut self, field: &'static str) -> Result<Option<Duration>, Fault> {
        let Some(raw) = self.take(field) else { return Ok(None) };
        let wrong = || Fault::param(field, "expected a number of seconds, or text such as 90s or 24h, up to 3650d");
        let span = match serde_json::from_str::<f64>(raw.get()) {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => text(&raw).and_then(|text| parse_duration(&text).ok()),
        };
        span.filter(|span| *span <= LONGEST).map(Some).ok_or_else(wrong)
    }

    /// A time: RFC 3339, or a number of seconds or milliseconds since 1970.
    pub(super) fn time(&mut self, field: &'static str) -> Result<Option<Millis>, Fault> {
        let Some(raw) = self.take(field) else { return Ok(None) };
        let wrong = || {
            let expected = "expected RFC 3339 (2026-11-21T09:00:00+08:00), or seconds or milliseconds since 1970";
            Fault::param(field, expected)
        };
        if let Ok(number) = serde_json::from_str::<f64>(raw.get()) {
            let ms = if number < MILLISECONDS { number * 1_000.0 } else { number };
            #[expect(clippy::cast_possible_truncation, reason = "within the years 1970 to 9999")]
            return if (0.0..LAST).contains(&ms) { Ok(Some(ms.round() as Millis)) } else { Err(wrong()) };
        }
        let time: jiff::Timestamp = text(&raw).and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        Ok(Some(time.as_millisecond()))
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number(&mut self, field: &'static str, most: usize) -> Result<Option<usize>, Fault> {
        let Some(raw) = self.take(field) else { return Ok(None) };
        let number = text(&raw).and_then(|text| text.parse().ok()).filter(|number| (1..=most).contains(number));
        number.map(Some).ok_or_else(|| Fault::param(field, format!("expected a whole number from 1 to {most}")))
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, Fault> {
        let Some(raw) = self.take(field) else { return Ok(false) };
        serde_json::from_str(raw.get()).map_err(|_| Fault::param(field, "expected true or false"))
    }

    /// Words for a client: at most 120 bytes.
    pub(super) fn words(&mut self, field: &'static str) -> Result<Option<String>, Fault> {
        let Some(raw) = self.take(field) else { return Ok(None) };
        let words = text(&raw).ok_or_else(|| Fault::param(field, "expected text"))?;
        check_name(&words).map_err(|what| Fault::param(field, what))?;
        if words.len() > 120 {
            return Err(Fault::param(field, "must have at most 120 bytes"));
        }
        Ok(Some(words.into_owned()))
    }

    /// The id of a scheduled message, as `schedule.put` answered it: its form is the node's.
    pub(super) fn words_of_id(&mut self) -> Result<String, Fault> {
        let raw = self.take("id").ok_or_else(|| Fault::param("id", "is missing"))?;
        let id = text(&raw).ok_or_else(|| Fault::param("id", "expected text"))?;
        if id.is_empty() || id.len() > MAX_TICKET {
            return Err(Fault::param("id", format!("must have 1 to {MAX_TICKET} bytes")));
        }
        Ok(id.into_owned())
    }

    /// Nothing is left.
    pub(super) fn end(self, method: Method) -> Result<(), Fault> {
        match self.0.into_iter().find(|(_, value)| !is_null(value)) {
            None => Ok(()),
            Some((name, _)) => {
                let known = method.params().join(", ");
                Err(Fault::param(name.into_owned(), format!("is unknown; {} takes {known}", method.name())))
            }
        }
    }
}

fn own_name<'n>(name: &'n str, alias: Option<&'n Table>) -> &'n str {
    match alias.and_then(|table| table.params.get(name)) {
        Some(own) => own,
        None if name == "msg_type" => "type",
        None => name,
    }
}

fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::new(code::PARAMS, format!("params: {error}"))
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
