//! A simulator on a free port of the loopback, in the test's own runtime.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::{net::SocketAddr, sync::Arc};

use homing_channels::simulator::{App, Flavour, SimulatorConfig, serve};
use homing_core::{clock::SystemClock, notification::Platform};
use secrecy::SecretString;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// A running simulator; it ends with the test's runtime.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(config: SimulatorConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, config, async move {
            stopped.await.ok();
        }));
        Self { address, stop, server }
    }

    /// Whatever the simulator sends back for these bytes until it closes or the reply is whole.
    pub(crate) async fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        stream.read_to_end(&mut answer).await.ok();
        answer
    }

    pub(crate) async fn post(&self, path: &str, host: &str, content_type: &str, body: &str) -> Value {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHOST: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        json_of(&self.raw(request.as_bytes()).await)
    }

    /// A POST with headers of its own.
    pub(crate) async fn post_with(&self, path: &str, headers: &[(String, String)], body: &str) -> Value {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "POST {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        json_of(&self.raw(request.as_bytes()).await)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        json_of(&self.raw(request.as_bytes()).await)
    }

    pub(crate) async fn faults(&self, faults: Value) {
        let answer = self.post("/_sim/faults", "localhost", "text/plain", &faults.to_string()).await;
        assert!(answer.is_object(), "the simulator refused {faults}");
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

fn json_of(answer: &[u8]) -> Value {
    let text = String::from_utf8_lossy(answer);
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP reply: {text}"));
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

pub(crate) fn app(access_id: u64, secret: &str) -> App {
    let platform = if access_id < 2_200_000_000 { Platform::Android } else { Platform::Ios };
    app_of(Flavour::V2, &access_id.to_string(), secret, platform)
}

pub(crate) fn app_of(flavour: Flavour, access_id: &str, secret: &str, platform: Platform) -> App {
    App { flavour, access_id: access_id.to_owned(), secret: SecretString::from(secret), platform }
}

/// A clock that reads `seconds` now.
pub(crate) fn clock_at(seconds: i64) -> Arc<SystemClock> {
    use homing_core::clock::Clock;
    let now = SystemClock::default().now();
    Arc::new(SystemClock::with_offset(seconds * 1000 - now))
}
