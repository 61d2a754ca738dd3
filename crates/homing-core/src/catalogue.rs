//! The types of events: code, name, text, time to live. A company adds its own in a TOML file, without code.
//!
//! ```toml
//! [GOODS_SENT]
//! code = 7
//! title = "已发货"
//! body = "您的商品 {{ data.goods }} 已发货"
//! ttl_seconds = 86400          # default: 86400
//! ambiguous = "repeat"         # or "drop": what to do when the provider may have accepted it
//! ```

use std::collections::{BTreeMap, HashMap};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Deserialize;

use crate::event::{Event, Invalid, Kind};

/// What a catalogue file may say of a type.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    code: i64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
    #[serde(default = "a_day")]
    ttl_seconds: i64,
    #[serde(default)]
    ambiguous: Ambiguous,
}

fn a_day() -> i64 {
    86_400
}

/// What to do when the provider's answer was lost: it may have accepted the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ambiguous {
    /// Try again: told at least once.
    #[default]
    Repeat,
    /// Give up with a record: told at most once.
    Drop,
}

/// A type of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushType {
    /// Its number in the client's protocol.
    pub code: i64,
    /// Its name.
    pub name: String,
    /// Time to live in milliseconds where an event states none.
    pub ttl: i64,
    /// See [`Ambiguous`].
    pub ambiguous: Ambiguous,
}

/// A catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not TOML of the documented shape.
    #[error("{file}: {source}")]
    Syntax {
        /// Which file.
        file: String,
        /// Where and what.
        #[source]
        source: toml::de::Error,
    },
    /// Two types share a code.
    #[error("{file}: types {first} and {second} have the same code {code}")]
    SameCode {
        /// Which file.
        file: String,
        /// The code.
        code: i64,
        /// A type.
        first: String,
        /// Another.
        second: String,
    },
    /// A template does not parse.
    #[error("{file}: {name}: {source}")]
    Template {
        /// Which file.
        file: String,
        /// Type and field.
        name: String,
        /// Line and reason.
        #[source]
        source: minijinja::Error,
    },
}

/// All types that this installation knows.
#[derive(Debug)]
pub struct Catalogue {
    types: Vec<PushType>,
    by_code: HashMap<i64, usize>,
    by_name: HashMap<String, usize>,
    templates: Environment<'static>,
}

impl Catalogue {
    /// Reads a catalogue; `file` is its name in errors.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let entries: BTreeMap<String, Entry> =
            toml::from_str(text).map_err(|source| Error::Syntax { file: file.to_owned(), source })?;
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        templates.set_fuel(Some(50_000));
        let mut catalogue =
            Self { types: Vec::new(), by_code: HashMap::new(), by_name: HashMap::new(), templates: Environment::new() };
        for (name, entry) in entries {
            let index = catalogue.types.len();
            if let Some(first) = catalogue.by_code.insert(entry.code, index) {
                let first = catalogue.types.get(first).map(|t| t.name.clone()).unwrap_or_default();
                return Err(Error::SameCode { file: file.to_owned(), code: entry.code, first, second: name });
            }
            for (field, text) in [("title", entry.title), ("body", entry.body)] {
                let name = format!("{name}.{field}");
                let added = templates.add_template_owned(name.clone(), text);
                added.map_err(|source| Error::Template { file: file.to_owned(), name, source })?;
            }
            catalogue.by_name.insert(name.clone(), index);
            let ttl = entry.ttl_seconds * 1_000;
            catalogue.types.push(PushType { code: entry.code, name, ttl, ambiguous: entry.ambiguous });
        }
        catalogue.templates = templates;
        Ok(catalogue)
    }

    /// The type that an event names.
    ///
    /// # Errors
    /// The catalogue has no such type.
    pub fn find(&self, kind: &Kind) -> Result<&PushType, Invalid> {
        let index = match kind {
            Kind::Code(code) => self.by_code.get(code),
            Kind::Name(name) => self.by_name.get(name),
        };
        let found = index.and_then(|i| self.types.get(*i));
        found.ok_or_else(|| Invalid::new("type", format!("{kind} is not in the catalogue of push types")))
    }

    /// Title and body of an event: its own, else what the type's templates make of its `data`.
    ///
    /// # Errors
    /// A template needs a field that `data` does not have.
    pub fn compose(&self, kind: &PushType, event: &Event) -> Result<(String, String), Invalid> {
        let render = |field: &str, own: &Option<String>| match own {
            Some(text) => Ok(text.clone()),
            None => {
                let name = format!("{}.{field}", kind.name);
                let context = minijinja::context! {
                    data => minijinja::Value::from(minijinja::value::Serde(&event.data)), app => event.app.clone(), author => event.author.clone(),
                };
                let text = self.templates.get_template(&name).and_then(|t| t.render(context));
                text.map_err(|e| Invalid::new("data", format!("template {name} cannot be filled: {e}")))
            }
        };
        Ok((render("title", &event.title)?, render("body", &event.body)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::event::Audience;

    fn event(data: serde_json::Value) -> Event {
        Event {
            id: None,
            kind: Kind::Code(7),
            to: Audience::Users(vec!["1".into()]),
            app: None,
            author: None,
            data: data.as_object().unwrap().clone(),
            title: None,
            body: None,
            send_at: None,
            expires_in: None,
        }
    }

    const FILE: &str = "[GOODS_SENT]\ncode = 7\ntitle = '已发货'\nbody = '{{ data.goods }} <已发货>'\n[CHAT]\ncode = 1\nttl_seconds = 60";

    #[test]
    fn composes_from_templates_or_the_events_own_words() {
        let catalogue = Catalogue::parse("types.toml", FILE).unwrap();
        let kind = catalogue.find(&Kind::Name("GOODS_SENT".into())).unwrap();
        let mut e = event(serde_json::json!({"goods": "大衣 & 鞋"}));
        assert_eq!(catalogue.compose(kind, &e).unwrap(), ("已发货".into(), "大衣 & 鞋 <已发货>".into()));
        e.body = Some("own".into());
        assert_eq!(catalogue.compose(kind, &e).unwrap().1, "own");
        let error = catalogue.compose(kind, &event(serde_json::json!({}))).unwrap_err().to_string();
        assert!(error.starts_with("data: template GOODS_SENT.body cannot be filled: undefined value"), "{error}");
        assert_eq!(catalogue.find(&Kind::Code(1)).unwrap().ttl, 60_000);
        let error = catalogue.find(&Kind::Code(99)).unwrap_err().to_string();
        assert_eq!(error, "type: 99 is not in the catalogue of push types");
    }

    #[test]
    fn a_bad_catalogue_names_file_type_and_place() {
        let error = |text: &str| Catalogue::parse("types.toml", text).unwrap_err().to_string();
        assert_eq!(error("[A]\ncode = 1\n[B]\ncode = 1"), "types.toml: types A and B have the same code 1");
        assert!(error("[A]\ncode = 1\nbody = '{{ x'").starts_with("types.toml: A.body: syntax error"));
        assert!(error("[A]\ncode = 1\nbodi = 'x'").contains("unknown field `bodi`"));
    }
}
