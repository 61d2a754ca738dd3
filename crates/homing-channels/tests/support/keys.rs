//! Key files of service accounts, made for the test by openssl: none is ever stored.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The RSA key of this number (PKCS#8, PEM), the same for all tests of the process.
pub(crate) fn rsa(number: usize) -> String {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    while made.len() <= number {
        let openssl = std::env::var_os("HOMING_TEST_OPENSSL").unwrap_or_else(|| "openssl".into());
        let output = Command::new(openssl)
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .expect("openssl makes the keys of these tests: scripts/services install");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("PRIVATE KEY"), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        made.push(text);
    }
    made[number].clone()
}

/// A key file as Google hands it out.
pub(crate) fn google(project: &str, number: usize, token_uri: &str) -> String {
    let file = json!({
        "type": "service_account", "project_id": project, "private_key_id": format!("kid{number}"),
        "private_key": rsa(number), "client_email": format!("homing@{project}.iam.gserviceaccount.com"),
        "token_uri": token_uri,
    });
    file.to_string()
}

/// A key file as Huawei hands it out.
pub(crate) fn huawei(project: &str, number: usize) -> String {
    let own = "https://oauth-login.cloud.huawei.com/oauth2/v3/token";
    let file = json!({
        "project_id": project, "key_id": format!("kid{number}"), "private_key": rsa(number),
        "sub_account": format!("sub{number}"), "token_uri": own,
    });
    file.to_string()
}

/// `change` over a notification for `app` on `platform`.
pub(crate) fn merged(mut base: Value, change: &Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}
