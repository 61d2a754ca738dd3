//! The Socket.IO notification design, unchanged: an application with a write-only KombuManager, pages with a JWT.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    listener::{FIXTURES, Heard, Listener, python},
    site::{SECRET, Site},
};
use crate::support::variable;

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_notice_reaches_the_followed_users_tabs_and_nobody_else() {
    let site = Site::new(2).await;
    let [one, two] = [site.http(0), site.http(1)];
    let tabs = json!({ "42 first": ["/"], "42 second": ["/"], "43": ["/"], "anonymous": ["/"] });
    let kinds = [("websocket", &*one), ("upgrade", &two)];
    let mut pages = [2, 4].map(|major| Listener::node(site.dir.path(), major, SECRET, &kinds, Some(&tabs)));
    for page in &mut pages {
        page.until("connected", |l| l.ready.len() == 8).await;
    }

    for version in ["2.1.2", "4.6.1", "5.18.1"] {
        let said = application(version, &site.channel, "43 42\n43 42\n44 43\n");
        assert_eq!(
            said.lines().filter_map(|l| l.split(' ').next()).collect::<Vec<_>>(),
            ["201", "200", "201"],
            "{said}"
        );
        for page in &mut pages {
            page.until("closing time", |l| l.heard.iter().filter(|h| h.event == "closing time").count() == 8).await;
            assert_eq!(page.lost, [] as [Value; 0]);
            let mut heard = std::mem::take(&mut page.heard);
            heard.retain(|one| one.event != "closing time");
            heard.sort();
            let client = heard[0].client.split(' ').next().unwrap().to_owned();
            let wanted: Vec<(String, &str, i64, &str)> = ["upgrade", "websocket"]
                .into_iter()
                .flat_map(|kind| {
                    [("42 first", 43, "Ада"), ("42 second", 43, "Ада"), ("43", 44, "José")].map(|w| (kind, w))
                })
                .map(|(kind, (tab, id, name))| (format!("{client} {kind}"), tab, id, name))
                .collect();
            let told: Vec<(String, &str, i64, String)> = heard.iter().map(notice).collect();
            let told: Vec<_> = told.iter().map(|(c, tab, id, name)| (c.clone(), *tab, *id, name.as_str())).collect();
            assert_eq!(told, wanted, "python-socketio {version}");
        }
        println!("python-socketio {version}: both tabs of the followed user, on both nodes, and nobody else");
    }
}

/// Client, tab, and the follower's id and name.
fn notice(heard: &Heard) -> (String, &str, i64, String) {
    assert_eq!(heard.event, "following notify");
    let args: Vec<Value> = serde_json::from_str(&heard.args).unwrap();
    let [data] = &args[..] else { panic!("{args:?}") };
    let id = data["user_id"].as_i64().unwrap();
    assert_eq!(data["user_photo"], json!(format!("https://img.example.com/avatar/{id}.png")));
    assert!(data["timestamp"].is_u64());
    assert_eq!(data.as_object().unwrap().len(), 4);
    (heard.client.clone(), &heard.user, id, data["user_name"].as_str().unwrap().to_owned())
}

/// Runs the application with these requests; answers what it said.
fn application(version: &str, channel: &str, requests: &str) -> String {
    let mut command: Command = python(version);
    let mut child = command
        .args([format!("{FIXTURES}/flask_style.py"), variable("HOMING_TEST_AMQP_URL"), channel.to_owned()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(requests.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()
}
