//! A listener that asks for no key is for programs of this machine. A page in a browser on this machine is somebody
//! else: it shows in the `Host` that it was led to, and in its `Origin`.

use axum::http::{HeaderMap, StatusCode, header};

use crate::refusal::Refusal;

/// Refuses a request that a foreign page may have made.
pub(crate) fn local_only(headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |field: &'static str| {
        let message = "without a key, only localhost, 127.0.0.1 and [::1] are served";
        Err(Refusal::new(StatusCode::FORBIDDEN, field, message))
    };
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let mut hosts = headers.get_all(header::HOST).iter();
    if hosts.next().is_none() || hosts.next().is_some() || !text(header::HOST).is_some_and(is_local) {
        return refused("Host");
    }
    match text(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if host.is_some_and(is_local) { Ok(()) } else { refused("Origin") }
        }
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
        let Some((name, rest)) = host.split_at_checked(own.len()) else { return false };
        let port = rest.strip_prefix(':');
        name.eq_ignore_ascii_case(own) && (rest.is_empty() || port.is_some_and(|p| p.parse::<u16>().is_ok()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn check(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        local_only(&headers).err().map(|r| r.field.into_owned())
    }

    #[test]
    fn only_names_of_this_machine_are_served() {
        for host in ["localhost", "LocalHost:7700", "127.0.0.1:80", "127.0.0.1", "[::1]:7700", "[::1]"] {
            assert_eq!(check(&[("host", host)]), None, "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost:x", "[::1", "::1"]
        {
            assert_eq!(check(&[("host", host)]).as_deref(), Some("Host"), "{host}");
        }
        assert_eq!(check(&[]).as_deref(), Some("Host"));
        assert_eq!(check(&[("host", "localhost"), ("origin", "http://localhost:7700")]), None);
        for origin in ["http://evil.example", "null", "http://localhost.evil.example"] {
            assert_eq!(check(&[("host", "localhost"), ("origin", origin)]).as_deref(), Some("Origin"), "{origin}");
        }
    }
}
