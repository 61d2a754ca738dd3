//! `[channel.NAME]` of a vendor and its accounts.

use std::{collections::HashMap, path::PathBuf};

use homing_core::notification::{Environment, Notification};
use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::vendor::Profile;
use crate::{Endpoint, Error, Result};

/// Targets of one call at most.
pub(super) const PAGE_MAX: usize = 1000;

/// The kind of message that a notification without a category is, and those whose category has no entry.
const DEFAULT: &str = "default";

/// A vendor's section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    /// Where the vendor is, if not at its own address.
    pub(super) endpoint: Endpoint,
    /// A file of codes that is laid over the vendor's.
    pub(super) codes: Option<PathBuf>,
    /// Targets of one call, 1 to 1000.
    pub(super) page: usize,
    /// The accounts by their names.
    pub(super) account: HashMap<String, Account>,
}

impl Default for Section {
    fn default() -> Self {
        Self { endpoint: Endpoint::default(), codes: None, page: PAGE_MAX, account: HashMap::new() }
    }
}

/// An app that the vendor knows. Its Debug does not show the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// As in the devices' lookup.
    pub(super) app: String,
    /// The devices' environment; without it both.
    pub(super) environment: Option<Environment>,
    /// Xiaomi's AppSecret, OPPO's MasterSecret, vivo's AppSecret, Honor's client secret.
    pub(super) secret: SecretString,
    /// The app's package on the phone.
    pub(super) package: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) app_key: Option<String>,
    pub(super) client_id: Option<String>,
    /// The notification channel of messages whose category names none.
    pub(super) channel_id: Option<String>,
    /// Where the devices are registered.
    pub(super) region: Option<String>,
    /// Stands where a message has no title; else the app's name does.
    title: Option<String>,
    /// What a category of ours is to the vendor; `default` is for all others.
    #[serde(default)]
    categories: HashMap<String, Category>,
}

/// A category in the vendor's terms: a text is its name, a table says more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Category {
    /// The vendor's name for it.
    pub(super) name: Option<String>,
    /// An operator's message, not a service's; without it by the name.
    pub(super) marketing: Option<bool>,
    /// Its notification channel.
    pub(super) channel_id: Option<String>,
    /// OPPO's level of attention: 1, 2, 16.
    pub(super) level: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    marketing: Option<bool>,
    channel_id: Option<String>,
    level: Option<u8>,
}

impl<'de> Deserialize<'de> for Category {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Category;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the vendor's name of a category, or a table with name, marketing, channel_id, level")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Category, E> {
                if name.is_empty() {
                    return Err(E::custom("a category without a name"));
                }
                Ok(Category { name: Some(name.to_owned()), ..Category::default() })
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Category, M::Error> {
                let Table { name, marketing, channel_id, level } =
                    Table::deserialize(MapAccessDeserializer::new(map)).map_err(M::Error::custom)?;
                Ok(Category { name, marketing, channel_id, level })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

// === impl Account ===

impl Account {
    /// What stands where a message has no title.
    pub(super) fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.app)
    }

    /// The secret, for signatures.
    pub(super) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The vendor's category of a notification.
    pub(super) fn category(&self, notification: &Notification) -> Option<&Category> {
        let named = notification.category.as_deref().and_then(|name| self.categories.get(name));
        named.or_else(|| self.categories.get(DEFAULT))
    }

    /// The notification channel of a notification.
    pub(super) fn channel_id(&self, notification: &Notification) -> Option<&str> {
        let own = self.category(notification).and_then(|category| category.channel_id.as_deref());
        own.or(self.channel_id.as_deref())
    }

    /// Are its messages of several kinds? Then one kind's quota does not hold up the others.
    pub(super) fn has_kinds(&self) -> bool {
        self.categories.len() > 1
    }

    /// The address of its region.
    ///
    /// # Errors
    /// The vendor has no such region.
    pub(super) fn home(&self, profile: &Profile, path: &str) -> Result<&'static str> {
        let found = match &self.region {
            None => profile.regions.first(),
            Some(region) => profile.regions.iter().find(|(name, _)| name == region),
        };
        found.map(|(_, home)| *home).ok_or_else(|| {
            let known: Vec<&str> = profile.regions.iter().map(|(name, _)| *name).collect();
            Error::setting(format!("{path}.region"), format!("is none of {}", known.join(", ")))
        })
    }

    /// Checks that the account has what the vendor needs, and nothing that it does not know. `path` names it in errors.
    pub(super) fn check(&self, profile: &Profile, path: &str) -> Result<()> {
        let given = [
            ("package", &self.package),
            ("app_id", &self.app_id),
            ("app_key", &self.app_key),
            ("client_id", &self.client_id),
            ("channel_id", &self.channel_id),
        ];
        if self.app.is_empty() {
            return Err(Error::setting(format!("{path}.app"), "is empty"));
        }
        if self.secret().trim().is_empty() {
            return Err(Error::setting(format!("{path}.secret"), "is empty"));
        }
        for (name, value) in given {
            let place = format!("{path}.{name}");
            match (profile.keys.iter().find(|(known, _)| *known == name), value) {
                (None, Some(_)) => return Err(Error::setting(place, format!("{} has no such thing", profile.name))),
                (Some((_, true)), None) => {
                    return Err(Error::setting(place, format!("is missing: {} needs it", profile.name)));
                }
                (_, Some(text)) if text.trim().is_empty() => return Err(Error::setting(place, "is empty")),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_category_is_a_name_or_a_table() {
        let account: Account = toml::from_str(
            "app = 'higo'\nsecret = 'very-secret'\n[categories]\norder = 'ORDER'\n\
             campaign = { name = 'MARKETING', marketing = true, channel_id = 'promo' }\ndefault = 'IM'",
        )
        .unwrap();
        let name = |category: Option<&str>| {
            let notification = Notification { category: category.map(str::to_owned), ..Notification::default() };
            account.category(&notification).and_then(|category| category.name.clone()).unwrap()
        };
        assert_eq!([name(Some("order")), name(Some("other")), name(None)], ["ORDER", "IM", "IM"]);
        assert_eq!(account.categories["campaign"].marketing, Some(true));
        assert!(account.has_kinds());
        assert!(!format!("{account:?}").contains("very-secret"));
        for (wrong, says) in [("order = 7", "table with name"), ("order = { nam = 'x' }", "unknown field `nam`")] {
            let text = format!("app = 'higo'\nsecret = 's'\n[categories]\n{wrong}");
            let error = toml::from_str::<Account>(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
