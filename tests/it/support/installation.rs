//! An installation of `scripts/homing` in a world, as an operator has it: one configuration file, pid files, logs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    World,
    world::{HIGO, accounts},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/homing");

/// Its daemons are stopped with it.
pub(crate) struct Installation {
    pub(crate) home: PathBuf,
    pub(crate) config: PathBuf,
}

impl Installation {
    /// An operator's copy of `config/higo.toml`, with this world's servers. Nothing else in it is changed.
    pub(crate) fn new(world: &World) -> Self {
        let home = world.dir.path().join("home");
        std::fs::create_dir_all(home.join("config")).unwrap();
        let mut text = std::fs::read_to_string(HIGO).unwrap();
        let mut replace = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        };
        replace("redis://127.0.0.1:6379/0", &world.redis_url);
        replace("mysql://homing@127.0.0.1:3306/higo", &world.mysql_url);
        replace("mongodb://127.0.0.1:27017/im", &world.mongo_url);
        let url = &world.simulator_url;
        for account in accounts() {
            let to = format!("secret = 'made-up-{account}'\nbase_url = '{url}'\nsign_host = 'openapi.xg.qq.com'");
            replace(&format!("secret_file = \"secrets/{account}\""), &to);
        }
        let config = home.join("config/mine.toml");
        std::fs::write(&config, text).unwrap();
        Self { home, config }
    }

    /// Runs `scripts/homing COMMAND`; answers its exit code and what it said.
    pub(crate) fn run(&self, command: &str) -> (i32, String) {
        let bin = Path::new(env!("CARGO_BIN_EXE_homing-sender")).parent().unwrap();
        let out = Command::new(SCRIPT)
            .args([command, "--config", self.config.to_str().unwrap(), "--bin-dir", bin.to_str().unwrap()])
            .env("HOMING_HOME", &self.home)
            .env("HOMING_NO_SYSTEMD", "1")
            .env_remove("HOMING_READY_FILE")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap(), text)
    }

    /// The pids by their daemons' names.
    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        let files = std::fs::read_dir(self.home.join("run")).unwrap().map(|entry| entry.unwrap().path());
        let pid = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap();
            let pid = text.split_whitespace().next().unwrap().parse().unwrap();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), pid)
        };
        files.filter(|path| path.extension().is_some_and(|e| e == "pid")).map(pid).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if self.home.join("run").exists() {
            self.run("stop");
        }
    }
}
