//! A channel's part of the configuration.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Error, Result};

/// Keys whose values are secrets, as the loader knows them (`KEY_file`), and the headers of webhooks.
const SECRETS: [&str; 8] = ["url", "secret", "token", "key", "password", "certificate", "service_account", "headers"];

/// Reads `[channel.NAME]` as the channel's own type.
///
/// # Errors
/// Names the key: `channel.fcm.account.higo.project`. The values of secrets do not stand in it.
pub fn read<T: DeserializeOwned>(name: &str, table: &Table) -> Result<T> {
    serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(|error| {
        let at = error.path().to_string();
        let at = if at == "." { "" } else { at.as_str() };
        let mut secrets = Vec::new();
        gather(table, "", at, false, &mut secrets);
        let problem = secrets.iter().fold(error.inner().message().to_owned(), |text, secret| {
            let quoted = format!("{secret:?}");
            let inside = quoted.get(1..quoted.len() - 1).unwrap_or(&quoted);
            text.replace(inside, "***").replace(secret.as_str(), "***")
        });
        let path = if at.is_empty() { format!("channel.{name}") } else { format!("channel.{name}.{at}") };
        Error::setting(path, problem)
    })
}

/// The secrets at `place`, below it, and above it: serde quotes the values that it dislikes.
fn gather(table: &Table, above: &str, place: &str, secret: bool, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if !path.starts_with(place) && !place.starts_with(&path) {
            continue;
        }
        let secret = secret || SECRETS.contains(&key.as_str());
        match value {
            Value::Table(inner) => gather(inner, &path, place, secret, found),
            Value::String(text) if secret && !text.is_empty() => found.push(text.clone()),
            Value::Integer(number) if secret => found.push(number.to_string()),
            Value::Float(number) if secret => found.push(number.to_string()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::collections::BTreeMap;

    use secrecy::SecretString;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Account {
        #[expect(dead_code, reason = "only its type matters")]
        secret: SecretString,
        #[expect(dead_code, reason = "only its type matters")]
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[expect(dead_code, reason = "only its type matters")]
        #[serde(default)]
        page: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Section {
        #[expect(dead_code, reason = "only its type matters")]
        account: BTreeMap<String, Account>,
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let table: Table = toml::from_str(text).unwrap();
        assert_eq!(read::<Section>("shop", &table).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_quoted_unless_it_is_a_secret() {
        check(
            "[account.a]\nsecret = 's'\npage = 'many'",
            "channel.shop.account.a.page: invalid type: string \"many\", expected u32",
        );
        check(
            "[account.a]\nsecret = 90210",
            "channel.shop.account.a.secret: invalid type: integer `***`, expected a string",
        );
        check(
            "[account.a]\nsecret = 's'\nheaders = { Authorization = 90210 }",
            "channel.shop.account.a.headers.Authorization: invalid type: integer `***`, expected a string",
        );
        check(
            "[account.a]\nsecret = 's'\nheaders = 'Bearer \"x\"'",
            "channel.shop.account.a.headers: invalid type: string \"***\", expected a map",
        );
    }
}
