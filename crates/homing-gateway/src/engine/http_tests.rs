#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Mutex;

use super::*;
use crate::{
    engine::{doorman, fake::FakeLink},
    session::{Admission, Request},
    socketio::Settings,
};

/// One session at most.
#[derive(Default)]
struct Shelf(Mutex<Option<(Box<dyn Session>, FakeLink)>>);

impl Shards for Shelf {
    fn open(&self, mut session: Box<dyn Session>) -> BoxFuture<'_, Option<SessionKey>> {
        let mut link = FakeLink::default();
        session.open(&mut link);
        let mut place = self.0.lock().unwrap();
        let key = place.is_none().then(|| crate::session::Link::key(&link));
        place.get_or_insert((session, link));
        Box::pin(async move { key })
    }

    fn poll(&self, key: SessionKey, poll: Poll) -> BoxFuture<'_, ()> {
        if let Some((session, link)) = &mut *self.0.lock().unwrap()
            && key == crate::session::Link::key(link)
        {
            session.poll(link, poll);
        }
        Box::pin(async {})
    }
}

fn site(settings: Settings) -> Arc<Site> {
    Site::echo(settings).unwrap()
}

fn request(target: &str, origin: Option<&str>) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    Request { path: path.to_owned(), query: query.collect(), origin: origin.map(str::to_owned), ..Request::default() }
}

struct Ask<'a> {
    method: Method,
    target: &'a str,
    origin: Option<&'a str>,
    body: &'a [u8],
}

const ASK: Ask<'static> = Ask { method: Method::GET, target: "", origin: None, body: b"" };

async fn ask(site: &Arc<Site>, shards: &Shelf, ask: Ask<'_>) -> Answer {
    let asked = Asked {
        method: &ask.method,
        request: request(ask.target, ask.origin),
        content_type: None,
        wanted_headers: Some("x-custom"),
        body: Bytes::copy_from_slice(ask.body),
    };
    serve(site, shards, asked).await
}

#[track_caller]
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_session_is_opened_written_to_and_read() {
    let (site, shelf) = (site(Settings::default()), Shelf::default());
    let target = "/socket.io/?EIO=4&transport=polling";
    let open = ask(&site, &shelf, Ask { target, ..ASK }).await;
    assert_eq!(open.status, 200);
    assert_eq!(header(&open, "content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(header(&open, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(&open, "access-control-allow-credentials"), None);
    let text = std::str::from_utf8(&open.body).unwrap();
    let sid = text.strip_prefix(r#"0{"sid":""#).unwrap().split_once('"').unwrap().0;
    let target = format!("{target}&sid={sid}");
    let posted = ask(&site, &shelf, Ask { method: Method::POST, target: &target, body: b"4hello", ..ASK }).await;
    assert_eq!((posted.status, posted.body.as_ref()), (StatusCode::OK, &b"ok"[..]));
    let got = ask(&site, &shelf, Ask { target: &target, ..ASK }).await;
    assert_eq!(got.body.as_ref(), b"4hello");
    let large = vec![b'4'; 1_000_001];
    let refused = ask(&site, &shelf, Ask { method: Method::POST, target: &target, body: &large, ..ASK }).await;
    assert_eq!(refused.status, 413);
    let full = ask(&site, &shelf, Ask { target: "/socket.io/?EIO=4&transport=polling", ..ASK }).await;
    assert_eq!((full.status.as_u16(), header(&full, "retry-after")), (503, Some("5")));
}

#[tokio::test]
async fn refusals_have_the_numbers_of_the_javascript_server() {
    let shelf = Shelf::default();
    let all = site(Settings::default());
    let fresh = site(Settings { versions: vec![4], ..Settings::default() });
    let unknown = format!("EIO=4&transport=polling&sid={}", "A".repeat(32));
    for (site, method, query, expected) in [
        (&all, Method::GET, "transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
        (&all, Method::GET, "EIO=abc&transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
        (&fresh, Method::GET, "EIO=3&transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
        (&all, Method::GET, "EIO=4", r#"{"code":0,"message":"Transport unknown"}"#),
        (&all, Method::GET, "EIO=4&transport=abc", r#"{"code":0,"message":"Transport unknown"}"#),
        (&all, Method::GET, "EIO=4&transport=websocket", r#"{"code":3,"message":"Bad request"}"#),
        (&all, Method::GET, "EIO=4&transport=polling&j=0", r#"{"code":3,"message":"Bad request"}"#),
        (&all, Method::POST, "EIO=4&transport=polling", r#"{"code":2,"message":"Bad handshake method"}"#),
        (&all, Method::PUT, "EIO=4&transport=polling", r#"{"code":2,"message":"Bad handshake method"}"#),
        (&all, Method::GET, "EIO=4&transport=polling&sid=abc", r#"{"code":1,"message":"Session ID unknown"}"#),
        (&all, Method::GET, unknown.as_str(), r#"{"code":1,"message":"Session ID unknown"}"#),
    ] {
        let target = format!("/socket.io/?{query}");
        let answer = ask(site, &shelf, Ask { method, target: &target, ..ASK }).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(std::str::from_utf8(&answer.body).unwrap(), expected, "{query}");
        assert_eq!(header(&answer, "content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn pages_of_other_origins() {
    let shelf = Shelf::default();
    let own = site(Settings { origins: Some(vec!["https://a.example".into()]), ..Settings::default() });
    let any = site(Settings::default());
    let target = "/socket.io/?EIO=3&transport=polling";
    let evil = ask(&own, &shelf, Ask { target, origin: Some("https://b.example"), ..ASK }).await;
    assert_eq!((evil.status.as_u16(), header(&evil, "access-control-allow-origin")), (403, None));
    let options = Ask { method: Method::OPTIONS, target, origin: Some("https://a.example"), ..ASK };
    let answer = ask(&own, &shelf, options).await;
    assert_eq!(answer.status, 204);
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(header(&answer, "access-control-allow-credentials"), Some("true"));
    assert_eq!(header(&answer, "access-control-allow-headers"), Some("x-custom"));
    // Version 3 asks with credentials, and is answered as its server did.
    let old = ask(&any, &shelf, Ask { target, origin: Some("https://b.example"), ..ASK }).await;
    assert_eq!(header(&old, "access-control-allow-origin"), Some("https://b.example"));
    assert_eq!(header(&old, "vary"), Some("Origin"));
}

#[test]
fn cookies_of_other_pages_say_nothing() {
    let open = site(Settings::default());
    let listed = site(Settings { origins: Some(vec!["https://a.example".into()]), ..Settings::default() });
    let any = site(Settings { origins: Some(vec!["*".into()]), ..Settings::default() });
    let own = site(Settings { origins: Some(Vec::new()), ..Settings::default() });
    let (page, other, evil) = (Some("https://push.example"), Some("https://a.example"), Some("https://evil.example"));
    for (site, origin, welcome, counts) in [
        (&open, None, true, true),
        (&open, page, true, true),
        (&open, evil, true, false),
        (&open, Some("null"), true, false),
        (&listed, other, true, true),
        (&listed, evil, false, false),
        (&any, evil, true, true),
        (&own, page, true, true),
        (&own, evil, false, false),
    ] {
        let mut request = request("/socket.io/?token=a", origin);
        request.host = Some("push.example".to_owned());
        request.credentials.cookie = Some("token=b".to_owned());
        let shown = site.credentials(&request);
        assert_eq!((site.welcomes(&request), shown.cookie.is_some()), (welcome, counts), "{origin:?}");
        assert_eq!(shown.query.as_deref(), Some("a"));
    }
}

#[test]
fn websockets_are_admitted_by_the_same_rules() {
    let sites = [site(Settings::default())];
    let origin = Settings { origins: Some(vec!["https://a.example".into()]), ..Settings::default() };
    let strict = [site(Settings { paths: vec!["/x/".into()], ..origin })];
    let sid = sid::make(SessionKey { shard: 2, slot: 3, generation: 4 }).unwrap();
    let offer = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    for (sites, target, origin, expected) in [
        (&sites, "/socket.io/?EIO=4&transport=websocket", None, "session"),
        (&sites, "/socket.io?EIO=3&transport=websocket&sid=", None, "session"),
        (&sites, offer.as_str(), None, "offer 2 3 4"),
        (&sites, "/socket.io/?EIO=4&transport=websocket&sid=abc", None, "400 Session ID unknown"),
        (&sites, "/socket.io/?transport=websocket", None, "400 Unsupported protocol version"),
        (&sites, "/socket.io/?EIO=abc&transport=websocket", None, "400 Unsupported protocol version"),
        (&sites, "/socket.io/?EIO=4", None, "400 Transport unknown"),
        (&sites, "/socket.io/?EIO=4&transport=abc", None, "400 Transport unknown"),
        (&sites, "/ws", None, "none"),
        (&strict, "/x/?EIO=4&transport=websocket", Some("https://b.example"), "403 Forbidden"),
        (&strict, "/x/?EIO=4&transport=websocket", Some("https://a.example"), "session"),
    ] {
        let shown = match doorman(sites, &request(target, origin)) {
            None => "none".to_owned(),
            Some(Admission::Session(_)) => "session".to_owned(),
            Some(Admission::Offer(key, own)) => {
                assert_eq!(own, sid);
                format!("offer {} {} {}", key.shard, key.slot, key.generation)
            }
            Some(Admission::Refuse { status, why }) => format!("{status} {why}"),
        };
        assert_eq!(shown, expected, "{target}");
    }
}
