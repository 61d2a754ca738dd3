//! Other names of methods: callers that were written for another server keep their calls.
//!
//! ```toml
//! [gateway.rpc.aliases]
//! "broadcast" = "push.broadcast"
//! "push" = { method = "push.user", params = { uid = "user", msg = "data" }, order = ["uid", "msg"], set = { type = "notify" } }
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use super::method::Method;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a method's name, or a table with `method`")]
pub enum Alias {
    /// Only another name.
    Name(String),
    /// With other parameters.
    Table(Table),
}

/// See [`Alias`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The method.
    pub method: String,
    /// The caller's name of a parameter → the method's.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The caller's names, in the order in which it gives them by place; without it the method's own.
    #[serde(default)]
    pub order: Vec<String>,
    /// The method's parameters that the caller does not give, as texts.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
}

impl Alias {
    pub(super) fn method(&self) -> &str {
        match self {
            Self::Name(method) | Self::Table(Table { method, .. }) => method,
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match self {
            Self::Name(_) => None,
            Self::Table(table) => Some(table),
        }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let wrong = |what: String| Err(format!("gateway.rpc.aliases.{name}: {what}"));
        if name.starts_with("rpc.") || Method::parse(name).is_some() {
            return wrong("is the name of a method, or reserved".to_owned());
        }
        let Some(method) = Method::parse(self.method()) else {
            return wrong(format!("there is no method {}", self.method()));
        };
        let known = |param: &&String| method.params().contains(&param.as_str());
        let Some(table) = self.table() else { return Ok(()) };
        if let Some(param) = table.params.values().chain(table.set.keys()).find(|param| !known(param)) {
            return wrong(format!("{} takes no {param}", method.name()));
        }
        if let Some(param) = table.order.iter().find(|param| !known(param) && !table.params.contains_key(*param)) {
            return wrong(format!("order: {param} is no parameter"));
        }
        Ok(())
    }
}
