//! The types of events: code, name, texts per language, time to live. A company adds its own in a TOML file, without
//! code.
//!
//! ```toml
//! [GOODS_SENT]
//! code = 7
//! lane = "system"              # events of another lane are refused; default: every lane
//! audience = "user"            # user | users | group.owner | group.members | topic | everyone | tokens; default: any
//! title = "已发货"
//! body = "您的商品 {{ data.goods }} 已发货"
//! locale.en = { title = "Shipped", body = "{{ data.goods }} is on its way" }
//! action = { url = "https://shop.example/orders/{{ data.order_id }}" }   # or activity = "..", intent = ".."
//! custom = { order_id = "{{ data.order_id }}" }    # fields for the client; default: all of the event's data
//! collapse = "order-{{ data.order_id }}"           # a later message with the same key replaces this one
//! ttl_seconds = 86400          # default: 86400
//! priority = "normal"          # high | normal | low
//! quiet = "defer"              # in quiet hours: defer | drop | ignore
//! silent = false               # true: nothing is shown, the client gets the fields
//! silent_copy = false          # true: iPhones get the fields once more, silently, behind the shown message
//! category = "order"           # for vendors that ration by kind
//! ambiguous = "repeat"         # or "drop": what to do when the provider may have accepted it
//! ```

use std::collections::{BTreeMap, HashMap};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Deserialize;

use crate::{
    event::{Audience, Event, Invalid, Kind},
    notification::{Action, Priority},
};

/// What a catalogue file may say of a type.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    code: i64,
    lane: Option<String>,
    audience: Option<Named>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    locale: BTreeMap<String, Texts>,
    action: Option<ActionEntry>,
    custom: Option<BTreeMap<String, String>>,
    collapse: Option<String>,
    #[serde(default = "a_day")]
    ttl_seconds: i64,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    quiet: QuietPolicy,
    #[serde(default)]
    ambiguous: Ambiguous,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    silent_copy: bool,
    category: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    title: Option<String>,
    body: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionEntry {
    Activity(String),
    Url(String),
    Intent(String),
}

fn a_day() -> i64 {
    86_400
}

/// Kinds of audiences, as a catalogue names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Named {
    #[serde(rename = "user")]
    User,
    #[serde(rename = "users")]
    Users,
    #[serde(rename = "group.owner")]
    GroupOwner,
    #[serde(rename = "group.members")]
    GroupMembers,
    #[serde(rename = "topic")]
    Topic,
    #[serde(rename = "everyone")]
    Everyone,
    #[serde(rename = "tokens")]
    Tokens,
}

impl Named {
    fn fits(self, audience: &Audience) -> bool {
        match audience {
            Audience::Users(users) => self == Self::Users || (self == Self::User && users.len() == 1),
            Audience::GroupOwner(_) => self == Self::GroupOwner,
            Audience::GroupMembers(_) => self == Self::GroupMembers,
            Audience::Topic(_) => self == Self::Topic,
            Audience::Everyone => self == Self::Everyone,
            Audience::Tokens(_) => self == Self::Tokens,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::User => "one user",
            Self::Users => "users",
            Self::GroupOwner => "the owner of a group",
            Self::GroupMembers => "all members of a group",
            Self::Topic => "a topic",
            Self::Everyone => "everyone",
            Self::Tokens => "tokens",
        }
    }
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

/// What to do with a message for somebody whose quiet hours these are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuietPolicy {
    /// Judge again when they end.
    #[default]
    Defer,
    /// Skip it.
    Drop,
    /// Send it all the same.
    Ignore,
}

/// A type of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushType {
    /// Its number in the client's protocol.
    pub code: i64,
    /// Its name.
    pub name: String,
    /// The lane that it belongs to, if only one.
    pub lane: Option<String>,
    audience: Option<Named>,
    /// Languages that it has texts of its own in.
    locales: Vec<String>,
    /// Names of its custom fields; `None` = all of the event's data.
    custom: Option<Vec<String>>,
    action: Option<Act>,
    collapse: bool,
    /// Time to live in milliseconds where an event states none.
    pub ttl: i64,
    /// How urgent where an event does not say.
    pub priority: Priority,
    /// See [`QuietPolicy`].
    pub quiet: QuietPolicy,
    /// See [`Ambiguous`].
    pub ambiguous: Ambiguous,
    /// Shows nothing: the client gets the fields.
    pub silent: bool,
    /// iPhones get the fields once more, silently, behind the shown message.
    pub silent_copy: bool,
    /// What kind of message it is to a vendor that rations by kind.
    pub category: Option<String>,
}

/// Which of the actions the template `NAME.action` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Activity,
    Url,
    Intent,
}

/// What an event says in one language.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// Fields for the client.
    pub custom: serde_json::Map<String, serde_json::Value>,
    /// What a tap does.
    pub action: Option<Action>,
    /// A later message with the same key replaces this one.
    pub collapse: Option<String>,
}

/// A catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not TOML of the documented shape.
    #[error("{file}: {problem}")]
    Syntax {
        /// Which file.
        file: String,
        /// Where and what. Not a source: it would be told twice.
        problem: toml::de::Error,
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
    #[error("{file}: {name}: {problem}")]
    Template {
        /// Which file.
        file: String,
        /// Type and field.
        name: String,
        /// Line and reason. Not a source: it would be told twice.
        problem: minijinja::Error,
    },
    /// A template uses a name that no event has.
    #[error("{file}: {name}: there is no `{variable}`; templates know data, app, author and group")]
    Variable {
        /// Which file.
        file: String,
        /// Type and field.
        name: String,
        /// The name.
        variable: String,
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

/// The names that a template may use.
const VARIABLES: [&str; 4] = ["data", "app", "author", "group"];

impl Catalogue {
    /// Reads a catalogue; `file` is its name in errors.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let entries: BTreeMap<String, Entry> =
            toml::from_str(text).map_err(|problem| Error::Syntax { file: file.to_owned(), problem })?;
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        templates.set_fuel(Some(50_000));
        let mut catalogue = Self { types: Vec::new(), by_code: HashMap::new(), by_name: HashMap::new(), templates };
        for (name, entry) in entries {
            let index = catalogue.types.len();
            if let Some(first) = catalogue.by_code.insert(entry.code, index) {
                let first = catalogue.types.get(first).map(|t| t.name.clone()).unwrap_or_default();
                return Err(Error::SameCode { file: file.to_owned(), code: entry.code, first, second: name });
            }
            catalogue.by_name.insert(name.clone(), index);
            let kind = catalogue.add(file, name, entry)?;
            catalogue.types.push(kind);
        }
        Ok(catalogue)
    }

    /// Takes in the templates of one type.
    fn add(&mut self, file: &str, name: String, entry: Entry) -> Result<PushType, Error> {
        let mut texts = vec![("title".to_owned(), entry.title), ("body".to_owned(), entry.body)];
        for (locale, own) in &entry.locale {
            let own = [("title", &own.title), ("body", &own.body)];
            texts.extend(own.into_iter().filter_map(|(f, t)| Some((format!("{f}.{locale}"), t.clone()?))));
        }
        let custom = entry.custom.map(|fields| {
            texts.extend(fields.iter().map(|(field, text)| (format!("custom.{field}"), text.clone())));
            fields.into_keys().collect()
        });
        let action = entry.action.map(|action| {
            let (act, text) = match action {
                ActionEntry::Activity(text) => (Act::Activity, text),
                ActionEntry::Url(text) => (Act::Url, text),
                ActionEntry::Intent(text) => (Act::Intent, text),
            };
            texts.push(("action".to_owned(), text));
            act
        });
        let collapse = entry.collapse.is_some();
        texts.extend(entry.collapse.map(|text| ("collapse".to_owned(), text)));
        for (field, text) in texts {
            let name = format!("{name}.{field}");
            let wrong = |problem| Error::Template { file: file.to_owned(), name: name.clone(), problem };
            self.templates.add_template_owned(name.clone(), text).map_err(wrong)?;
            let used = self.templates.get_template(&name).map_err(wrong)?.undeclared_variables(false);
            if let Some(variable) = used.into_iter().find(|used| !VARIABLES.contains(&used.as_str())) {
                return Err(Error::Variable { file: file.to_owned(), name, variable });
            }
        }
        Ok(PushType {
            code: entry.code,
            name,
            lane: entry.lane,
            audience: entry.audience,
            locales: entry.locale.into_keys().collect(),
            custom,
            action,
            collapse,
            ttl: entry.ttl_seconds * 1_000,
            priority: entry.priority,
            quiet: entry.quiet,
            ambiguous: entry.ambiguous,
            silent: entry.silent,
            silent_copy: entry.silent_copy,
            category: entry.category,
        })
    }

    /// All types, in the order of their names.
    pub fn types(&self) -> &[PushType] {
        &self.types
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

    /// The type of an event that came in at `lane`, its audience and lane checked.
    ///
    /// # Errors
    /// There is no such type, it belongs to another lane, or it is for another kind of audience.
    pub fn admit(&self, lane: &str, event: &Event) -> Result<&PushType, Invalid> {
        let kind = self.find(&event.kind)?;
        if let Some(own) = &kind.lane
            && own != lane
        {
            return Err(Invalid::new("type", format!("{} belongs to the lane {own}, not to {lane}", kind.name)));
        }
        if let Some(audience) = kind.audience
            && !audience.fits(&event.to)
        {
            let what = format!("{} is for {}, this event names {}", kind.name, audience.name(), event.to.describe());
            return Err(Invalid::new("to", what));
        }
        Ok(kind)
    }

    /// What an event says to somebody who reads `locale`: its own words, else what the type's templates make of it.
    ///
    /// # Errors
    /// A template needs a field that `data` does not have.
    pub fn compose(&self, kind: &PushType, event: &Event, locale: &str) -> Result<Content, Invalid> {
        let locale = kind.nearest(event.locale.as_deref().unwrap_or(locale));
        let group = match &event.to {
            Audience::GroupOwner(group) | Audience::GroupMembers(group) => Some(group.as_str()),
            _ => None,
        };
        let context = minijinja::context! {
            data => minijinja::Value::from(minijinja::value::Serde(&event.data)),
            app => event.app.as_deref(), author => event.author.as_deref(), group => group,
        };
        let render = |field: &str| {
            let name = format!("{}.{field}", kind.name);
            self.templates.get_template(&name).and_then(|t| t.render(&context)).map_err(|e| {
                let used = self.templates.get_template(&name).map(|t| t.undeclared_variables(true)).unwrap_or_default();
                let mut missing: Vec<String> = used.into_iter().filter(|path| is_missing(path, &event.data)).collect();
                missing.sort_unstable();
                let why = if missing.is_empty() { e.to_string() } else { format!("{} is missing", missing.join(", ")) };
                Invalid::new("data", format!("template {name} cannot be filled: {why}"))
            })
        };
        let text = |field: &str, own: &Option<String>| match (own, locale) {
            (Some(text), _) => Ok(text.clone()),
            (None, Some(locale)) => {
                let localised = format!("{field}.{locale}");
                let known = self.templates.get_template(&format!("{}.{localised}", kind.name)).is_ok();
                render(if known { &localised } else { field })
            }
            (None, None) => render(field),
        };
        let mut custom = serde_json::Map::new();
        match &kind.custom {
            None => custom.clone_from(&event.data),
            Some(fields) => {
                for field in fields {
                    custom.insert(field.clone(), render(&format!("custom.{field}"))?.into());
                }
            }
        }
        let action = kind.action.map(|act| {
            let text = render("action")?;
            Ok(match act {
                Act::Activity => Action::Activity(text),
                Act::Url => Action::Url(text),
                Act::Intent => Action::Intent(text),
            })
        });
        Ok(Content {
            title: text("title", &event.title)?,
            body: text("body", &event.body)?,
            custom,
            action: action.transpose()?,
            collapse: if kind.collapse { Some(render("collapse")?) } else { None },
        })
    }
}

/// Does a template's `data.goods.name` find nothing?
fn is_missing(path: &str, data: &serde_json::Map<String, serde_json::Value>) -> bool {
    let Some(path) = path.strip_prefix("data.") else { return false };
    let mut parts = path.split('.');
    let mut found = parts.next().and_then(|first| data.get(first));
    for part in parts {
        found = found.and_then(|value| value.get(part));
    }
    found.is_none()
}

impl PushType {
    /// The language among its own that serves `locale` (`zh-CN`): the same, else the one without a region.
    pub fn nearest(&self, locale: &str) -> Option<&str> {
        let plain = locale.split(['-', '_']).next().unwrap_or(locale);
        let find = |wanted: &str| self.locales.iter().find(|own| own.eq_ignore_ascii_case(wanted));
        find(locale).or_else(|| find(plain)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::event::Audience;

    fn event(data: serde_json::Value) -> Event {
        let to = Audience::Users(vec!["1".into()]);
        Event { data: data.as_object().unwrap().clone(), ..Event::new(Kind::Code(7), to) }
    }

    const FILE: &str = "[GOODS_SENT]\ncode = 7\ntitle = '已发货'\nbody = '{{ data.goods }} <已发货>'\n[CHAT]\ncode = 1\nttl_seconds = 60";

    #[test]
    fn composes_from_templates_or_the_events_own_words() {
        let catalogue = Catalogue::parse("types.toml", FILE).unwrap();
        let kind = catalogue.find(&Kind::Name("GOODS_SENT".into())).unwrap();
        let mut e = event(serde_json::json!({"goods": "大衣 & 鞋"}));
        let content = catalogue.compose(kind, &e, "zh").unwrap();
        assert_eq!((content.title.as_str(), content.body.as_str()), ("已发货", "大衣 & 鞋 <已发货>"));
        assert_eq!(content.custom, e.data, "without fields of its own a type hands on all data");
        e.body = Some("own".into());
        assert_eq!(catalogue.compose(kind, &e, "zh").unwrap().body, "own");
        let error = catalogue.compose(kind, &event(serde_json::json!({})), "zh").unwrap_err().to_string();
        assert_eq!(error, "data: template GOODS_SENT.body cannot be filled: data.goods is missing");
        assert_eq!(catalogue.find(&Kind::Code(1)).unwrap().ttl, 60_000);
        let error = catalogue.find(&Kind::Code(99)).unwrap_err().to_string();
        assert_eq!(error, "type: 99 is not in the catalogue of push types");
    }

    #[test]
    fn a_type_has_languages_fields_an_action_and_an_audience() {
        let text = r#"
            [SENT]
            code = 7
            lane = "system"
            audience = "user"
            title = "已发货"
            body = "{{ data.goods }}"
            locale.en = { title = "Shipped" }
            action = { url = "https://shop.example/{{ data.order }}" }
            custom = { order = "{{ data.order }}" }
            collapse = "order-{{ data.order }}"
            quiet = "drop"
        "#;
        let catalogue = Catalogue::parse("types.toml", text).unwrap();
        let mut e = event(serde_json::json!({"goods": "coat", "order": 5, "secret": "x"}));
        let kind = catalogue.admit("system", &e).unwrap();
        let content = catalogue.compose(kind, &e, "en-GB").unwrap();
        assert_eq!((content.title.as_str(), content.body.as_str()), ("Shipped", "coat"));
        assert_eq!(serde_json::Value::Object(content.custom), serde_json::json!({"order": "5"}));
        assert_eq!(content.action, Some(Action::Url("https://shop.example/5".into())));
        assert_eq!(content.collapse.as_deref(), Some("order-5"));
        assert_eq!(catalogue.compose(kind, &e, "zh-CN").unwrap().title, "已发货");
        e.locale = Some("en".into());
        assert_eq!(catalogue.compose(kind, &e, "zh-CN").unwrap().title, "Shipped");
        assert_eq!(kind.quiet, QuietPolicy::Drop);
        let error = catalogue.admit("group", &e).unwrap_err().to_string();
        assert_eq!(error, "type: SENT belongs to the lane system, not to group");
        e.to = Audience::Everyone;
        let error = catalogue.admit("system", &e).unwrap_err().to_string();
        assert_eq!(error, "to: SENT is for one user, this event names everyone");
    }

    #[test]
    fn a_bad_catalogue_names_file_type_and_place() {
        let error = |text: &str| Catalogue::parse("types.toml", text).unwrap_err().to_string();
        assert_eq!(error("[A]\ncode = 1\n[B]\ncode = 1"), "types.toml: types A and B have the same code 1");
        assert!(error("[A]\ncode = 1\nbody = '{{ x'").starts_with("types.toml: A.body: syntax error"));
        assert_eq!(
            error("[A]\ncode = 1\nbody = '{{ dta.goods }}'"),
            "types.toml: A.body: there is no `dta`; templates know data, app, author and group"
        );
        assert!(error("[A]\ncode = 1\nbodi = 'x'").contains("unknown field `bodi`"));
    }
}
