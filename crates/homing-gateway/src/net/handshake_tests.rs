#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

const GOOD: [(&str, &[u8]); 5] = [
    ("HOST", b"a"),
    ("upgrade", b"WebSocket"),
    ("Connection", b"keep-alive, Upgrade"),
    ("Sec-WebSocket-Version", b"13"),
    ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn the_example_of_the_rfc_is_answered() {
    // RFC 6455, section 1.3.
    let found = upgrade(true, true, GOOD.into_iter(), &Rules::default()).unwrap().unwrap();
    assert_eq!(found.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(
        found.answer(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert_eq!(upgrade(true, true, GOOD.into_iter().skip(2), &Rules::default()), None);
}

#[test]
fn extensions_and_subprotocols_are_agreed_on_only_if_they_are_wanted() {
    let extra: [(&str, &[u8]); 2] =
        [("sec-websocket-extensions", b"permessage-deflate"), ("sec-websocket-protocol", b"x, chat")];
    let rules = Rules { protocols: vec!["chat".to_owned()], deflate: true };
    let found = upgrade(true, true, GOOD.into_iter().chain(extra), &rules).unwrap().unwrap();
    assert_eq!((found.protocol.as_deref(), found.deflate), (Some("chat"), true));
    assert!(
        found.answer().contains("\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; ")
    );
    let found = upgrade(true, true, GOOD.into_iter().chain(extra), &Rules::default()).unwrap().unwrap();
    assert_eq!((found.protocol, found.deflate), (None, false));
}

#[test]
fn a_request_is_told_with_what_it_showed() {
    let headers: [(&str, &[u8]); 6] = [
        ("HOST", b"a.example:8443"),
        ("authorization", b"Bearer x"),
        ("cookie", b"a=1"),
        ("Cookie", b"b=2"),
        ("origin", b"https://a.example"),
        ("sec-websocket-protocol", b"chat"),
    ];
    let found = request("/ws?token=a%20b&x=1&token=c", headers.into_iter(), "127.0.0.1".parse().ok());
    assert_eq!((found.path.as_str(), found.parameter("x")), ("/ws", Some("1")));
    assert_eq!(found.credentials.query.as_deref(), Some("a b"));
    assert_eq!(found.credentials.header.as_deref(), Some("Bearer x"));
    assert_eq!(found.credentials.cookie.as_deref(), Some("a=1; b=2"));
    assert_eq!(found.host.as_deref(), Some("a.example:8443"));
    assert_eq!(found.origin.as_deref(), Some("https://a.example"));
    assert_eq!(found.protocols.as_deref(), Some("chat"));
    assert_eq!(found.credentials.remote, "127.0.0.1".parse().ok());
}
