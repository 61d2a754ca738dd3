//! A daemon's life, seen from outside.

use std::{net::SocketAddr, time::Duration};

use homing_runtime::{Daemon, Done, Settings, admin};
use tokio::time::sleep;

use crate::child::Process;

#[tokio::test]
async fn a_life_from_start_to_sigterm() {
    let mut process = Process::start("polite");
    process.notified("READY=1").await;
    process.notified("STATUS=ready").await;
    process.notified("WATCHDOG=1").await;
    process.logged("Everything is ready.").await;
    let file = process.ready_file().expect("written when ready");
    assert_eq!(file, serde_json::json!({"pid": process.pid(), "admin": process.admin().await}));

    process.signal("TERM").await;
    process.notified("STOPPING=1").await;
    process.notified("STATUS=stopping: waiting for worker").await;
    assert_eq!(process.get("/readyz").await, (503, r#"[{"part":"daemon","reason":"stopping"}]"#.to_owned()));
    assert_eq!(process.get("/healthz").await, (200, "ok\n".to_owned()));
    let notices = process.take_notices();
    let status = notices.iter().rfind(|notice| notice.starts_with("STATUS=")).unwrap();
    assert_eq!(status, "STATUS=stopping: waiting for worker", "and nothing after it");
    process.notified("WATCHDOG=1").await;
    process.allow();
    assert_eq!(process.code().await, Some(0));
    assert_eq!(process.ready_file(), None);
    assert_eq!(process.logged("Stopped.").await["clean"], true);
}

#[tokio::test]
async fn the_admin_port_answers() {
    let mut process = Process::start("no tasks");
    process.notified("READY=1").await;
    for path in ["/healthz", "/health", "/readyz", "/ready"] {
        assert_eq!(process.get(path).await, (200, "ok\n".to_owned()), "{path}");
    }
    let version = format!(r#"{{"name":"homing-test","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(process.get("/version").await, (200, version));
    assert_eq!(process.get("/").await.0, 404);

    let (status, text) = process.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "# HELP homing_commits_total Commits of finished work.",
        "homing_commits_total{queue=\"message_queue_1\"} 3",
        "# TYPE process_resident_memory_bytes gauge",
        "# TYPE process_cpu_seconds_total counter",
        "# TYPE process_open_fds gauge",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is missing in\n{text}");
    }
    process.signal("INT").await;
    assert_eq!(process.code().await, Some(0));
}

#[tokio::test]
async fn a_part_that_is_not_ready_is_waited_for() {
    let mut process = Process::start("redis");
    process.notified("STATUS=waiting for redis (connection refused)").await;
    process.notified("EXTEND_TIMEOUT_USEC=30000000").await;
    process.notified("WATCHDOG=1").await;
    assert_eq!(process.get("/ready").await, (503, r#"[{"part":"redis","reason":"connection refused"}]"#.to_owned()));
    assert_eq!(process.get("/health").await.0, 200);
    assert_eq!(process.ready_file(), None);
    let notices = process.take_notices();
    assert!(!notices.iter().any(|notice| notice == "READY=1"), "{notices:?}");

    process.allow();
    process.notified("READY=1").await;
    assert_eq!(process.get("/ready").await.0, 200);
    process.signal("TERM").await;
    assert_eq!(process.code().await, Some(0));
    // Once per change, not per attempt.
    let log = process.log();
    let about: Vec<_> = log.iter().filter(|line| line["part"] == "redis").map(|line| &line["message"]).collect();
    assert_eq!(about, ["Not ready.", "Ready again."]);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let mut process = Process::start("deaf");
        process.logged("Everything is ready.").await;
        process.signal(first).await;
        process.notified("STOPPING=1").await;
        process.signal(second).await;
        assert_eq!(process.code().await, Some(130), "{first} {second}");
        assert_eq!(process.ready_file(), None);
    }
}

#[tokio::test]
async fn who_outlives_the_grace_is_cut_and_named() {
    let mut process = Process::start("deaf, short grace");
    process.notified("READY=1").await;
    process.signal("TERM").await;
    assert_eq!(process.code().await, Some(1));
    let line = process.logged("Cut off: still at work at the end of the grace.").await;
    assert_eq!((line["tasks"].as_str(), line["grace"].as_str()), (Some("worker"), Some("100ms")));
    assert_eq!(process.logged("Stopped.").await["clean"], false);
    assert_eq!(process.ready_file(), None);
}

#[tokio::test]
async fn a_panic_ends_the_daemon() {
    let mut process = Process::start("panic");
    process.notified("STATUS=stopping: waiting for other").await;
    let dead = r#"[{"part":"worker","reason":"panicked: out of ideas"}]"#.to_owned();
    assert_eq!(process.get("/healthz").await, (503, dead));
    let list = r#"[{"part":"worker","reason":"died: panicked: out of ideas"},{"part":"daemon","reason":"stopping"}]"#
        .to_owned();
    assert_eq!(process.get("/readyz").await, (503, list));
    // systemd must not believe that it lives.
    process.take_notices();
    sleep(Duration::from_millis(250)).await;
    assert_eq!(process.take_notices(), [""; 0]);
    process.allow();
    assert_eq!(process.code().await, Some(1));
    let line = process.logged("A task panicked: out of ideas.").await;
    assert!(line["place"].as_str().unwrap().contains("child.rs:"), "{line}");
    assert_eq!(process.logged("A task died; the daemon stops.").await["task"], "worker");
}

#[tokio::test]
async fn an_error_ends_the_daemon() {
    let mut process = Process::start("fail");
    assert_eq!(process.code().await, Some(1));
    let line = process.logged("A task died; the daemon stops.").await;
    assert!(line["reason"].as_str().unwrap().starts_with("\"soon\" is not a duration"), "{line}");
}

#[tokio::test]
async fn the_end_of_the_last_task_is_the_end() {
    let mut process = Process::start("done");
    assert_eq!(process.code().await, Some(0));
    assert_eq!(process.logged("A task is done.").await["task"], "worker");
}

#[tokio::test]
async fn a_call_that_hangs_does_not_hold_up_the_end() {
    let mut process = Process::start("hang");
    assert_eq!(process.code().await, Some(0));
}

#[tokio::test]
async fn a_second_set_up_is_an_error() {
    let mut process = Process::start("twice");
    assert_eq!(process.code().await, Some(0));
}

#[tokio::test]
async fn a_public_port_by_accident_is_refused_before_anything_is_set_up() {
    let admin = admin::Settings { listen: SocketAddr::from(([0, 0, 0, 0], 0)), allow_public: false };
    let error = Daemon::start("x", &Settings { admin, ..Settings::default() }).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "admin.listen = \"0.0.0.0:0\" can be reached from other machines; use 127.0.0.1, or set admin.allow_public = true"
    );
}

#[test]
fn the_exit_code_tells_a_clean_end() {
    let code = |done: Done| format!("{:?}", std::process::ExitCode::from(done));
    let one = || vec!["worker".to_owned()];
    assert_eq!(code(Done::default()), format!("{:?}", std::process::ExitCode::SUCCESS));
    assert_eq!(code(Done { failed: one(), cut: vec![] }), format!("{:?}", std::process::ExitCode::FAILURE));
    assert_eq!(code(Done { failed: vec![], cut: one() }), format!("{:?}", std::process::ExitCode::FAILURE));
}
