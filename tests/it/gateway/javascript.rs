//! The JavaScript client of `clients/js`, under Node.js: its own tests, and those against a gateway.

use std::process::Command;

use super::site::{SECRET, Site};
use crate::support::variable;

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/js");

/// Runs a file of tests; answers how many passed.
fn run(file: &str, gateway: Option<&str>) -> u32 {
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap", &format!("{CLIENT}/{file}")]);
    command.env("HOMING_TEST_NODE", variable("HOMING_TEST_NODE"));
    if let Some(gateway) = gateway {
        command.env("HOMING_TEST_GATEWAY", gateway).env("HOMING_TEST_GATEWAY_KEY", SECRET);
    }
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}");
    assert!(text.lines().any(|line| line == "# skipped 0"), "{text}");
    text.lines().find_map(|line| line.strip_prefix("# pass ")?.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn the_javascript_client_passes_its_own_tests() {
    assert!(run("homing.test.mjs", None) >= 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_and_the_gateway_agree() {
    let site = Site::new(1).await;
    assert_eq!(run("gateway.test.mjs", Some(&site.http(0))), 4);
}
