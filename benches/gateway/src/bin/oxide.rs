//! socketioxide on axum. Arguments and control lines as those of `epoll`; the event is called `bench`.

use std::collections::HashMap;

use axum::serve::ListenerExt as _;
use serde_json::value::RawValue;
use socketioxide::{SocketIo, extract::SocketRef};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

fn main() -> anyhow::Result<()> {
    let ports: Vec<u16> = std::env::args().skip(1).map(|port| port.parse()).collect::<Result<_, _>>()?;
    let [port, control] = ports[..] else { anyhow::bail!("oxide PORT CONTROL") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (layer, io) = SocketIo::new_layer();
        io.ns("/", async |socket: SocketRef| {
            let query = socket.req_parts().uri.query().unwrap_or_default().to_owned();
            let user = query.split('&').find_map(|pair| pair.strip_prefix("u="));
            if let Some(user) = user {
                socket.join(user.to_owned());
            }
        });
        tokio::spawn(listen_to(control, io));
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let listener = listener.tap_io(|stream| {
            stream.set_nodelay(true).ok();
        });
        axum::serve(listener, axum::Router::new().layer(layer)).await?;
        Ok(())
    })
}

async fn listen_to(port: u16, io: SocketIo) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(follow(stream, io.clone()));
    }
}

async fn follow(stream: TcpStream, io: SocketIo) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(text) = line.strip_prefix("all ") {
            let value: HashMap<String, Box<RawValue>> = serde_json::from_str(text)?;
            io.emit("bench", &value).await.ok();
        } else if let Some((user, text)) = line.strip_prefix("one ").and_then(|rest| rest.split_once(' ')) {
            let value: HashMap<String, Box<RawValue>> = serde_json::from_str(text)?;
            io.to(homing_gateway_bench::token::user(user.parse()?)).emit("bench", &value).await.ok();
        }
    }
    Ok(())
}
