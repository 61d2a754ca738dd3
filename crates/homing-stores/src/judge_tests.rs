#![allow(clippy::unwrap_used)]

use super::*;

const NOW: Millis = 1_447_212_345_678;

fn row(columns: &[(&str, &str)]) -> Row {
    columns.iter().map(|(column, text)| ((*column).to_owned(), (*text).to_owned())).collect()
}

#[track_caller]
fn check(accept: &str, columns: &[(&str, &str)], pass: bool, seen: &str) {
    let judge = Judge::new("login", Some(accept), OnMissing::Deny, None).unwrap();
    assert_eq!(judge.judge(&[row(columns)], NOW), Verdict { pass, seen: seen.to_owned() }, "{accept}");
}

#[track_caller]
fn refused(accept: &str, line: usize, column: usize, word: &str) {
    let columns = ["value".to_owned(), "push_status".to_owned()];
    match Judge::new("login", Some(accept), OnMissing::Deny, Some(&columns)).err().unwrap() {
        ConfigError::Expression { name, line: l, column: c, reason } => {
            assert_eq!((name.as_str(), l, c), ("login", line, column), "{accept}: {reason}");
            assert!(reason.contains(word), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_comparison_with_text_is_direct() {
    assert_eq!(comparison(" value == '1' "), Some(("value", "1", true)));
    assert_eq!(comparison("push_status!=\"off\""), Some(("push_status", "off", false)));
    assert_eq!(comparison("value==''"), Some(("value", "", true)));
    for other in
        ["value == 1", "value == '1' or value == '2'", "value|int == '1'", "value == 'a\\n'", "now == '1'", "1 == '1'"]
    {
        assert_eq!(comparison(other), None, "{other}");
    }
    check("value == '1'", &[("value", "1")], true, "value=1");
    check("value == '1'", &[("value", "0")], false, "value=0");
    check("value == '1'", &[("other", "1")], false, "value=none");
    check("value != '1'", &[("value", "0")], true, "value=0");
    check("value != '1'", &[("other", "1")], true, "value=none");
}

#[test]
fn the_direct_way_agrees_with_minijinja() {
    for columns in [&[("value", "1")][..], &[("value", "2")], &[("other", "x")], &[("value", "")]] {
        for operator in ["==", "!="] {
            for literal in ["1", "", "none"] {
                let text = format!("value {operator} '{literal}'");
                let direct = Judge::new("a", Some(&text), OnMissing::Deny, None).unwrap();
                let slow = Judge::new("a", Some(&format!("({text})")), OnMissing::Deny, None).unwrap();
                assert!(matches!(direct.accept, Accept::Text { .. }));
                assert!(matches!(slow.accept, Accept::Expression { .. }));
                assert_eq!(direct.judge(&[row(columns)], NOW), slow.judge(&[row(columns)], NOW), "{text} {columns:?}");
            }
        }
    }
}

#[test]
fn expressions_see_columns_now_and_rows() {
    check("value is none or now - value|int > 90", &[("value", "1447212300")], false, "value=1447212300");
    check("value is none or now - value|int > 90", &[("value", "1447212200")], true, "value=1447212200");
    check("value is none or now - value|int > 90", &[("other", "1")], true, "value=none");
    check("a == '1' and b in ['x', 'y']", &[("a", "1"), ("b", "y")], true, "a=1 b=y");
    check("rows == 1 and now == 1447212345", &[], true, "rows=1");
    check("value|float > 1.5", &[("value", " 1.75 ")], true, "value= 1.75 ");
    check("value|int == 12", &[("value", "12.9")], true, "value=12.9");
    check("value == 1", &[("value", "1")], false, "value=1");
}

#[test]
fn truthy_takes_every_spelling_of_true() {
    for text in ["1", "true", "TRUE", " 1 "] {
        check("value|truthy", &[("value", text)], true, &format!("value={text}"));
    }
    for text in ["0", "", "false", "2", "yes"] {
        check("value|truthy", &[("value", text)], false, &format!("value={text}"));
    }
    check("1|truthy and true|truthy and not none|truthy and not 0|truthy", &[], true, "rows=1");
}

#[test]
fn a_value_that_does_not_fit_is_denied_with_the_reason() {
    check("value|int > 3", &[("value", "abc")], false, "value=abc (`abc` is no whole number)");
    check("value|int > 3", &[], false, "value=none (`None` is no whole number)");
    check("value|float > 3", &[("value", "inf")], false, "value=inf (`inf` is no number)");
}

#[test]
fn missing_is_the_configured_answer() {
    for (on_missing, pass) in [(OnMissing::Allow, true), (OnMissing::Deny, false)] {
        let judge = Judge::new("login", Some("value == '1'"), on_missing, None).unwrap();
        assert_eq!(judge.judge(&[], NOW), Verdict { pass, seen: "missing".to_owned() });
    }
}

#[test]
fn without_an_expression_a_row_is_enough() {
    let judge = Judge::new("tokens", None, OnMissing::Deny, None).unwrap();
    let rows = [row(&[("token", "a")]), row(&[("token", "b")])];
    assert_eq!(judge.judge(&rows, NOW), Verdict { pass: true, seen: "rows=2".to_owned() });
}

#[test]
fn what_was_seen_is_bounded() {
    let judge = Judge::new("login", Some("value == '1'"), OnMissing::Deny, None).unwrap();
    let seen = judge.judge(&[row(&[("value", &"ü".repeat(5_000))])], NOW).seen;
    assert_eq!(seen.chars().count(), 100);
    assert!(seen.ends_with('…'));
}

#[test]
fn mistakes_are_found_when_it_is_built() {
    refused("value ==", 1, 7, "unexpected");
    refused("value == '1'\n  and )", 2, 7, "unexpected");
    refused("push_statos == '1'", 1, 1, "push_statos");
    refused("value|int > 1 and push_statos == '1'", 1, 19, "push_statos");
    refused("value|upper == 'A'", 1, 7, "upper");
    refused("value is even", 1, 10, "even");
    refused("range(5)", 1, 1, "range");
}

#[test]
fn an_expensive_expression_runs_out_of_fuel() {
    let long = format!("value == 'x'{}", " or value == 'x'".repeat(3_000));
    let judge = Judge::new("login", Some(&long), OnMissing::Deny, None).unwrap();
    let verdict = judge.judge(&[row(&[("value", "y")])], NOW);
    assert!(!verdict.pass);
}
