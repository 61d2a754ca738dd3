//! A WebSocket frame by frame, for what a [`Tab`](super::tab::Tab) does by itself.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

/// How long a hang is watched before the test gives up.
const HANG: Duration = Duration::from_secs(20);

pub(crate) struct Raw<S = TcpStream>(WebSocketStream<S>);

impl Raw {
    /// Connects to a path of a port; the error is the status that it was refused with.
    pub(crate) async fn open(port: u16, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Self::over(stream, &format!("ws://127.0.0.1:{port}{path}"), headers).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// The same over a connection that stands.
    pub(crate) async fn over(stream: S, url: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        match timeout(HANG, client_async(request, stream)).await.expect("an answer to the handshake") {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Ok(text) => text,
            Err(code) => panic!("closed with {code}"),
        }
    }

    /// The next text as JSON.
    pub(crate) async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The code with which the server closes, and the texts before it.
    pub(crate) async fn closed(&mut self) -> (u16, Vec<String>) {
        let mut texts = Vec::new();
        loop {
            match self.next().await {
                Ok(text) => texts.push(text),
                Err(code) => return (code, texts),
            }
        }
    }

    /// The next text, or the code of the end.
    async fn next(&mut self) -> Result<String, u16> {
        loop {
            match timeout(HANG, self.0.next()).await.expect("a frame") {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(close))) => return Err(close.map_or(1005, |close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
                None => return Err(1006),
            }
        }
    }
}
