//! A plain WebSocket client that behaves as `clients/js/homing.js` does: it notes the place of each stream, comes back to
//! another node, resumes, and repeats reads that were not confirmed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use ring::hmac;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::site::SECRET;

/// What a tab has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Ids of messages, in the order of their coming, repeats and all.
    pub(crate) messages: Vec<(String, Instant)>,
    /// They as they came.
    pub(crate) frames: Vec<Value>,
    /// Ids that another tab has read.
    pub(crate) read: BTreeSet<String>,
    /// Ids of which the server said that they are read by this tab.
    pub(crate) acked: BTreeSet<String>,
    /// Times that it was told that its place is not known any more.
    pub(crate) gaps: usize,
    /// Connections that stood.
    pub(crate) connects: usize,
    /// Codes with which the server closed connections.
    pub(crate) closes: Vec<(u16, Instant)>,
    places: BTreeMap<String, (u64, u64)>,
    unconfirmed: BTreeSet<String>,
}

/// See the module.
pub(crate) struct Tab {
    pub(crate) user: String,
    seen: Arc<Mutex<Seen>>,
    reads: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A token as an application's own library makes it.
pub(crate) fn token(user: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text =
        format!("{}.{}", part(json!({"alg": "HS256"})), part(json!({"user_id": user, "exp": 4_000_000_000_u64})));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())))
}

impl Tab {
    /// Opens a tab of the user on the first of these nodes; when the connection breaks, on the next.
    pub(crate) fn open(user: &str, ports: Vec<u16>, own_reads: fn(&str) -> bool) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (reads, mut wanted) = mpsc::unbounded_channel::<String>();
        let (notes, name) = (Arc::clone(&seen), user.to_owned());
        let task = tokio::spawn(async move {
            for port in ports.iter().cycle() {
                if let Ok(Some(socket)) = timeout(Duration::from_secs(5), connect(*port, &name, &notes)).await {
                    carry(socket, &notes, &mut wanted, own_reads).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { user: user.to_owned(), seen, reads, task }
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// The ids that came, each once; panics if one came twice.
    #[track_caller]
    pub(crate) fn once(&self) -> BTreeSet<String> {
        self.seen(|seen| {
            let ids: BTreeSet<String> = seen.messages.iter().map(|(id, _)| id.clone()).collect();
            assert_eq!(ids.len(), seen.messages.len(), "a message came twice to a tab of {}", self.user);
            ids
        })
    }

    pub(crate) fn read(&self, id: &str) {
        self.reads.send(id.to_owned()).unwrap();
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(port: u16, user: &str, seen: &Mutex<Seen>) -> Option<Socket> {
    let places: BTreeMap<String, [u64; 2]> = seen
        .lock()
        .unwrap()
        .places
        .iter()
        .map(|(stream, (epoch, offset))| (stream.clone(), [*epoch, *offset]))
        .collect();
    let resume: String = url::form_urlencoded::byte_serialize(json!(places).to_string().as_bytes()).collect();
    let url = format!("ws://127.0.0.1:{port}/ws?token={}&resume={resume}", token(user));
    connect_async(url).await.ok().map(|(socket, _)| socket)
}

async fn carry(
    mut socket: Socket,
    seen: &Mutex<Seen>,
    wanted: &mut mpsc::UnboundedReceiver<String>,
    own_reads: fn(&str) -> bool,
) {
    loop {
        let mut read = Vec::new();
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    read = hear(&frame, &mut seen.lock().unwrap(), own_reads);
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    seen.lock().unwrap().closes.push((close.code.into(), Instant::now()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            Some(id) = wanted.recv() => {
                seen.lock().unwrap().unconfirmed.insert(id.clone());
                read.push(id);
            }
        }
        if !read.is_empty()
            && socket.send(Message::text(json!({"msg_type": "read", "ids": read}).to_string())).await.is_err()
        {
            return;
        }
    }
}

/// Notes a frame; answers what is to be read.
fn hear(frame: &Value, seen: &mut Seen, own_reads: fn(&str) -> bool) -> Vec<String> {
    let ids = |frame: &Value| -> Vec<String> { serde_json::from_value(frame["ids"].clone()).unwrap() };
    match frame["msg_type"].as_str().unwrap() {
        "connected" => {
            seen.connects += 1;
            for (stream, top) in frame["data"]["streams"].as_object().unwrap() {
                let place = seen.places.get(stream).copied();
                if place.is_some() && top["recovered"] == false && top["offset"].as_u64().unwrap() > 0 {
                    seen.gaps += 1;
                }
                if place.is_none() || top["recovered"] == false {
                    // What follows is the replay of what is unread; a break in its middle begins anew.
                    seen.places.remove(stream);
                }
            }
            seen.unconfirmed.iter().cloned().collect()
        }
        "acked" => {
            for id in ids(frame) {
                seen.unconfirmed.remove(&id);
                seen.acked.insert(id);
            }
            Vec::new()
        }
        "read" => {
            seen.read.extend(ids(frame));
            Vec::new()
        }
        "pong" => Vec::new(),
        _ => {
            let id = frame["id"].as_str().unwrap().to_owned();
            let stream = frame["stream"].as_str().unwrap().to_owned();
            let place = (frame["epoch"].as_u64().unwrap(), frame["offset"].as_u64().unwrap());
            if let Some((epoch, last)) = seen.places.get(&stream)
                && *epoch == place.0
            {
                assert!(place.1 > *last, "{stream} went back from {last} to {}", place.1);
            }
            // What is of an old history has no place.
            if place.1 > 0 {
                seen.places.insert(stream, place);
            }
            seen.messages.push((id.clone(), Instant::now()));
            seen.frames.push(frame.clone());
            if own_reads(&id) {
                seen.unconfirmed.insert(id.clone());
                return vec![id];
            }
            Vec::new()
        }
    }
}
