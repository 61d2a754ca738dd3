//! Rules of the house that no compiler checks: who may depend on whom, licences, lengths, and nothing half done.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Files that git knows or would know, with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let out = Command::new("git").args(list).current_dir(root()).output().expect("git lists the files");
    let text = String::from_utf8(out.stdout).unwrap();
    let found: Vec<PathBuf> = text
        .lines()
        .filter(|f| endings.iter().any(|e| f.ends_with(e)))
        .map(|f| root().join(f))
        .filter(|f| f.exists())
        .collect();
    assert!(found.len() > 3, "only {} files end with {endings:?}: the check looks at the wrong place", found.len());
    found
}

fn metadata(arguments: &[&str]) -> Value {
    let out = Command::new(env!("CARGO"))
        // What Linux needs is what was downloaded and what is shipped.
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn crates_form_a_star_around_the_core() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("homing-codec", &[] as &[&str]),
        ("homing-core", &["homing-codec"]),
        ("homing-queue", &["homing-core"]),
        ("homing-stores", &["homing-core", "homing-codec"]),
        ("homing-channels", &["homing-core"]),
        ("homing-pipeline", &["homing-core", "homing-codec"]),
        ("homing-runtime", &["homing-core"]),
        ("homing-intake", &["homing-core", "homing-codec"]),
        ("homing-gateway", &["homing-core", "homing-codec"]),
    ]
    .into_iter()
    .collect();
    let metadata = metadata(&["--no-deps"]);
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "homing" {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} is new: say here what it may depend on"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            // What only tests use is no edge of the product.
            if dependency["kind"] == "dev" {
                continue;
            }
            assert!(!to.starts_with("homing") || allowed.contains(&to), "{name} must not depend on {to}");
        }
    }
    assert_eq!(seen.len(), allowed.len());
}

#[test]
fn the_core_does_no_input_or_output() {
    for file in files(&[".rs"]).iter().filter(|f| f.to_string_lossy().contains("crates/homing-core/src")) {
        let text = std::fs::read_to_string(file).unwrap();
        for word in ["std::fs", "std::net", "std::env", "tokio::net", "tokio::fs", "std::process"] {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn one_tls_provider_and_known_licences() {
    const LICENCES: [&str; 14] = [
        "MIT",
        "Apache-2.0",
        "ISC",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "Zlib",
        "Unicode-3.0",
        "BSL-1.0",
        "CC0-1.0",
        "CDLA-Permissive-2.0",
        "Unlicense",
        "0BSD",
        "MIT-0",
        "Apache-2.0 WITH LLVM-exception",
    ];
    let metadata = metadata(&[]);
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "the dependencies are looked at");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for banned in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"] {
            assert_ne!(name, banned, "one TLS provider: ring");
        }
        let licence = package["license"].as_str().unwrap_or_default();
        // One of the alternatives must be known; each part of it, where parts are joined by AND.
        let free = licence.replace('/', " OR ").split(" OR ").any(|alternative| {
            alternative.split(" AND ").all(|part| LICENCES.contains(&part.trim().trim_matches(['(', ')'])))
        });
        assert!(free, "{name}: licence `{licence}` is not on the list");
    }
}

#[test]
fn no_file_is_too_long_and_the_architecture_is_read_in_one_sitting() {
    for file in files(&[".rs", ".sh", ".lua", ".toml", ".py", ".php"]) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines", file.display());
    }
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(architecture.lines().count() <= 150);
}

#[test]
fn nothing_is_half_done() {
    for file in files(&[".rs"]) {
        if file.ends_with("tests/tidy/main.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for mark in ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "XXX"] {
            assert!(!text.contains(mark), "{} has {mark}", file.display());
        }
    }
}
