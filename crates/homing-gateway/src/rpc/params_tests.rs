#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// What is said of a field with this value.
#[track_caller]
fn check<T: std::fmt::Debug>(
    json: &str,
    read: impl Fn(&mut Params<'_>) -> Result<T, Fault>,
    expected: Result<&str, &str>,
) {
    let object = raw(&format!("{{\"user\":{json}}}"));
    let mut params = Params::read(Some(&object), Method::PushUser, None).unwrap();
    let read = read(&mut params).map(|value| format!("{value:?}")).map_err(|fault| fault.message.into_owned());
    assert_eq!(read.as_deref().map_err(|e| e.as_str()), expected, "{json}");
}

#[test]
fn times_and_spans_are_read_in_several_forms() {
    let span = |params: &mut Params<'_>| params.span("user");
    check("90", span, Ok("Some(90s)"));
    check("0.5", span, Ok("Some(500ms)"));
    check("\"24h\"", span, Ok("Some(86400s)"));
    check("null", span, Ok("None"));
    let wrong = Err("user: expected a number of seconds, or text such as 90s or 24h, up to 3650d");
    for json in ["-1", "1e300", "\"soon\"", "true", "\"3651d\"", "[1]"] {
        check(json, span, wrong);
    }
    let time = |params: &mut Params<'_>| params.time("user");
    check("1795219200", time, Ok("Some(1795219200000)"));
    check("1795219200.25", time, Ok("Some(1795219200250)"));
    check("1795219200123", time, Ok("Some(1795219200123)"));
    check("\"2026-11-21T08:00:00+08:00\"", time, Ok("Some(1795219200000)"));
    let wrong = Err("user: expected RFC 3339 (2026-11-21T09:00:00+08:00), or seconds or milliseconds since 1970");
    for json in ["-1", "1e20", "\"tomorrow\"", "true", "\"2026-11-21\""] {
        check(json, time, wrong);
    }
}

#[test]
fn lists_name_the_place_that_is_wrong() {
    let users = |params: &mut Params<'_>| params.users("user", 3);
    check("[1,\"b\",1]", users, Ok("Some([\"1\", \"b\"])"));
    check("[]", users, Err("user: expected 1 to 3, found 0"));
    check("[1,2,3,4]", users, Err("user: expected 1 to 3, found 4"));
    check("\"42\"", users, Err("user: expected a list"));
    check("[1,null]", users, Err("user[1]: expected text or a whole number"));
    check("[\"\"]", users, Err("user[0]: must not be empty"));
    let ids = |params: &mut Params<'_>| params.ids("user", 3);
    check(&format!("[1,\"{}\"]", "x".repeat(129)), ids, Err("user[1]: must have at most 128 bytes"));
    check("true", |params| params.flag("user"), Ok("true"));
    check("1", |params| params.flag("user"), Err("user: expected true or false"));
    check("0", |params| params.number("user", 9), Err("user: expected a whole number from 1 to 9"));
    check("\"9\"", |params| params.number("user", 9), Ok("Some(9)"));
    check("7", |params| params.data(1).map(|_| ()), Ok("()"));
}

#[test]
fn parameters_come_by_name_or_by_place() {
    let by_place = raw(r#"["42","notify",{"n":1}]"#);
    let by_name = raw(r#"{"data":{"n":1},"msg_type":"notify","user":"42"}"#);
    for given in [&by_place, &by_name] {
        let mut params = Params::read(Some(given), Method::PushUser, None).unwrap();
        assert_eq!(&*params.needed("user").unwrap(), "42");
        assert_eq!(&*params.kind().unwrap(), "notify");
        assert_eq!(params.data(100).unwrap().get(), r#"{"n":1}"#);
        params.end(Method::PushUser).unwrap();
    }
    let fault = |json: &str| Params::read(Some(&raw(json)), Method::PushUser, None).unwrap_err();
    assert_eq!(fault("[1,2,3,4,5,6]").message, "expected at most 5 parameters: user, type, data, id, ttl");
    assert_eq!(fault(r#"{"type":"a","msg_type":"b"}"#).message, "type: is given twice");
    let unknown = raw(r#"{"usr":"42","x":null}"#);
    let params = Params::read(Some(&unknown), Method::PushUser, None).unwrap();
    assert_eq!(
        params.end(Method::PushUser).unwrap_err().message,
        "usr: is unknown; push.user takes user, type, data, id, ttl"
    );
    let mut none = Params::read(None, Method::PushUser, None).unwrap();
    assert_eq!(none.needed("user").unwrap_err().message, "user: is missing");
}
