//! Where a token stands among what a client showed.

use std::borrow::Cow;

use super::settings::Settings;
use crate::identity::Credentials;

/// The token: of a message, else of the query, of the header, of the cookie.
pub(super) fn token<'a>(credentials: &'a Credentials, settings: &Settings) -> Option<Cow<'a, str>> {
    let whole = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Cow::Borrowed);
    if let Some(token) = whole(&credentials.message) {
        return Some(token);
    }
    if let (false, Some(token)) = (settings.query.is_empty(), whole(&credentials.query)) {
        return Some(token);
    }
    if let (true, Some(header)) = (settings.header, credentials.header.as_deref()) {
        // Another scheme is somebody else's: a proxy's user and password, say.
        let bearer = header.trim().split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if let Some(token) = bearer.map(|(_, token)| token.trim()).filter(|token| !token.is_empty()) {
            return Some(Cow::Borrowed(token));
        }
    }
    if settings.cookie.is_empty() { None } else { cookie(credentials, &settings.cookie).map(Cow::Borrowed) }
}

/// The value of a cookie, the first of that name that has one.
pub(super) fn cookie<'a>(credentials: &'a Credentials, name: &str) -> Option<&'a str> {
    let header = credentials.cookie.as_deref()?;
    let mut pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(key, value)| {
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        (key.trim() == name && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_first_place_counts() {
        let all = Credentials {
            query: Some("q".into()),
            header: Some("bearer  h".into()),
            cookie: Some("other=1; token=\"c\"; token=d".into()),
            message: Some("m".into()),
            remote: None,
        };
        let settings = Settings::default();
        let found = |credentials: &Credentials, settings: &Settings| token(credentials, settings).map(Cow::into_owned);
        assert_eq!(found(&all, &settings).as_deref(), Some("m"));
        let all = Credentials { message: Some(String::new()), ..all };
        assert_eq!(found(&all, &settings).as_deref(), Some("q"));
        assert_eq!(found(&all, &Settings { query: String::new(), ..settings.clone() }).as_deref(), Some("h"));
        let all = Credentials { query: None, ..all };
        assert_eq!(found(&all, &settings).as_deref(), Some("h"));
        assert_eq!(found(&all, &Settings { header: false, ..settings.clone() }).as_deref(), Some("c"));
        for other in ["Basic aGk6aG8=", "Bearer", "Bearer ", ""] {
            let all = Credentials { header: Some(other.into()), ..all.clone() };
            assert_eq!(found(&all, &settings).as_deref(), Some("c"), "{other}");
        }
        let none = Settings { header: false, cookie: String::new(), ..settings.clone() };
        assert_eq!(found(&all, &none), None);
        assert_eq!(found(&Credentials { header: None, cookie: Some("token=; tok=1".into()), ..all }, &settings), None);
    }
}
