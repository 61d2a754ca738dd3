//! What an idle connection costs in this process. One test, so that nothing else allocates meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::{io::Write, net::TcpStream};

use homing_gateway::{hub::Settings, session::Admission};
use support::{Client, Echo, Stage};

const CONNECTIONS: usize = 4_000;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}

fn connect(stage: &Stage) -> TcpStream {
    Client::connect(stage.addr, "/", "").unwrap().stream
}

#[test]
fn an_idle_websocket_is_small() {
    let stage =
        Stage::new(Settings { threads: 1, ..Settings::default() }, |_| Some(Admission::Session(Box::new(Echo))));
    // Whatever the first ones set up is not the connections'.
    drop((0..200).map(|_| connect(&stage)).collect::<Vec<_>>());
    stage.until(|counts| counts.connections == 0);
    let before = resident();
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(&stage)).collect();
    stage.until(|counts| counts.plain == CONNECTIONS);
    let each = (resident() - before) / CONNECTIONS;
    println!("idle WebSocket: {each} bytes resident each");
    assert!(each <= 3 * 1024, "{each}");
    // Those who have spoken keep nothing of it.
    for client in &clients {
        (&*client).write_all(&Client::<TcpStream>::frame(true, 0, 2, &[1; 2_000])).unwrap();
    }
    for client in clients {
        let mut client = Client::resume(client);
        assert_eq!(client.next().unwrap().data.len(), 2_000);
    }
    stage.until(|counts| counts.connections == 0);
}
