//! A provider that accepts everything and notes when: HTTP/1.1 with keep-alive, no more than a sink needs.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The provider's own answers, with a `Date` as any server sends.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Sat, 01 Aug 2026 08:00:00 GMT\r\ncontent-type: application/json\r\n\
    content-length: 39\r\n\r\n{\"ret_code\":0,\"err_msg\":\"\",\"result\":\"\"}";
const CREATED: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Sat, 01 Aug 2026 08:00:00 GMT\r\ncontent-type: application/json\r\n\
    content-length: 52\r\n\r\n{\"ret_code\":0,\"err_msg\":\"\",\"result\":{\"push_id\":\"1\"}}";

/// How the number of a message stands in a body: `"order_id":"20261121NUMBER` in JSON, form-encoded. (Not its id: an
/// event without one gets another's.)
const NUMBER: &[u8] = b"%22order_id%22%3A%2220261121";

/// The calls of Xinge v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// One device.
    Single,
    /// The message of a page.
    Create,
    /// The devices of a page.
    List,
}

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Number of the message (of a page: of each user), and when its request was complete.
    arrivals: Mutex<Vec<(usize, Instant)>>,
    /// Devices of each page.
    pages: Mutex<Vec<usize>>,
    /// The first body of each call.
    samples: Mutex<HashMap<Call, Vec<u8>>>,
    trouble: OnceLock<String>,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sink = Self { address: listener.local_addr()?, seen: Arc::default() };
        let seen = Arc::clone(&sink.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    if let Err(error) = seen.serve(stream).await {
                        seen.trouble.get_or_init(|| format!("{error:#}"));
                    }
                });
            }
        });
        Ok(sink)
    }

    /// How many requests came since the last [`Sink::take`].
    pub(crate) fn count(&self) -> anyhow::Result<usize> {
        if let Some(trouble) = self.seen.trouble.get() {
            bail!("the sink could not read a request: {trouble}");
        }
        Ok(self.seen.arrivals.lock().unwrap().len())
    }

    /// The arrivals since the last call.
    pub(crate) fn take(&self) -> Vec<(usize, Instant)> {
        std::mem::take(&mut self.seen.arrivals.lock().unwrap())
    }

    /// The sizes of the pages since the last call.
    pub(crate) fn take_pages(&self) -> Vec<usize> {
        std::mem::take(&mut self.seen.pages.lock().unwrap())
    }

    /// The body of the first request of this kind.
    pub(crate) fn sample(&self, call: Call) -> Vec<u8> {
        self.seen.samples.lock().unwrap().get(&call).cloned().unwrap_or_default()
    }
}

impl Seen {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
        loop {
            while let Some((body, end)) = request(&buffer)? {
                let now = Instant::now();
                let call = call(&buffer).context("an unknown path")?;
                self.note(call, buffer.get(body..end).unwrap_or_default(), now)?;
                buffer.drain(..end);
                stream.write_all(if call == Call::Create { CREATED } else { ANSWER }).await?;
            }
            // A client that ends in the middle of a request was stopped; what it sent nobody counts.
            if !matches!(stream.read_buf(&mut buffer).await, Ok(n) if n > 0) {
                return Ok(());
            }
        }
    }
}

impl Seen {
    fn note(&self, call: Call, body: &[u8], now: Instant) -> anyhow::Result<()> {
        match call {
            Call::Single => {
                let number = number(body).with_context(|| format!("no number: {}", String::from_utf8_lossy(body)))?;
                self.arrivals.lock().unwrap().push((number, now));
            }
            Call::Create => {}
            Call::List => {
                let users = users(body).with_context(|| format!("no devices: {}", String::from_utf8_lossy(body)))?;
                self.pages.lock().unwrap().push(users.len());
                self.arrivals.lock().unwrap().extend(users.into_iter().map(|user| (user, now)));
            }
        }
        self.samples.lock().unwrap().entry(call).or_insert_with(|| body.to_vec());
        Ok(())
    }
}

fn call(head: &[u8]) -> Option<Call> {
    let path = head.strip_prefix(b"POST /v2/push/")?;
    [(&b"single_device"[..], Call::Single), (b"create_multipush", Call::Create), (b"device_list_multiple", Call::List)]
        .into_iter()
        .find_map(|(name, call)| path.starts_with(name).then_some(call))
}

/// The users of a page, whose tokens are their numbers: `device_list=["TOKEN","TOKEN"]`, form-encoded.
fn users(body: &[u8]) -> Option<Vec<usize>> {
    let text = std::str::from_utf8(body).ok()?;
    let list = text.split('&').find_map(|pair| pair.strip_prefix("device_list=%5B%22")?.strip_suffix("%22%5D"))?;
    list.split("%22%2C%22").map(|token| usize::from_str_radix(token, 16).ok()).collect()
}

/// Where the body of the first request begins and ends, once it is complete.
fn request(buffer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(body) = find(buffer, b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let head = buffer.get(..body).unwrap_or_default();
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        if !name.eq_ignore_ascii_case(b"content-length") {
            return None;
        }
        std::str::from_utf8(value.get(1..)?).ok()?.trim().parse::<usize>().ok()
    });
    let length = length.context("a request without Content-Length")?;
    Ok((buffer.len() >= body + length).then_some((body, body + length)))
}

fn number(body: &[u8]) -> Option<usize> {
    let at = find(body, NUMBER)? + NUMBER.len();
    let digits = body.get(at..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
