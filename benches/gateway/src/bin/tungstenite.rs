//! tokio-tungstenite with a task and a channel per connection, as most write it; read and write buffers of 4 KiB in place
//! of the 128 KiB that are its default. Arguments and control lines as those of `epoll`.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::{
    Message, Utf8Bytes,
    handshake::server::{Request, Response},
    protocol::WebSocketConfig,
};

type Users = Rc<RefCell<HashMap<u32, mpsc::Sender<Utf8Bytes>>>>;

fn main() -> anyhow::Result<()> {
    let ports: Vec<u16> = std::env::args().skip(1).map(|port| port.parse()).collect::<Result<_, _>>()?;
    let [port, control] = ports[..] else { anyhow::bail!("tungstenite PORT CONTROL") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let users = Users::default();
        tokio::task::spawn_local(listen_to(control, Rc::clone(&users)));
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::task::spawn_local(serve(stream, Rc::clone(&users)));
        }
    })
}

async fn serve(stream: TcpStream, users: Users) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(4096);
    let mut user = 0;
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let note = |request: &Request, response: Response| {
        user = request.uri().query().and_then(|query| query.strip_prefix("u=")?.parse().ok()).unwrap_or(0);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async_with_config(stream, note, Some(config)).await?;
    let (tx, mut rx) = mpsc::channel(128);
    users.borrow_mut().insert(user, tx);
    loop {
        tokio::select! {
            text = rx.recv() => match text {
                Some(text) => socket.send(Message::Text(text)).await?,
                None => break,
            },
            message = socket.next() => match message {
                Some(Ok(_)) => {}
                _ => break,
            },
        }
    }
    users.borrow_mut().remove(&user);
    Ok(())
}

async fn listen_to(port: u16, users: Users) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(follow(stream, Rc::clone(&users)));
    }
}

async fn follow(stream: TcpStream, users: Users) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(text) = line.strip_prefix("all ") {
            let text = Utf8Bytes::from(text);
            for tx in users.borrow().values() {
                tx.try_send(text.clone()).ok();
            }
        } else if let Some((user, text)) = line.strip_prefix("one ").and_then(|rest| rest.split_once(' ')) {
            let users = users.borrow();
            if let Some(tx) = user.parse().ok().and_then(|user: u32| users.get(&user)) {
                tx.try_send(text.into()).ok();
            }
        }
    }
    Ok(())
}
