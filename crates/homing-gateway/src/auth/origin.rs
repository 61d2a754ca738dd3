//! Which pages may connect. Browsers let any page open a WebSocket and send this site's cookies along, so where a cookie
//! says who the user is, the page must be one of the site's own (RFC 6455, section 10.2). Programs send no `Origin`.

use crate::session::Request;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A program, a page of the same host, or of an origin that is listed.
    Own,
    /// Another page, where no origins are listed: it may connect, but its cookies say nothing.
    NoCookies,
    /// Another page than those that are listed.
    Foreign,
}

/// `origins = None`: pages of the same host with their cookies, others without. A list: only those (`*` = any, with
/// cookies); an empty list: only pages of the same host.
pub fn standing(origins: Option<&[String]>, request: &Request) -> Standing {
    let Some(origin) = &request.origin else { return Standing::Own };
    let listed = |origins: &[String]| origins.iter().any(|own| own == "*" || own.eq_ignore_ascii_case(origin));
    match origins {
        Some(origins) if listed(origins) => Standing::Own,
        Some([]) | None if is_same_host(origin, request.host.as_deref()) => Standing::Own,
        Some(_) => Standing::Foreign,
        None => Standing::NoCookies,
    }
}

/// Ports count, too; where the scheme's own is left out on one side, it is on the other.
fn is_same_host(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, name)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    !name.is_empty() && bare(name) == bare(host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[track_caller]
    fn check(origins: Option<&[&str]>, host: &str, origin: Option<&str>, expected: Standing) {
        let request = Request { host: Some(host.into()), origin: origin.map(str::to_owned), ..Request::default() };
        let origins: Option<Vec<String>> = origins.map(|list| list.iter().map(|o| (*o).to_owned()).collect());
        assert_eq!(standing(origins.as_deref(), &request), expected, "{origins:?} {host} {origin:?}");
    }

    #[test]
    fn pages_of_the_same_host_are_own() {
        for origins in [None, Some(&[][..])] {
            check(origins, "shop.example", None, Standing::Own);
            check(origins, "shop.example", Some("https://shop.example"), Standing::Own);
            check(origins, "Shop.example:443", Some("https://shop.example"), Standing::Own);
            check(origins, "shop.example:9992", Some("http://shop.example:9992"), Standing::Own);
        }
        for foreign in [
            "https://evil.example",
            "https://shop.example.evil.example",
            "null",
            "",
            "https://",
            "http://shop.example:81",
        ] {
            check(None, "shop.example", Some(foreign), Standing::NoCookies);
            check(Some(&[]), "shop.example", Some(foreign), Standing::Foreign);
            check(Some(&["*"]), "shop.example", Some(foreign), Standing::Own);
        }
        check(Some(&["https://app.example"]), "push.example", Some("https://App.example"), Standing::Own);
        check(Some(&["https://app.example"]), "push.example", Some("https://push.example"), Standing::Foreign);
    }
}
