//! A queue that stalls, is full, or ends: no answer without an event in its list.

use std::{collections::BTreeSet, process::Command, time::Duration};

use homing_intake::agent::Options;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    rig::{Plan, Rig, number},
    support::OwnServer,
};

const HANG: Duration = Duration::from_secs(120);

fn numbers(items: &[Value]) -> BTreeSet<u64> {
    items.iter().map(number).collect()
}

async fn pid(rig: &Rig) -> String {
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut rig.redis().await).await.unwrap();
    let line = info.lines().find(|line| line.starts_with("process_id:")).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}

fn frame(n: u8) -> Vec<u8> {
    let payload = [b"\x93\x02\xa2u1\x81\xa1n", &[n][..]].concat();
    [&[0, 0, 0, u8::try_from(payload.len()).unwrap()], payload.as_slice()].concat()
}

#[tokio::test]
async fn a_store_that_stalls_too_long_gets_no_answer_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let options = Options { give_up: Duration::from_millis(1_500), ..Options::default() };
    let rig = Plan { url: own.url.clone(), options, ..Plan::default() }.start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&frame(0)).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 0);
    let pid = pid(&rig).await;
    signal(&pid, "STOP");
    let began = Instant::now();
    stream.write_all(&[frame(1), vec![0; 4]].concat()).await.unwrap();
    let read = timeout(HANG, stream.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0, "closed, and neither the frame nor the heartbeat behind it answered");
    assert!(began.elapsed() >= Duration::from_millis(1_400), "{:?}", began.elapsed());
    signal(&pid, "CONT");
    // As the client does: it sends again, and it may stand there twice.
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&frame(1)).await.unwrap();
    assert_eq!(timeout(HANG, stream.read_u8()).await.unwrap().unwrap(), 0);
    assert_eq!(numbers(&rig.all().await), [0, 1].into());
}

#[tokio::test]
async fn a_stall_that_ends_in_time_is_only_slow() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let rig = Plan { url: own.url.clone(), ..Plan::default() }.start().await;
    let told = rig.client(&["send", "--count", "100"]).await;
    assert_eq!(told["acked"], 100);
    let pid = pid(&rig).await;
    signal(&pid, "STOP");
    let stall = async {
        sleep(Duration::from_secs(2)).await;
        signal(&pid, "CONT");
    };
    let (told, ()) = tokio::join!(rig.client(&["send", "--count", "100", "--first", "100"]), stall);
    assert_eq!((told["acked"].as_u64(), told["again"].as_u64()), (Some(100), Some(0)), "on the same connection");
    let all = rig.all().await;
    assert_eq!((all.len(), numbers(&all).len()), (200, 200), "each once");
}

#[tokio::test]
async fn a_store_that_is_killed_in_the_middle_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let options = Options { give_up: Duration::from_secs(1), ..Options::default() };
    let rig = Plan { url: own.url.clone(), options, ..Plan::default() }.start().await;
    let restarts = async {
        let mut own = own;
        for _ in 0..3 {
            sleep(Duration::from_millis(400)).await;
            own = own.again(dir.path()).await;
        }
        own
    };
    let sending = rig.client(&["send", "--count", "4000", "--again", "0.1"]);
    let (told, own) = tokio::join!(sending, restarts);
    assert_eq!(told["acked"].as_u64(), Some(4_000));
    let all = rig.all().await;
    assert_eq!(numbers(&all), (0..4_000).collect(), "lost");
    println!("agent: 4000 frames, the store killed 3 times: lost 0, {} twice", all.len() - 4_000);
    drop(own);
}

#[tokio::test]
async fn a_full_list_closes_without_an_answer_until_there_is_room() {
    let options = Options { give_up: Duration::from_millis(300), ..Options::default() };
    let rig = Plan { options, high_water: 5, ..Plan::default() }.start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    for n in 0..5 {
        stream.write_all(&frame(n)).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 0);
    }
    stream.write_all(&frame(5)).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "closed");
    let mut redis = rig.redis().await;
    for list in &rig.lists {
        let _popped: Option<Vec<u8>> = redis::cmd("LPOP").arg(list.as_str()).query_async(&mut redis).await.unwrap();
    }
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&frame(5)).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 0);
    assert_eq!(numbers(&rig.all().await), (1..=5).collect());
}
