//! Programs that are not ours: producers in PHP and Python, and the mariadb client.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
};

use super::variable;

const PRODUCERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/producers");

/// A script that runs; ended when dropped.
pub(crate) struct Producer {
    script: String,
    child: Option<Child>,
}

impl Producer {
    pub(crate) fn php(script: &str, args: &[&str]) -> Self {
        Self::start(&variable("HOMING_TEST_PHP"), script, args)
    }

    pub(crate) fn python(script: &str, args: &[&str]) -> Self {
        Self::start(&format!("{}/bin/python", variable("HOMING_TEST_VENV")), script, args)
    }

    fn start(program: &str, script: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg(format!("{PRODUCERS}/{script}")).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
        Self { script: script.to_owned(), child: Some(child) }
    }

    /// Waits for its good end; answers what it printed.
    pub(crate) fn finish(mut self) -> String {
        let out = self.child.take().unwrap().wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{}: {text}{}", self.script, String::from_utf8_lossy(&out.stderr));
        text
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Runs SQL on a server (`mysql://user:password@host:port`).
pub(crate) fn mysql(server: &str, sql: &str) -> String {
    let (login, place) = server.strip_prefix("mysql://").unwrap().split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (host, port) = place.split_once(':').unwrap();
    let mut client = Command::new("mariadb")
        .args(["--no-defaults", "-h", host, "-P", port, "-u", user, "--protocol=tcp", "--batch", "--skip-column-names"])
        .env("MYSQL_PWD", password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let out = client.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", sql.chars().take(2_000).collect::<String>());
    String::from_utf8(out.stdout).unwrap()
}
