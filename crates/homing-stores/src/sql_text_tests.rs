#![allow(clippy::unwrap_used)]

use super::*;

fn constants() -> BTreeMap<String, Constant> {
    BTreeMap::from([
        ("app".to_owned(), Constant::Text("hi'go".to_owned())),
        ("is_del".to_owned(), Constant::Integer(0)),
    ])
}

fn texts(texts: &[&str]) -> Vec<Constant> {
    texts.iter().map(|text| Constant::Text((*text).to_owned())).collect()
}

#[track_caller]
fn refused_select(sql: &str, position: usize, word: &str) {
    let error = Statement::select(sql, &constants()).unwrap_err();
    assert_eq!(error.position, position, "{sql}: {error:?}");
    assert!(error.reason.contains(word), "{sql}: {error:?}");
}

#[track_caller]
fn refused_invalidate(sql: &str, word: &str) {
    let error = Statement::invalidate(sql, &constants()).unwrap_err();
    assert!(error.reason.contains(word), "{sql}: {error:?}");
}

#[test]
fn names_are_quoted_or_refused() {
    assert_eq!(quote("t_account"), Ok("`t_account`".to_owned()));
    assert_eq!(quote("im.t$1"), Ok("`im`.`t$1`".to_owned()));
    for name in ["", ".", "a.", "a b", "a`b", "a;b", "a'b", "größe", "a-b", "a\0", "*", &"x".repeat(65)] {
        assert!(quote(name).is_err(), "{name}");
    }
}

#[test]
fn a_declaration_becomes_a_select() {
    let columns = ["push_status".to_owned(), "nick_name".to_owned()];
    let statement = Statement::declarative("im.t_account", "account_id", &columns, &constants()).unwrap();
    let (sql, binds) = statement.for_ids(&["1", "2", "3"]);
    assert_eq!(
        sql,
        "SELECT `account_id`, `push_status`, `nick_name` FROM `im`.`t_account` \
         WHERE `account_id` IN (?,?,?,?) AND `app` = ? AND `is_del` = ?"
    );
    let mut expected = texts(&["1", "2", "3", "3", "hi'go"]);
    expected.push(Constant::Integer(0));
    assert_eq!(binds, expected, "a list is filled up with its last id");
    let (sql, binds) =
        Statement::declarative("t", "id", &columns, &BTreeMap::new()).unwrap().for_ids(&["x' OR '1'='1"]);
    assert!(sql.ends_with("IN (?)"), "{sql}");
    assert_eq!(binds, texts(&["x' OR '1'='1"]));
}

#[test]
fn a_raw_select_keeps_its_text_and_binds_by_name() {
    let sql = " select a AS `b:c`, ':user_ids;' x, \"it\"\"s?\" FROM t WHERE id IN (:user_ids) AND app = :app OR id in(:user_ids)";
    let (text, binds) = Statement::select(sql, &constants()).unwrap().for_ids(&["7", "8"]);
    assert_eq!(
        text,
        " select a AS `b:c`, ':user_ids;' x, \"it\"\"s?\" FROM t WHERE id IN (?,?) AND app = ? OR id in(?,?)"
    );
    assert_eq!(binds, texts(&["7", "8", "hi'go", "7", "8"]));
}

#[test]
fn a_raw_select_is_one_select_and_nothing_else() {
    refused_select("SELECT 1; DROP TABLE t", 9, ";");
    refused_select("UPDATE t SET a = 1 WHERE id IN (:user_ids)", 1, "SELECT");
    refused_select("(SELECT 1 WHERE 1 IN (:user_ids))", 1, "SELECT");
    refused_select("", 1, "SELECT");
    refused_select("SELECTED x", 1, "SELECT");
    refused_select("SELECT 1", 1, ":user_ids");
    refused_select("SELECT a FROM t WHERE id IN (:ids)", 30, ":ids");
    refused_select("SELECT a INTO OUTFILE '/x' FROM t WHERE id IN (:user_ids)", 10, "INTO");
    refused_select("SELECT a FROM t WHERE id IN (:user_ids) FOR UPDATE", 41, "locks");
    refused_select("SELECT a FROM t WHERE id IN (:user_ids) lock in share mode", 41, "locks");
    refused_select("SELECT a FROM t WHERE id IN (:user_ids) -- x", 41, "comment");
    refused_select("SELECT a # x\n FROM t WHERE id IN (:user_ids)", 10, "comment");
    refused_select("SELECT /*!50000 SLEEP(9), */ a FROM t WHERE id IN (:user_ids)", 8, "comment");
    refused_select("SELECT a FROM t WHERE id = ? AND id IN (:user_ids)", 28, "?");
    refused_select("SELECT '\\'; DROP TABLE t; -- ' FROM t WHERE id IN (:user_ids)", 9, "backslash");
    refused_select("SELECT 'a FROM t WHERE id IN (:user_ids)", 8, "never ends");
    refused_select("SELECT @a := 1 FROM t WHERE id IN (:user_ids)", 11, "without a name");
}

#[test]
fn an_invalidate_names_token_and_user_in_its_condition() {
    let sql = "UPDATE t_device SET is_del = 1 WHERE xinge_token = :token AND account_id = :user AND app = :app";
    let (text, binds) = Statement::invalidate(sql, &constants()).unwrap().for_token("42", "t'1");
    assert_eq!(text, "UPDATE t_device SET is_del = 1 WHERE xinge_token = ? AND account_id = ? AND app = ?");
    assert_eq!(binds, texts(&["t'1", "42", "hi'go"]));
    assert!(Statement::invalidate("delete from d where a = :user and t = :token", &constants()).is_ok());
    refused_invalidate("UPDATE d SET x = 1 WHERE t = :token", ":user");
    refused_invalidate("UPDATE d SET x = 1 WHERE u = :user", ":token");
    refused_invalidate("UPDATE d SET u = :user WHERE t = :token", ":user");
    refused_invalidate("UPDATE d SET u = :user, t = :token", "no WHERE");
    refused_invalidate("UPDATE d SET x = 'WHERE' AND t = :token AND u = :user", "no WHERE");
    refused_invalidate("DROP TABLE d WHERE t = :token AND u = :user", "begin");
    refused_invalidate("DELETE FROM d WHERE t = :token AND u = :user; DELETE FROM d", ";");
}
