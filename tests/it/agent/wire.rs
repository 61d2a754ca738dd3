//! The wire, at a real daemon: heartbeats, idle connections, and garbage that is closed with a reason in the log.

use serde_json::json;

use super::site::Site;
use crate::support::until;

/// The client's cases, what comes back, and what the daemon's log says of it.
const CASES: [(&str, u64, Option<&str>); 11] = [
    ("reference", 1, None),
    ("heartbeat", 1, None),
    ("two_in_one", 3, None),
    ("split", 1, None),
    ("shapes", 5, None),
    ("not_utf8", 1, None),
    ("oversize", 1, Some("a frame of 1048577 bytes, the most is 1048576")),
    ("not_msgpack", 1, Some("msgpack: ")),
    ("not_three", 0, Some("expected an array of 3 (type, id, data)")),
    ("no_protocol", 0, Some("the first byte is 0x47: neither a length below 16 MiB nor a msgpack container")),
    ("bare", 0, None),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_speaks_as_documented_and_says_why_it_closes() {
    let site = Site::start("[agent]\nidle = '1s'\n").await;
    let subscriber = site.subscriber().await;
    let [intake, distributor, sender] = site.daemons().await;
    for (case, answered, reason) in CASES {
        let before = intake.log().lines().count();
        let said = site.client(&["case", case]);
        let closed = reason.is_some() || case == "bare";
        assert_eq!((&said["answered"], &said["closed"]), (&json!(answered), &json!(closed)), "{case}: {said}");
        assert_eq!(said["zero"], true, "{case}: {said}");
        if let Some(reason) = reason {
            until(&format!("{case} is in the log"), async || {
                let log = intake.log();
                log.lines().skip(before).any(|line| {
                    line.contains("WARN")
                        && line.contains("Closes a connection: this is no frame.")
                        && line.contains(reason)
                })
            })
            .await;
        }
    }
    let said = site.client(&["case", "idle"]);
    assert_eq!((&said["answered"], &said["closed"]), (&json!(1), &json!(true)), "{said}");
    assert!(said["seconds"].as_f64().unwrap() > 0.9, "{said}");
    until("the idle one is in the log", async || intake.log().contains("Closes an idle connection.")).await;

    // A job that nobody can use is answered, and on record.
    assert_eq!(site.client(&["case", "unknown_type"])["answered"], 1);
    let lines = site.settled(16).await;
    assert_eq!((&lines["entry"]["in"], &lines["entry"]["fates"]["invalid"]), (&json!(16), &json!(1)), "{lines:#}");
    // Nobody has a token: whatever was answered is published, also what came before the garbage.
    let heard = subscriber.heard(17).await;
    let count = |topic: &str| heard.iter().filter(|seen| seen.topic == topic).count();
    assert_eq!((count("user/u1"), count("user/u2"), count("user/2"), count("group/g1")), (13, 1, 1, 2));
    let raw = heard.iter().find(|seen| seen.data.get("raw").is_some()).unwrap();
    assert_eq!(raw.data, json!({ "raw": "\u{fffd}\u{fffd}", "type": 6 }));
    let metrics = reqwest::get(format!("{}/metrics", intake.admin())).await.unwrap().text().await.unwrap();
    for line in [
        "homing_agent_frames_total{dialect=\"framed\",result=\"heartbeat\"} 3",
        "homing_agent_frames_total{dialect=\"framed\",result=\"garbage\"} 3",
        "homing_agent_frames_total{dialect=\"framed\",result=\"buried\"} 1",
        "homing_agent_frames_total{dialect=\"bare\",result=\"accepted\"} 3",
    ] {
        assert!(metrics.contains(line), "{line}:\n{metrics}");
    }
    for daemon in [intake, distributor, sender] {
        assert!(daemon.stop().await.success());
    }
}

/// An address that is taken, and settings that do not fit, end the daemon with a reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_fit_is_refused() {
    let site = Site::start("").await;
    let refused = async |more: &str| {
        std::fs::write(site.dir.path().join("more.toml"), more).unwrap();
        let mut daemon = site.spawn("intake");
        let code = daemon.ended().await.code();
        (code, daemon.log())
    };
    for (more, reason) in [
        ("[agent]\nlisten = '0.0.0.0:1'\n", "agent.listen: 0.0.0.0:1 can be reached from other machines"),
        ("[agent]\nlane = 'other'\n", "agent.lane: there is no lane other"),
        ("[agent]\ntypes = [{ push_type = 'talk', event = 'NONE' }]\n", "agent.types: "),
        ("[agent.focus]\nstore = 'other'\n", "agent.focus.store: there is no [stores.other]"),
        (
            "[stores.other]\nkind = 'redis'\nurl = 'redis://127.0.0.1'\n[agent.focus]\nstore = 'other'\n",
            "agent.focus.store: [stores.other] is only read",
        ),
        ("[agent.focus]\naccount = 'other'\n", "channel.mqtt.account.other"),
    ] {
        let (code, log) = refused(more).await;
        assert!(code == Some(64) && log.contains(reason), "{more}: {code:?}: {log}");
        let (code, said) = site.homing(&["check", "--offline"]);
        assert!(code != 0 && said.contains(reason), "{more}: {said}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, log) = refused(&format!("[agent]\nlisten = '{}'\n", taken.local_addr().unwrap())).await;
    assert!(code != Some(0) && log.contains("cannot listen on agent.listen"), "{code:?}: {log}");
}
