use super::*;

/// The lines of an entry item under a map, and whether it can be worked.
fn seen(map: &str, item: &[u8]) -> (String, bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let text = format!(
        "[lane.system]\nentry = {{ name = 'q' }}\ndelivery = {{ xinge = {{ name = 'd' }} }}\n[lane.system.map]\n{map}\n"
    );
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&[file]).unwrap();
    let sight = entry(&config, "system", config.lane.get("system").unwrap(), item).unwrap();
    (sight.text, sight.well)
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn a_php_item_is_shown_with_what_the_map_makes_of_it() {
    let item = br#"a:3:{s:9:"push_type";i:7;s:5:"to_id";s:2:"42";s:8:"order_id";s:2:"A1";}"#;
    let (text, well) = seen("type = 'push_type'\nuser = 'to_id'", item);
    assert!(well, "{text}");
    has(
        &text,
        &[
            "codec    php, by its first byte",
            r#"decoded  {"order_id":"A1","push_type":7,"to_id":"42"}"#,
            "type     7 GOODS_SENT",
            "to       user 42",
            "app      any",
            "id       none of its own: it is known by its place in the list",
            r#"data     {"order_id":"A1"}"#,
            "title    已发货",
            "ok       it can be worked",
        ],
    );
    assert!(text.starts_with(&format!("bytes    {}: a:3:{{s:9:\"push_type\";i:7;", item.len())), "{text}");
}

#[test]
fn without_the_map_it_says_what_is_missing_and_what_there_is() {
    let (text, well) = seen("", br#"{"push_type":7,"msg":{"to_id":42,"text":"x"}}"#);
    assert!(!well);
    has(
        &text,
        &[
            "error    type: is missing",
            "         its fields: msg.text, msg.to_id, push_type; [lane.system.map] says which are meant",
        ],
    );
}

#[test]
fn an_error_has_its_position_and_what_stands_there() {
    let (text, well) = seen("", br#"a:2:{s:4:"type";i:7;s:2:"to";i:x;}"#);
    assert!(!well);
    let error = text.lines().find(|line| line.starts_with("error")).unwrap();
    assert!(error.contains("at byte 31"), "{text}");
    assert!(text.contains(">>> x;}"), "{text}");
    let (text, well) = seen("", b"hello");
    assert!(!well && text.contains("begins with 'h' at byte 0"), "{text}");
    let (text, well) = seen("", b"");
    assert!(!well && text.contains("error"), "{text}");
}

#[test]
fn an_unknown_type_is_refused_with_its_number() {
    let (text, well) = seen("", br#"{"id":"o-1","type":99,"to":{"user":"1"},"app":"higo"}"#);
    assert!(!well);
    has(
        &text,
        &["type     99", "id       o-1", "app      higo", "error    type: 99 is not in the catalogue of push types"],
    );
}

#[test]
fn long_and_binary_items_are_shortened_and_escaped() {
    let item = format!(r#"{{"type":7,"to":{{"user":"1"}},"data":{{"t":"{}"}}}}"#, "大".repeat(900));
    let (text, well) = seen("", item.as_bytes());
    assert!(well && text.lines().all(|line| line.chars().count() < SHOWN + 40), "{text}");
    let (text, _) = seen("", b"\x82\xa4type\x07\xa2to\x81\xa4user\x01");
    assert!(text.starts_with(r"bytes    17: \x82\xa4type\x07\xa2to"), "{text}");
    has(&text, &["to       user 1"]);
    let (text, _) = seen("", b"{\"type\":\"\x1b[31m\"}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn items_of_a_delivery_list_are_ours_or_higos() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let lane = "[lane.system]\nentry.name = 'q'\ndelivery.xinge.name = 'hg_xinge_queue'\nlocale = 'en'\n";
    std::fs::write(&file, lane).unwrap();
    let config = Config::load(&[file]).unwrap();
    let foreign = wiring::foreign(&config.lane["system"], std::sync::Arc::new(config.catalogue().unwrap()));
    let (list, now) = (QueueName::new("hg_xinge_queue"), 1_000);
    let wordless = br#"{"xinge_token":"abcdefgh","via":"android","app":"higo","type":7}"#;
    let words = foreign.read(wordless, now, String::new).unwrap();
    assert_eq!(words.title, "Shipped", "its type's, in the lane's language");
    let item = br#"a:4:{s:11:"xinge_token";s:8:"abcdefgh";s:3:"via";s:6:"iphone";s:3:"app";s:4:"higo";s:7:"content";s:2:"hi";}"#;
    let sight = delivery(&foreign, &list, item, now);
    has(&sight.text, &["written  by another distributor (HIGO's shape)", "body     hi", "ok       it can be sent"]);
    assert!(sight.well && sight.text.contains("..efgh") && !sight.text.contains("abcdefgh"), "{}", sight.text);
    let ours = Notification {
        id: "m-1".into(),
        kind: 7,
        app: "higo".into(),
        targets: vec![homing_core::notification::Target::new("42", "abcdefgh")],
        ..Notification::default()
    };
    let sight = delivery(&foreign, &list, &ours.encode(), now);
    has(&sight.text, &["written  by Homing", "to       1 of higo/android: 42/..efgh", "ok       it can be sent"]);
    let sight = delivery(&foreign, &list, br#"{"via":"android"}"#, now);
    has(&sight.text, &["error    xinge_token: is missing"]);
    assert!(!sight.well);
}
