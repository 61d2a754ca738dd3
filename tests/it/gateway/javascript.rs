//! The JavaScript client of `clients/js`, under Node.js.

use std::process::Command;

use crate::support::variable;

#[test]
fn the_javascript_client_passes_its_own_tests() {
    let out = Command::new("node")
        .args(["--test", "--test-reporter=tap", concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/js/homing.test.mjs")])
        .env("HOMING_TEST_NODE", variable("HOMING_TEST_NODE"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}");
    let passed = text.lines().find_map(|line| line.strip_prefix("# pass ")).and_then(|n| n.parse::<u32>().ok());
    assert!(passed.is_some_and(|n| n >= 10), "{text}");
}
