//! A provider that accepts everything and notes when: HTTP/1.1 with keep-alive, no more than a sink needs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The provider's own answer, with a `Date` as any server sends.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Sat, 01 Aug 2026 08:00:00 GMT\r\ncontent-type: application/json\r\n\
    content-length: 39\r\n\r\n{\"ret_code\":0,\"err_msg\":\"\",\"result\":\"\"}";

/// How the id of a message stands in a body: `"id":"b-7"` in JSON, form-encoded.
const ID: &[u8] = b"%22id%22%3A%22b-";

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Number of the message, and when its request was complete.
    arrivals: Mutex<Vec<(usize, Instant)>>,
    sample: OnceLock<Vec<u8>>,
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

    /// The body of the first request ever.
    pub(crate) fn sample(&self) -> Vec<u8> {
        self.seen.sample.get().cloned().unwrap_or_default()
    }
}

impl Seen {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
        loop {
            while let Some((body, end)) = request(&buffer)? {
                let now = Instant::now();
                let body = buffer.get(body..end).unwrap_or_default();
                let number = number(body).with_context(|| format!("no id in {}", String::from_utf8_lossy(body)))?;
                self.sample.get_or_init(|| body.to_vec());
                self.arrivals.lock().unwrap().push((number, now));
                buffer.drain(..end);
                stream.write_all(ANSWER).await?;
            }
            // A client that ends in the middle of a request was stopped; what it sent nobody counts.
            if !matches!(stream.read_buf(&mut buffer).await, Ok(n) if n > 0) {
                return Ok(());
            }
        }
    }
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
    let at = find(body, ID)? + ID.len();
    let digits = body.get(at..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
