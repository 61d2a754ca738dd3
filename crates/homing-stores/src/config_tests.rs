#![allow(clippy::unwrap_used)]

use super::*;

#[track_caller]
fn refused(toml: &str, words: &[&str]) {
    let error = toml::from_str::<StoresConfig>(toml).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
}

#[test]
fn mistakes_are_refused_with_what_is_known() {
    refused(
        "[stores.a]\nkind = 'oracle'\nurl = 'x'",
        &["oracle", "redis", "mysql", "postgres", "sqlite", "mongo", "http"],
    );
    refused("[stores.a]\nkind = 'redis'\nurl = 'x'\ntimeout = '5'", &["500ms"]);
    refused("[stores.a]\nkind = 'redis'\nurl = 'x'\nmode = 'sentinel'", &["mode"]);
    refused("[lookup.a]\nstore = 's'\nkee = 'x'", &["kee", "key"]);
    refused("[lookup.a]\nstore = 's'\non_error = 'allow'", &["allow", "retry"]);
    refused("[lookup.a]\nstore = 's'\non_missing = 'maybe'", &["maybe", "deny"]);
}

#[test]
fn the_url_is_never_printed() {
    let config: StoresConfig = toml::from_str("[stores.a]\nkind = 'redis'\nurl = 'redis://:hunter2@h'").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
