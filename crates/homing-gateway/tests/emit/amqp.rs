//! The reader of RabbitMQ, on exchanges of its own.

use std::sync::{Arc, atomic::Ordering};

use homing_gateway::{
    desk::Callback,
    emit::{Emitter, Writer},
};
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeleteOptions};

use crate::{
    broker::{Publisher, emit, emitter, line, short},
    support::{Book, Running, unique, variable},
};

/// Takes away what a test has made.
async fn clean(publisher: &Publisher, exchange: &str, queues: &[&str]) {
    for queue in queues {
        let queue = format!("homing.gateway.{queue}.{exchange}");
        publisher.channel.queue_delete(short(&queue), QueueDeleteOptions::default()).await.unwrap();
    }
    publisher.channel.exchange_delete(short(exchange), ExchangeDeleteOptions::default()).await.unwrap();
}

const UP: &str = "0-python-amqp";

#[tokio::test]
async fn the_exchange_is_kombus() {
    let url = variable("HOMING_TEST_AMQP_URL");
    let exchange = unique("exchange");
    let book = Arc::new(Book::default());
    let reader = Running::start(emitter(&url, &exchange), "a", &book);
    book.wait_state(UP, true).await;
    // As kombu declares it: no objection. In any other way: 406.
    Publisher::connect(&url).await.unwrap().declare(&exchange, ExchangeDeclareOptions::default()).await.unwrap();
    for other in [
        ExchangeDeclareOptions { durable: true, ..Default::default() },
        ExchangeDeclareOptions { auto_delete: true, ..Default::default() },
        ExchangeDeclareOptions { internal: true, ..Default::default() },
    ] {
        let error = Publisher::connect(&url).await.unwrap().declare(&exchange, other).await.unwrap_err().to_string();
        assert!(error.contains("PRECONDITION"), "{error}");
    }
    reader.stop().await;
    clean(&Publisher::connect(&url).await.unwrap(), &exchange, &["a"]).await;
}

#[tokio::test]
async fn a_foreign_exchange_of_that_name_is_told() {
    let url = variable("HOMING_TEST_AMQP_URL");
    let (exchange, publisher) = (unique("foreign"), Publisher::connect(&url).await.unwrap());
    publisher.declare(&exchange, ExchangeDeclareOptions { durable: true, ..Default::default() }).await.unwrap();
    let book = Arc::new(Book::default());
    let reader = Running::start(emitter(&url, &exchange), "a", &book);
    let why = book.wait_state(UP, false).await;
    assert!(why.starts_with(&format!("exchange {exchange}: ")) && why.contains("PRECONDITION"), "{why}");
    // It comes as soon as the exchange is right.
    clean(&publisher, &exchange, &[]).await;
    book.wait_state(UP, true).await;
    assert_eq!(book.changes(UP), 2);
    reader.stop().await;
    clean(&publisher, &exchange, &["a"]).await;
}

#[tokio::test]
async fn what_is_published_while_a_node_is_away_arrives() {
    let url = variable("HOMING_TEST_AMQP_URL");
    let (exchange, publisher) = (unique("gap"), Publisher::connect(&url).await.unwrap());
    let (book, mut number) = (Arc::new(Book::default()), 0);
    for _ in 0..3 {
        let reader = Running::start(emitter(&url, &exchange), "a", &book);
        book.wait(number as usize).await;
        book.wait_state(UP, true).await;
        for _ in 0..50 {
            publisher.publish(&exchange, &emit(number)).await;
            number += 1;
        }
        book.wait(number as usize).await;
        reader.stop().await;
        for _ in 0..50 {
            publisher.publish(&exchange, &emit(number)).await;
            number += 1;
        }
    }
    let reader = Running::start(emitter(&url, &exchange), "a", &book);
    let lines = book.wait(300).await;
    reader.stop().await;
    assert_eq!(lines, (0..300).map(line).collect::<Vec<_>>());
    clean(&publisher, &exchange, &["a"]).await;
}

#[tokio::test]
async fn what_cannot_be_read_goes_aside_and_the_rest_goes_on() {
    let url = variable("HOMING_TEST_AMQP_URL");
    let (exchange, publisher) = (unique("bad"), Publisher::connect(&url).await.unwrap());
    let book = Arc::new(Book::default());
    let reader = Running::start(Emitter { max_bytes: 2_000, ..emitter(&url, &exchange) }, "a", &book);
    book.wait_state(UP, true).await;
    for body in ["hello", &emit(1), &"x".repeat(2_001), r#"{"method":"dance"}"#, &emit(2)] {
        publisher.publish(&exchange, body).await;
    }
    let lines = book.wait(5).await;
    assert_eq!(lines[0], "0 bad pickle: opcode BINGET at byte 0: nothing was filed under 101");
    assert_eq!(lines[1], line(1));
    assert_eq!(lines[2], "0 bad 2001 bytes are more than 2000");
    assert_eq!(lines[3], "0 ignored /");
    assert_eq!(lines[4], line(2));
    reader.stop().await;
    clean(&publisher, &exchange, &["a"]).await;
}

#[tokio::test]
async fn every_node_hears_and_one_stores() {
    let url = variable("HOMING_TEST_AMQP_URL");
    let (exchange, publisher) = (unique("inbox"), Publisher::connect(&url).await.unwrap());
    let durable = || Emitter { durable: true, ..emitter(&url, &exchange) };
    let books = [Arc::new(Book::default()), Arc::new(Book::default())];
    let readers = [Running::start(durable(), "a", &books[0]), Running::start(durable(), "b", &books[1])];
    for book in &books {
        book.wait_state(UP, true).await;
        book.wait_state("0-python-amqp-inbox", true).await;
        // The store is away for a moment: the message waits, it is not lost.
        book.away.store(2, Ordering::SeqCst);
    }
    for number in 0..100 {
        publisher.publish(&exchange, &emit(number)).await;
    }
    let stored = |book: &Book| book.lines().into_iter().filter(|line| line.starts_with("0 store ")).collect::<Vec<_>>();
    let mut all = Vec::new();
    for _ in 0..600 {
        all = [stored(&books[0]), stored(&books[1])].concat();
        if all.len() >= 100 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for book in &books {
        let heard: Vec<_> = book.wait(100).await.into_iter().filter(|line| !line.contains("store")).collect();
        assert_eq!(heard, (0..100).map(line).collect::<Vec<_>>());
        assert!(!stored(book).is_empty(), "both nodes take part");
    }
    all.sort();
    let mut expected: Vec<_> = (0..100).map(|number| line(number).replace("0 emit", "0 store emit")).collect();
    expected.sort();
    assert_eq!(all, expected);
    // A node that ends with a message in hand gives it back; what the store refuses is set aside.
    let [one, two] = readers;
    two.stop().await;
    books[0].away.store(u32::MAX, Ordering::SeqCst);
    publisher.publish(&exchange, &emit(500)).await;
    books[0].wait(books[0].lines().len()).await;
    one.stop().await;
    let last = Arc::new(Book::default());
    let reader = Running::start(durable(), "c", &last);
    assert_eq!(last.wait(1).await, [line(500).replace("0 emit", "0 store emit")]);
    last.wait_state(UP, true).await;
    last.refuses.store(1, Ordering::SeqCst);
    publisher.publish(&exchange, &emit(501)).await;
    let mut lines = last.wait(3).await;
    lines.sort();
    assert_eq!(lines[0], "0 bad the store refused it: the test's store: it is away");
    reader.stop().await;
    clean(&publisher, &exchange, &["a", "b", "c", "inbox"]).await;
}

#[tokio::test]
async fn answers_go_back_over_the_exchange() {
    let url = variable("HOMING_TEST_AMQP_URL");
    let (exchange, publisher) = (unique("answers"), Publisher::connect(&url).await.unwrap());
    let book = Arc::new(Book::default());
    let reader = Running::start(Emitter { own_host: Some("h".into()), ..emitter(&url, &exchange) }, "a", &book);
    book.wait_state(UP, true).await;
    let route = Callback { host: "h".into(), room: "42".into(), namespace: "/c".into(), id: "1".into(), source: 0 };
    let writer = Writer::new(0, emitter(&url, &exchange));
    for _ in 0..2 {
        writer.callback(&route, "[1]", &[]).await.unwrap();
    }
    // Here the gateway's own id is the emitter's, so that the answer is for it.
    assert_eq!(book.wait(2).await, ["0 answer /c", "0 answer /c"]);
    reader.stop().await;
    clean(&publisher, &exchange, &["a"]).await;
    publisher.connection.close(200, short("bye")).await.unwrap();
}
