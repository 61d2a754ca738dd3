//! A TCP proxy before redis-server that can swallow the next reply and cut the connection: the command ran, and its
//! caller never learns of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub struct Proxy {
    pub url: String,
    armed: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn start(url: &str) -> Self {
        let upstream = url.trim_start_matches("redis://").split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (armed, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let proxy = Self { url, armed: Arc::clone(&armed), lost: Arc::clone(&lost) };
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&upstream).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&armed), Arc::clone(&lost)));
            }
        });
        proxy
    }

    /// The reply to the next script is read from the server and thrown away, and the connection is cut.
    pub fn lose_next_reply(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn relay(client: TcpStream, server: TcpStream, armed: Arc<AtomicBool>, lost: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Set by the request side once a script went out while the proxy was armed.
    let swallow = Arc::new(AtomicBool::new(false));
    let request = {
        let swallow = Arc::clone(&swallow);
        async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
                let chunk = &buffer[..n];
                if chunk.windows(7).any(|w| w == b"EVALSHA") && armed.swap(false, Ordering::SeqCst) {
                    swallow.store(true, Ordering::SeqCst);
                }
                if to_server.write_all(chunk).await.is_err() {
                    break;
                }
            }
        }
    };
    let reply = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
            if swallow.load(Ordering::SeqCst) {
                lost.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if to_client.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { () = request => {}, () = reply => {} }
}
