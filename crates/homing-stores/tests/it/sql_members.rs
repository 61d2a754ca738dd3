//! Enumerators in SQL: pages while members come and go, ties of a collation, raw queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use homing_core::lookup::{Members, StoreDown};

use crate::sql::{Db, all};
use crate::support::{refused, stores, story};

pub(crate) fn members(toml: &str) -> Arc<dyn Members> {
    stores(toml).members("m").unwrap()
}

/// All pages; every page is asked of a new enumerator, by the text of the place alone.
pub(crate) async fn listed(
    make: impl Fn() -> Arc<dyn Members>,
    of: &str,
    limit: usize,
) -> Result<Vec<String>, StoreDown> {
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    for _ in 0..100_000 {
        let page = make().page(of, after.as_deref(), limit).await?;
        assert!(page.members.len() <= limit, "{} of {limit}", page.members.len());
        seen.extend(page.members);
        match page.next {
            None => return Ok(seen),
            next => after = next,
        }
    }
    panic!("the pages do not end");
}

#[track_caller]
pub(crate) fn each_once(seen: &[String]) -> BTreeSet<&str> {
    let distinct: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(distinct.len(), seen.len(), "a member is in two pages");
    distinct
}

fn toml(db: &Db, keys: &str) -> String {
    db.toml("timeout = '5s'", &format!("[members.m]\nstore = 'db'\n{keys}"))
}

const TABLE: &str = "table = 'TABLE_'\nof = 'g'\nmember = 'u'";

/// 12,345 members of group 9, of which some go and others come between the pages.
#[tokio::test]
async fn who_stays_is_listed_once_whoever_comes_and_goes() {
    for db in all("members") {
        for kind in ["INT", "VARCHAR(20)"] {
            let id =
                |n: usize| if kind == "INT" { n.to_string() } else { format!("{}{n:05}", ["a", "B", "ü"][n % 3]) };
            db.run(&[&format!("CREATE TABLE TABLE_ (g INT, u {kind}, PRIMARY KEY (g, u))")]).await;
            let rows: Vec<String> = (0..12_345).map(|n| format!("(9, '{}')", id(2 * n))).collect();
            for rows in rows.chunks(5_000) {
                db.run(&[&format!("INSERT INTO TABLE_ VALUES {}", rows.join(","))]).await;
            }
            db.run(&[&format!("INSERT INTO TABLE_ VALUES (8, '{}')", id(99_999))]).await;
            let m = members(&toml(&db, TABLE));
            let (mut seen, mut after, mut turn, mut left) = (Vec::new(), None::<String>, 0, BTreeSet::new());
            loop {
                let page = m.page("9", after.as_deref(), 1_000).await.unwrap();
                seen.extend(page.members);
                let Some(next) = page.next else { break };
                after = Some(next);
                // The last of the page goes, and one of those that are to be listed or have been; odd ones come.
                let gone = [seen.last().unwrap().clone(), id(40 * turn + 4)];
                left.extend(gone.clone());
                let gone = format!("DELETE FROM TABLE_ WHERE g = 9 AND u IN ('{}')", gone.join("','"));
                let come =
                    format!("INSERT INTO TABLE_ VALUES (9, '{}'), (9, '{}')", id(2 * turn + 1), id(20_001 + 2 * turn));
                db.run(&[&gone, &come]).await;
                turn += 1;
            }
            assert!(turn >= 12, "{turn} pages");
            let distinct = each_once(&seen);
            let stayed = (0..12_345).map(|n| id(2 * n)).filter(|id| !left.contains(id));
            let missed: Vec<String> = stayed.filter(|id| !distinct.contains(id.as_str())).collect();
            assert_eq!(missed, Vec::<String>::new(), "{} {kind}", db.kind);
            assert!(!distinct.contains(id(99_999).as_str()), "group 8 is another");
            assert_eq!(m.page("7", None, 10).await.unwrap().members, Vec::<String>::new());
            db.drop().await;
        }
    }
}

#[tokio::test]
async fn members_that_a_collation_holds_for_equal_are_all_listed() {
    let columns = BTreeMap::from([
        ("mysql", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        ("postgres", "VARCHAR(20)"),
        ("sqlite", "TEXT COLLATE NOCASE"),
    ]);
    for db in all("ties") {
        db.run(&[
            &format!("CREATE TABLE TABLE_ (g INT, u {})", columns[db.kind]),
            "CREATE INDEX TABLE_i ON TABLE_ (g, u)",
        ])
        .await;
        let mut expected = BTreeSet::new();
        for n in 0..60 {
            for name in [format!("ann{n}"), format!("ANN{n}"), format!("Ann{n}"), format!("ann{n} ")] {
                db.run(&[&format!("INSERT INTO TABLE_ VALUES (9, '{name}'), (9, '{name}')")]).await;
                expected.insert(name);
            }
        }
        let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
        for limit in [12, 17, 100, 1_000] {
            let seen = listed(|| members(&toml(&db, TABLE)), "9", limit).await.unwrap();
            assert_eq!(each_once(&seen), expected, "{} by {limit}", db.kind);
        }
        if db.kind == "mysql" {
            let down = listed(|| members(&toml(&db, TABLE)), "9", 2).await.unwrap_err();
            assert!(story(&down).contains("more than 2 members are equal to ann0"), "{}", story(&down));
        }
        db.drop().await;
    }
}

#[tokio::test]
async fn a_group_is_named_letter_for_letter() {
    for db in all("group") {
        db.run(&["CREATE TABLE TABLE_ (g INT, u INT)", "INSERT INTO TABLE_ VALUES (9, 1), (9, 2), (10, 3)"]).await;
        let m = members(&toml(&db, TABLE));
        for (of, expected) in [
            ("9", vec!["1", "2"]),
            ("10", vec!["3"]),
            ("9abc", vec![]),
            ("09", vec![]),
            (" 9", vec![]),
            ("9 OR 1=1", vec![]),
            ("' OR 1=1", vec![]),
            ("9\0", vec![]),
            ("😀", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(m.page(of, None, 10).await.unwrap().members, expected, "{} {of:?}", db.kind);
        }
        assert!(m.page(&"9".repeat(513), None, 10).await.unwrap().members.is_empty());
        // Everyone is another enumerator; no group is told that by mistake.
        let everyone = members(&toml(&db, "table = 'TABLE_'\nmember = 'u'\nwhere = { g = 9 }"));
        assert_eq!(everyone.page("", None, 10).await.unwrap().members, ["1", "2"]);
        let down = everyone.page("9", None, 10).await.unwrap_err();
        assert!(story(&down).contains("lists everyone"), "{}", story(&down));
        db.drop().await;
    }
}

#[tokio::test]
async fn negative_numbers_and_page_sizes_are_no_matter() {
    for db in all("order") {
        let rows: Vec<String> = (-50_i64..50).map(|n| format!("({})", n * 1_000_000_007 * 9_007)).collect();
        db.run(&[
            "CREATE TABLE TABLE_ (u BIGINT PRIMARY KEY)",
            &format!("INSERT INTO TABLE_ VALUES {}", rows.join(",")),
        ])
        .await;
        for limit in [1, 7, 100, 101] {
            let seen = listed(|| members(&toml(&db, "table = 'TABLE_'\nmember = 'u'")), "", limit).await.unwrap();
            assert_eq!(each_once(&seen).len(), 100, "{} by {limit}", db.kind);
            let numbers: Vec<i64> = seen.iter().map(|n| n.parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "{} by {limit}", db.kind);
        }
        db.drop().await;
    }
}

#[tokio::test]
async fn a_query_of_ones_own_lists_members() {
    for db in all("query") {
        db.run(&["CREATE TABLE TABLE_ (g INT, u INT, off INT)"]).await;
        let rows: Vec<String> = (0..2_500).map(|n| format!("(9, {n}, {})", i32::from(n % 5 == 0))).collect();
        db.run(&[&format!("INSERT INTO TABLE_ VALUES {}", rows.join(","))]).await;
        let keys = "query = 'SELECT g, u FROM TABLE_ WHERE g = :of AND u > :after AND off = :no ORDER BY u LIMIT :limit'\n\
                    member = 'u'\nwhere = { no = 0 }";
        let seen = listed(|| members(&toml(&db, keys)), "9", 300).await.unwrap();
        assert_eq!(each_once(&seen).len(), 2_000, "{}", db.kind);
        let wrong = keys.replace("ORDER BY u ", "ORDER BY u DESC ");
        let down = listed(|| members(&toml(&db, &wrong)), "9", 300).await.unwrap_err();
        assert!(story(&down).contains("ORDER BY member"), "{}", story(&down));
        let wrong = keys.replace("member = 'u'", "member = 'v'");
        let lines = stores(&toml(&db, &wrong)).check().await;
        let line = lines.iter().find(|line| line.subject == "members.m").unwrap();
        assert!(line.text.contains("member `v`") && line.text.contains("g, u"), "{line:?}");
        let message = refused(&toml(&db, "query = 'SELECT u FROM t WHERE g = :of ORDER BY u LIMIT :limit'"));
        assert!(message.contains("[members.m] query: at character 1") && message.contains(":after"), "{message}");
        let message = refused(&toml(&db, "table = 't'"));
        assert!(message.contains("[members.m] member"), "{message}");
        let message = refused(&toml(&db, "table = 't'\nmember = 'u'\nkey = 'x'"));
        assert!(message.contains("[members.m] key") && message.contains("is for Redis"), "{message}");
        db.drop().await;
    }
}

#[tokio::test]
async fn sqlite_holds_numbers_and_texts_in_one_column() {
    let db = Db::new("sqlite", "classes");
    db.run(&["CREATE TABLE TABLE_ (u)", "INSERT INTO TABLE_ VALUES (10), (9), ('10x'), ('9'), (NULL), ('a')"]).await;
    let make = || members(&toml(&db, "table = 'TABLE_'\nmember = 'u'"));
    for limit in [1, 2, 10] {
        // Both 9 and '9' are there; they are one member to us, in pages of their own.
        let seen = listed(make, "", limit).await.unwrap();
        assert_eq!(seen.iter().filter(|member| *member != "9").collect::<Vec<_>>(), ["10", "10x", "a"], "{limit}");
        assert!(seen.contains(&"9".to_owned()));
    }
    db.run(&["INSERT INTO TABLE_ VALUES (x'00')"]).await;
    let down = listed(make, "", 10).await.unwrap_err();
    assert!(story(&down).contains("blob"), "{}", story(&down));
}
