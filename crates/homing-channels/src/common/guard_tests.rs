#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::HashMap, str::FromStr as _};

use super::*;

const OWN: &[&str] = &["fcm.googleapis.com", "*.push.services.mozilla.com"];

fn guard(allow: &[&str], public: bool) -> Guard {
    let allow: Vec<String> = allow.iter().map(|&entry| entry.to_owned()).collect();
    Guard::new(OWN, &allow, public, "channel.web_push.allow").unwrap()
}

fn check(guard: &Guard, url: &str) -> Result<Known, Refused> {
    guard.check(&Url::parse(url).unwrap())
}

/// By their form none of these is called, not even where every public host is allowed.
#[test]
fn hostile_addresses_are_refused_by_their_form() {
    let hostile = [
        "http://fcm.googleapis.com/fcm/send/x",
        "http://127.0.0.1:6379/",
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://%31%32%37.0.0.1/",
        "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.8/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://172.16.3.4/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://192.0.2.7/",
        "https://192.88.99.1/",
        "https://198.18.0.1/",
        "https://198.51.100.3/",
        "https://203.0.113.9/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[::7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b:1::1]/",
        "https://[100::1]/",
        "https://[2001::1]/",
        "https://[2001:db8::1]/",
        "https://[2002:7f00:1::]/",
        "https://[3fff::1]/",
        "https://[fc00::1]/",
        "https://[fd12:3456::1]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://api.localhost/",
        "https://redis/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.home.arpa/",
        "https://user@fcm.googleapis.com/fcm/send/x",
        "https://user:pass@fcm.googleapis.com/fcm/send/x",
        "https://fcm.googleapis.com@10.0.0.1/",
        "https://fcm.googleapis.com\\@10.0.0.1/",
        "ftp://fcm.googleapis.com/x",
        "file:///etc/passwd",
        "gopher://fcm.googleapis.com/x",
        "data:text/plain,x",
        "javascript:alert(1)",
        "ws://fcm.googleapis.com/",
    ];
    assert!(hostile.len() >= 25);
    for url in hostile {
        let found = check(&guard(&[], true), url);
        // The backslash is a slash to the parser: the host is Google's, and what follows is a path.
        if url.contains('\\') {
            assert_eq!(found, Ok(Known::Named), "{url}");
            continue;
        }
        assert!(matches!(found, Err(Refused::Hostile(_))), "{url}: {found:?}");
        assert!(check(&guard(&[], false), url).is_err(), "{url}");
    }
}

#[test]
fn hosts_are_allowed_by_name_by_origin_or_because_all_are() {
    let narrow =
        guard(&["push.example.com", "*.corp.example:8443", "https://hub:9443", "http://127.0.0.1:9000"], false);
    let named = Ok(Known::Named);
    for url in [
        "https://fcm.googleapis.com/fcm/send/x",
        "https://FCM.googleapis.com:443/fcm/send/x",
        "https://updates.push.services.mozilla.com/wpush/v2/x",
        "https://push.example.com/",
        "https://a.b.corp.example:8443/",
        "https://hub:9443/x",
        "http://127.0.0.1:9000/push/1",
    ] {
        assert_eq!(check(&narrow, url), named, "{url}");
    }
    for url in [
        "https://push.services.mozilla.com/",
        "https://evilpush.services.mozilla.com.example.com/",
        "https://xpush.example.com/",
        "https://fcm.googleapis.com.example.com/",
        "https://fcm.googleapis.com:8443/",
        "https://corp.example:8443/",
        "https://a.corp.example/",
        "https://hub/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
    ] {
        assert!(matches!(check(&narrow, url), Err(Refused::Unlisted(_))), "{url}");
    }
    let hostile = "http://127.0.0.1:9001/push/1";
    assert!(matches!(check(&narrow, hostile), Err(Refused::Hostile(_))), "another port is another origin");

    let wide = guard(&["https://hub.corp.example:9443"], true);
    assert_eq!(check(&wide, "https://push.example.org/x"), Ok(Known::Stranger));
    assert_eq!(check(&wide, "https://8.8.8.8/x"), Ok(Known::Stranger));
    assert_eq!(check(&wide, "https://fcm.googleapis.com/x"), named);
    for url in ["https://push.example.org:8443/", "https://hub.corp.example/", "https://hub.corp.example./"] {
        assert!(matches!(check(&wide, url), Err(Refused::Unlisted(_))), "{url}");
    }
}

#[test]
fn an_entry_that_is_no_host_is_refused_with_its_words() {
    let refused = [
        ("http://push.example.com:9000", "only goes to this machine"),
        ("http://127.0.0.1", "only goes to this machine"),
        ("http://10.0.0.1:9000", "only goes to this machine"),
        ("ftp://example.com", "no origin of https"),
        ("https://example.com/path", "more than scheme, host and port"),
        ("https://a:b@example.com", "more than scheme, host and port"),
        ("example.com/path", "more than scheme, host and port"),
        ("redis", "has no dot"),
        ("10.0.0.1", "written as an origin"),
        ("*.", "no host"),
        ("", "no host"),
    ];
    for (entry, words) in refused {
        let error = Guard::new(OWN, &[entry.to_owned()], false, "channel.web_push.allow").unwrap_err().to_string();
        assert!(error.starts_with("channel.web_push.allow: ") && error.contains(words), "{entry}: {error}");
    }
}

#[test]
fn special_addresses_are_not_public_and_their_neighbours_are() {
    for text in ["1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.0"] {
        assert!(is_public(IpAddr::from_str(text).unwrap()), "{text}");
    }
    for text in ["2606:4700::1111", "2001:4860:4860::8888", "2400::", "3ffe::1", "2001:200::1", "2003::1"] {
        assert!(is_public(IpAddr::from_str(text).unwrap()), "{text}");
    }
    for text in ["2001:1ff::1", "3fff:fff::1", "4000::1", "1fff::1", "5f00::1", "::ffff:10.0.0.1", "0.1.2.3"] {
        assert!(!is_public(IpAddr::from_str(text).unwrap()), "{text}");
    }
}

struct Book(HashMap<&'static str, Vec<&'static str>>);

impl Names for Book {
    fn look_up(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let found = self.0.get(name.as_str()).cloned().ok_or_else(|| io::Error::other("no such name"));
        Box::pin(std::future::ready(
            found.map(|all| all.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()),
        ))
    }
}

#[tokio::test]
async fn only_public_addresses_of_a_name_are_connected_to() {
    let book = Book(HashMap::from([
        ("good.example.com", vec!["93.184.216.34", "2606:2800::1"]),
        ("mixed.example.com", vec!["10.0.0.1", "93.184.216.34", "fd00::1"]),
        ("inner.example.com", vec!["192.168.0.1", "::1"]),
        ("empty.example.com", vec![]),
        ("hub", vec!["10.1.2.3"]),
    ]));
    let checked = Checked { guard: Arc::new(guard(&["https://hub:9443"], true)), names: Arc::new(book) };
    let resolve = async |name: &str| -> Result<Vec<String>, String> {
        match checked.resolve(Name::from_str(name).unwrap()).await {
            Ok(addresses) => Ok(addresses.map(|address| address.ip().to_string()).collect()),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(resolve("good.example.com").await.unwrap(), ["93.184.216.34", "2606:2800::1"]);
    assert_eq!(resolve("mixed.example.com").await.unwrap(), ["93.184.216.34"]);
    assert_eq!(resolve("inner.example.com").await.unwrap_err(), "inner.example.com has no public address");
    assert_eq!(resolve("empty.example.com").await.unwrap_err(), "empty.example.com has no public address");
    assert_eq!(resolve("none.example.com").await.unwrap_err(), "no such name");
    assert_eq!(resolve("hub").await.unwrap(), ["10.1.2.3"], "the operator answers for an origin in full");
}
