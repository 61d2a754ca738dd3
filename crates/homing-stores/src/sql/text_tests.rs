#![allow(clippy::unwrap_used)]

use super::*;

fn ids<'a>(ids: &'a [&'a str]) -> Fill<'a> {
    Fill { ids, ..Fill::default() }
}

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
    let error = Statement::select(Dialect::Mysql, sql, &constants()).unwrap_err();
    assert_eq!(error.position, position, "{sql}: {error:?}");
    assert!(error.reason.contains(word), "{sql}: {error:?}");
}

#[track_caller]
fn refused_invalidate(sql: &str, word: &str) {
    let error = Statement::invalidate(Dialect::Mysql, sql, &constants()).unwrap_err();
    assert!(error.reason.contains(word), "{sql}: {error:?}");
}

#[test]
fn names_are_quoted_or_refused() {
    let quote = |name: &str| Dialect::Mysql.quote(name);
    assert_eq!(quote("t_account"), Ok("`t_account`".to_owned()));
    assert_eq!(quote("im.t$1"), Ok("`im`.`t$1`".to_owned()));
    for name in ["", ".", "a.", "a b", "a`b", "a;b", "a'b", "größe", "a-b", "a\0", "*", &"x".repeat(65)] {
        assert!(quote(name).is_err(), "{name}");
    }
}

#[test]
fn a_declaration_becomes_a_select() {
    let columns = ["push_status".to_owned(), "nick_name".to_owned()];
    let statement =
        Statement::declarative(Dialect::Mysql, Some("im.t_account"), "account_id", &columns, &constants()).unwrap();
    let (sql, binds) = statement.render(&ids(&["1", "2", "3"]), &[]);
    assert_eq!(
        sql,
        "SELECT `account_id`, `push_status`, `nick_name` FROM `im`.`t_account` \
         WHERE `account_id` IN (?,?,?,?) AND `app` = ? AND `is_del` = ?"
    );
    let mut expected = texts(&["1", "2", "3", "3", "hi'go"]);
    expected.push(Constant::Integer(0));
    assert_eq!(binds, expected, "a list is filled up with its last id");
    let (sql, binds) = Statement::declarative(Dialect::Mysql, Some("t"), "id", &columns, &BTreeMap::new())
        .unwrap()
        .render(&ids(&["x' OR '1'='1"]), &[]);
    assert!(sql.ends_with("IN (?)"), "{sql}");
    assert_eq!(binds, texts(&["x' OR '1'='1"]));
}

#[test]
fn a_raw_select_keeps_its_text_and_binds_by_name() {
    let sql = " select a AS `b:c`, ':user_ids;' x, \"it\"\"s?\" FROM t WHERE id IN (:user_ids) AND app = :app OR id in(:user_ids)";
    let (text, binds) = Statement::select(Dialect::Mysql, sql, &constants()).unwrap().render(&ids(&["7", "8"]), &[]);
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
    let (text, binds) = Statement::invalidate(Dialect::Mysql, sql, &constants())
        .unwrap()
        .render(&Fill { user: "42", token: "t'1", ..Fill::default() }, &[]);
    assert_eq!(text, "UPDATE t_device SET is_del = 1 WHERE xinge_token = ? AND account_id = ? AND app = ?");
    assert_eq!(binds, texts(&["t'1", "42", "hi'go"]));
    assert!(
        Statement::invalidate(Dialect::Mysql, "delete from d where a = :user and t = :token", &constants()).is_ok()
    );
    refused_invalidate("UPDATE d SET x = 1 WHERE t = :token", ":user");
    refused_invalidate("UPDATE d SET x = 1 WHERE u = :user", ":token");
    refused_invalidate("UPDATE d SET u = :user WHERE t = :token", ":user");
    refused_invalidate("UPDATE d SET u = :user, t = :token", "no WHERE");
    refused_invalidate("UPDATE d SET x = 'WHERE' AND t = :token AND u = :user", "no WHERE");
    refused_invalidate("DROP TABLE d WHERE t = :token AND u = :user", "begin");
    refused_invalidate("DELETE FROM d WHERE t = :token AND u = :user; DELETE FROM d", ";");
}

#[test]
fn each_server_is_written_to_in_its_way() {
    let columns = ["push".to_owned()];
    let of = |dialect| Statement::declarative(dialect, Some("t"), "id", &columns, &constants()).unwrap();
    let (sql, values) = of(Dialect::Postgres).render(&ids(&["7", "8"]), &["int4".to_owned()]);
    assert_eq!(
        sql,
        "SELECT CAST(\"id\" AS TEXT), CAST(\"push\" AS TEXT) FROM \"t\" \
         WHERE \"id\" IN (CAST(CAST($1 AS text) AS int4),CAST(CAST($2 AS text) AS int4)) AND \"app\" = $3 AND \"is_del\" = $4"
    );
    assert_eq!(values, texts(&["7", "8", "hi'go", "0"]), "every value is bound as text");
    let (sql, _) = of(Dialect::Sqlite).render(&ids(&["7"]), &[]);
    assert!(sql.starts_with("SELECT CAST(`id` AS TEXT), CAST(`push` AS TEXT) FROM `t` WHERE `id` IN (?)"), "{sql}");
    let shown = of(Dialect::Mysql).shown(&ids(&["7", "o'x"]));
    assert_eq!(shown, "SELECT `id`, `push` FROM `t` WHERE `id` IN ('7', 'o''x') AND `app` = 'hi''go' AND `is_del` = 0");
}

#[test]
fn pages_of_members_compare_and_order_by_the_column_itself() {
    let page = |dialect, page| {
        let made = Statement::members(dialect, "t", Some("g"), "m", &BTreeMap::new(), page).unwrap();
        let after = Constant::Text("x".to_owned());
        made.render(&Fill { of: "9", after: Some(&after), limit: 3, ..Fill::default() }, &[])
    };
    let (sql, values) = page(Dialect::Mysql, MembersPage::After);
    assert_eq!(sql, "SELECT h.`m`, h.`g` FROM `t` AS h WHERE h.`m` > ? AND h.`g` = ? ORDER BY h.`m` LIMIT ?");
    let mut expected = texts(&["x", "9"]);
    expected.push(Constant::Integer(3));
    assert_eq!(values, expected);
    let (sql, _) = page(Dialect::Postgres, MembersPage::First);
    assert_eq!(
        sql,
        "SELECT CAST(h.\"m\" AS TEXT), CAST(h.\"g\" AS TEXT) FROM \"t\" AS h \
         WHERE h.\"m\" IS NOT NULL AND h.\"g\" = $1 ORDER BY h.\"m\" LIMIT $2"
    );
    let (sql, _) = page(Dialect::Sqlite, MembersPage::Twins);
    assert!(sql.ends_with("WHERE h.`m` = ? AND h.`g` = ? LIMIT ?"), "{sql}");
}

#[test]
fn what_only_one_server_reads_so_is_refused_there() {
    let select = |dialect, sql: &str| Statement::select(dialect, sql, &BTreeMap::new());
    let refused = |dialect, sql: &str, word: &str| {
        let error = select(dialect, sql).unwrap_err();
        assert!(error.reason.contains(word), "{sql}: {error:?}");
    };
    let sql = "SELECT id, a::text, b #> '{x}', c ? 'd' FROM t WHERE id IN (:user_ids)";
    let (text, _) = select(Dialect::Postgres, sql).unwrap().render(&ids(&["1"]), &["int8".to_owned()]);
    assert_eq!(text, "SELECT id, a::text, b #> '{x}', c ? 'd' FROM t WHERE id IN (CAST(CAST($1 AS text) AS int8))");
    refused(Dialect::Postgres, "SELECT $$;$$ FROM t WHERE id IN (:user_ids)", "`$`");
    refused(Dialect::Postgres, "SELECT $a$x$a$ FROM t WHERE id IN (:user_ids)", "`$`");
    refused(Dialect::Postgres, "SELECT 1 FROM t WHERE id IN (:user_ids) FOR NO KEY UPDATE", "locks");
    refused(Dialect::Sqlite, "SELECT @a FROM t WHERE id IN (:user_ids)", "`@`");
    refused(Dialect::Sqlite, "SELECT $a FROM t WHERE id IN (:user_ids)", "`$`");
    refused(Dialect::Sqlite, "SELECT [it's] FROM t WHERE id IN (:user_ids)", "`[`");
    refused(Dialect::Mysql, "SELECT a::text FROM t WHERE id IN (:user_ids)", "without a name");
}

#[test]
fn a_raw_enumerator_is_in_pages() {
    let read = |sql: &str| Statement::members_select(Dialect::Mysql, sql, &BTreeMap::new());
    let good = "SELECT u FROM m WHERE g = :of AND u > :after ORDER BY u LIMIT :limit";
    assert!(read(good).unwrap().1);
    assert!(!read("SELECT u FROM m WHERE u > :after ORDER BY u LIMIT :limit").unwrap().1);
    for (sql, word) in [
        ("SELECT u FROM m WHERE g = :of ORDER BY u LIMIT :limit", ":after"),
        ("SELECT u FROM m WHERE u > :after ORDER BY u", ":limit"),
        ("SELECT u FROM m WHERE u > :after LIMIT :limit", "ORDER BY"),
        ("SELECT u FROM m WHERE u > :after AND x = :y ORDER BY u LIMIT :limit", ":y"),
        ("DELETE FROM m WHERE u > :after ORDER BY u LIMIT :limit", "SELECT"),
    ] {
        let error = read(sql).unwrap_err();
        assert!(error.reason.contains(word), "{sql}: {error:?}");
    }
}
