//! A broker that dies under its readers.

use std::sync::{Arc, atomic::Ordering};

use homing_gateway::emit::Emitter;

use crate::{
    broker::{Broker, Publisher, emit, emitter, line},
    support::{Book, Running},
};

#[tokio::test]
async fn a_broker_that_was_killed_is_heard_again_and_the_shared_queue_survives() {
    let mut broker = Broker::start().await;
    let book = Arc::new(Book::default());
    let settings = Emitter { durable: true, ..emitter(&broker.url, "socketio") };
    let reader = Running::start(settings, "a", &book);
    let (up, inbox) = ("0-python-amqp", "0-python-amqp-inbox");
    book.wait_state(up, true).await;
    book.wait_state(inbox, true).await;
    // The store is away, so these wait in the shared queue.
    book.away.store(u32::MAX, Ordering::SeqCst);
    let publisher = Publisher::connect(&broker.url).await.unwrap();
    for number in 0..10 {
        publisher.publish("socketio", &emit(number)).await;
    }
    book.wait(10).await;
    broker.kill();
    book.wait_state(up, false).await;
    book.wait_state(inbox, false).await;
    broker.again().await;
    book.away.store(0, Ordering::SeqCst);
    book.wait_state(up, true).await;
    book.wait_state(inbox, true).await;
    let publisher = Publisher::connect(&broker.url).await.unwrap();
    for number in 10..20 {
        publisher.publish("socketio", &emit(number)).await;
    }
    let lines = book.wait(40).await;
    reader.stop().await;
    let heard: Vec<_> = lines.iter().filter(|line| !line.contains("store")).cloned().collect();
    assert_eq!(heard, (0..20).map(line).collect::<Vec<_>>());
    let stored: Vec<_> = lines.iter().filter(|line| line.contains("store")).cloned().collect();
    let expected: Vec<_> = (0..20).map(|number| line(number).replace("0 emit", "0 store emit")).collect();
    assert_eq!(stored, expected);
}
