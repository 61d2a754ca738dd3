//! A MongoDB that is away, silent, or stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use homing_core::chat::{ChatSource, Start};

use crate::mongo::{chat, pages};
use crate::support::{Server, silence, stores, story};

fn source(port: u16) -> Arc<dyn ChatSource> {
    let toml = format!(
        "[stores.im]\nkind = 'mongo'\nurl = 'mongodb://127.0.0.1:{port}/im?directConnection=true'\ntimeout = '1500ms'\n\
         [source.group]\nkind = 'mongo'\nstore = 'im'\ncollection = 'chats'\n\
         cursor = {{ field = 'createAt', type = 'string-seconds' }}\n\
         fields = {{ group = 'group_id', sender = 'user.user_id', body = 'data' }}"
    );
    stores(&toml).source("group").unwrap()
}

async fn down(source: &dyn ChatSource) {
    let began = Instant::now();
    let error = source.read(None, pages(10)).await.unwrap_err();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}: {}", story(&error));
    assert_eq!(error.lookup, "group");
}

#[tokio::test]
async fn nobody_at_the_port_is_down_in_time() {
    let source = source(1);
    down(&*source).await;
    assert!(source.start(Start::Newest).await.is_err());
}

#[tokio::test]
async fn a_silent_server_is_down_in_time() {
    let (_listener, port) = silence().await;
    down(&*source(port)).await;
}

#[tokio::test]
async fn a_stopped_server_is_down_in_time_and_heals() {
    let server = Server::mongod().await;
    let source = source(server.port);
    let client = mongodb::Client::with_uri_str(format!("mongodb://127.0.0.1:{}/", server.port)).await.unwrap();
    client.database("im").collection("chats").insert_one(chat(1, "1447212345")).await.unwrap();
    let first = source.start(Start::Newest).await.unwrap();
    assert_eq!(source.read(None, pages(10)).await.unwrap().chats.len(), 1);
    server.signal("STOP");
    down(&*source).await;
    down(&*source).await;
    server.signal("CONT");
    let began = Instant::now();
    while source.read(None, pages(10)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(15), "it does not heal");
    }
    assert_eq!(source.start(Start::Newest).await.unwrap(), first);
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let server = Server::mongod().await;
    let url = format!("mongodb://u:hunter2@127.0.0.1:{}/im?directConnection=true", server.port);
    let toml = format!(
        "[stores.im]\nkind = 'mongo'\nurl = '{url}'\n[source.group]\nkind = 'mongo'\nstore = 'im'\ncollection = 'chats'\n\
         cursor = {{ field = 'a', type = 'date' }}\nfields = {{ group = 'g', sender = 's', body = 'b' }}"
    );
    let error = stores(&toml).source("group").unwrap().start(Start::Newest).await.unwrap_err();
    assert!(!story(&error).contains("hunter2"), "{}", story(&error));
    assert!(story(&error).contains("uthentication"), "{}", story(&error));
}
