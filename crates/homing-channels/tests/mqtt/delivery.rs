//! What the broker accepted is seen, in order, also when the broker goes away in the middle of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use homing_core::channel::{Channel, Health, Outcome};

use crate::broker::{Mosquitto, Subscriber, channel, fresh, number, send, var};

#[tokio::test]
async fn every_message_is_acknowledged_and_seen_in_the_order_of_its_topic() {
    const MESSAGES: usize = 20_000;
    const TOPICS: usize = 500;
    const PAGE: usize = 25;
    let (url, prefix) = (var("HOMING_TEST_MQTT_URL"), fresh("t"));
    let subscriber = Subscriber::start(&url, &format!("{prefix}/#"), &[]).await;
    let mqtt = channel(&format!("url = '{url}'\nprefix = '{prefix}'\ninflight = 1000"));
    let tokens: Vec<String> = (0..TOPICS).map(|user| format!("user/{user}")).collect();
    let began = Instant::now();
    // As the sender has it: many calls under way, but of the same user one at a time.
    let each = tokens.chunks(PAGE).map(|page| {
        let mqtt = &mqtt;
        async move {
            let mut answers = Vec::new();
            for n in 0..MESSAGES / TOPICS {
                answers.extend(send(mqtt, n, page).await);
            }
            answers
        }
    });
    let answers: Vec<_> = join_all(each).await.into_iter().flatten().collect();
    let took = began.elapsed();
    let delivered = Outcome::Delivered { provider_id: None };
    let others: Vec<_> = answers.iter().filter(|answer| answer.outcome != delivered).collect();
    assert!(others.is_empty(), "{others:?}");
    let seen = subscriber.until(|seen| seen.len() >= answers.len()).await;
    let mut last: HashMap<&str, usize> = HashMap::new();
    for message in &seen {
        assert_eq!((message["qos"].as_u64(), message["retain"].as_bool()), (Some(1), Some(false)));
        let (topic, n) = (message["topic"].as_str().unwrap(), number(message));
        if let Some(before) = last.insert(topic, n) {
            assert!(n > before, "{topic}: {n} after {before}");
        }
    }
    assert_eq!((seen.len(), last.len()), (answers.len(), TOPICS));
    let rate = answers.len() as f64 / took.as_secs_f64();
    println!("mqtt: {} messages acknowledged in {took:?}, {rate:.0}/s over 2 connections", answers.len());
}

#[tokio::test]
async fn tls_with_a_password_and_what_a_wrong_one_is() {
    let (url, ca, prefix) = (var("HOMING_TEST_MQTTS_URL"), var("HOMING_TEST_MQTT_CA"), fresh("t"));
    let subscriber = Subscriber::start(&url, &format!("{prefix}/#"), &["--ca", &ca]).await;
    let mqtt = channel(&format!("url = '{url}'\nca_file = '{ca}'\nprefix = '{prefix}'"));
    let answers = send(&mqtt, 1, &["user/1".to_owned()]).await;
    assert_eq!(answers[0].outcome.name(), "delivered", "{answers:?}");
    subscriber.until(|seen| seen.len() == 1 && number(&seen[0]) == 1).await;
    let credentials = mqtt.examine().await;
    assert_eq!((credentials[0].account.as_str(), credentials[0].health), ("channel.mqtt", Health::Good));

    let wrong = channel(&format!("url = '{url}'\npassword = 'wrong'\nca_file = '{ca}'"));
    let answers = send(&wrong, 1, &["user/1".to_owned()]).await;
    assert_eq!(answers[0].outcome, Outcome::Config, "{answers:?}");
    assert!(answers[0].detail.contains("CONNACK 5: name and password are not allowed to connect"), "{answers:?}");
    let credentials = wrong.examine().await;
    assert_eq!(credentials[0].health, Health::Refused, "{credentials:?}");

    let strange = channel(&format!("[account.a]\napp = 'im'\nurl = '{url}'"));
    let answers = send(&strange, 1, &["user/1".to_owned()]).await;
    assert_eq!(answers[0].outcome, Outcome::Retry { after: None }, "the certificate is nobody's: {answers:?}");
    let credentials = strange.examine().await;
    assert_eq!((credentials[0].account.as_str(), credentials[0].health), ("channel.mqtt.account.a", Health::Unknown));
}

#[tokio::test]
async fn a_broker_that_ends_in_the_middle_loses_nothing_that_was_delivered() {
    const MESSAGES: usize = 6_000;
    let (folder, prefix) = (tempfile::tempdir().unwrap(), fresh("t"));
    let mut broker = Mosquitto::start(folder.path()).await;
    let subscriber = Subscriber::start(&broker.url(), &format!("{prefix}/#"), &["--client", &fresh("paho")]).await;
    let mqtt = Arc::new(channel(&format!("url = '{}'\nprefix = '{prefix}'", broker.url())));
    let (done, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (ambiguous, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let sending = {
        let (done, over, ambiguous, refused) =
            (Arc::clone(&done), Arc::clone(&over), Arc::clone(&ambiguous), Arc::clone(&refused));
        tokio::spawn(async move {
            let each = |n: usize| {
                let (mqtt, done, ambiguous, refused) = (&mqtt, &done, &ambiguous, &refused);
                async move {
                    loop {
                        let answers = send(mqtt, n, &[format!("user/{}", n % 40)]).await;
                        match answers[0].outcome {
                            Outcome::Delivered { .. } => break,
                            Outcome::Ambiguous => ambiguous.fetch_add(1, Ordering::Relaxed),
                            Outcome::Retry { .. } => refused.fetch_add(1, Ordering::Relaxed),
                            ref other => panic!("{other:?}: {answers:?}"),
                        };
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            };
            stream::iter(0..MESSAGES).map(each).buffer_unordered(200).collect::<Vec<()>>().await;
            over.store(true, Ordering::Relaxed);
        })
    };
    for mark in [MESSAGES / 4, MESSAGES / 2] {
        while done.load(Ordering::Relaxed) < mark {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        broker.again(Duration::from_millis(300)).await;
    }
    assert!(!over.load(Ordering::Relaxed), "the broker ended while messages were under way");
    sending.await.unwrap();
    let all = |seen: &[serde_json::Value]| seen.iter().map(number).collect::<BTreeSet<_>>();
    let seen = subscriber.until(|seen| all(seen).len() == MESSAGES).await;
    println!(
        "mqtt: {MESSAGES} messages, the broker ended twice: lost 0, {} ambiguous, {} not sent, {} seen twice",
        ambiguous.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        seen.len() - MESSAGES
    );
    assert!(refused.load(Ordering::Relaxed) > 0, "nobody met the gap");
}
