//! A server that answers every request with the same bytes, whatever they are, and closes.

#![allow(dead_code, reason = "each test binary uses a part")]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Its address, `http://127.0.0.1:PORT`.
pub(crate) async fn answering(reply: impl Into<Vec<u8>>) -> String {
    let (listener, reply) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), reply.into());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let reply = reply.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut buffer = [0; 65_536];
                while !is_whole(&seen) {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => seen.extend_from_slice(&buffer[..n]),
                    }
                }
                // The client may hang up in the middle of what is too long.
                stream.write_all(&reply).await.ok();
            });
        }
    });
    format!("http://{address}")
}

/// A reply with this status and body.
pub(crate) fn reply(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn is_whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0_usize)
}
