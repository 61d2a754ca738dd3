//! How fast both sides are. `cargo test --release -p homing-channels --test xinge_v2 -- --ignored --nocapture`

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const FOR: Duration = Duration::from_secs(4);

/// A simulator that has a thread of its own.
fn on_its_own_thread() -> std::net::SocketAddr {
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let simulator = Running::start(config()).await;
            tx.send(simulator.address).unwrap();
            std::future::pending::<()>().await;
        });
    });
    rx.recv().unwrap()
}

/// One request of ours, recorded.
async fn recorded() -> Vec<u8> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let channel = channel_of(accounts(&format!("http://{address}")));
    let sent = notification(Platform::Android, &token(Platform::Android, 1));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await.unwrap();
        request
    };
    let (request, _) = tokio::join!(server, async {
        tokio::time::timeout(Duration::from_millis(300), send(&channel, &sent)).await.ok();
        drop(channel);
    });
    request
}

#[tokio::test]
#[ignore = "a measurement"]
async fn requests_per_second_of_the_simulator() {
    let request = recorded().await;
    let address = on_its_own_thread();
    let end = Instant::now() + FOR;
    let loops = (0..64).map(|_| async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut count, mut buffer) = (0_u64, [0; 1024]);
        while Instant::now() < end {
            stream.write_all(&request).await.unwrap();
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].ends_with(br#"{"ret_code":0,"err_msg":"","result":""}"#));
            count += 1;
        }
        count
    });
    let total: u64 = join_all(loops).await.into_iter().sum();
    println!("simulator: {:.0} requests/s, {} bytes each", total as f64 / FOR.as_secs_f64(), request.len());
}

#[tokio::test]
#[ignore = "a measurement"]
async fn requests_per_second_of_the_channel() {
    let address = on_its_own_thread();
    let channel = channel_of(accounts(&format!("http://{address}")));
    let sent = notification(Platform::Android, &token(Platform::Android, 1));
    let end = Instant::now() + FOR;
    let loops = (0..64).map(|_| async {
        let mut count = 0_u64;
        while Instant::now() < end {
            assert_eq!(send(&channel, &sent).await.outcome, DELIVERED);
            count += 1;
        }
        count
    });
    let total: u64 = join_all(loops).await.into_iter().sum();
    println!("channel: {:.0} requests/s", total as f64 / FOR.as_secs_f64());
}
