//! The registry's changes as events: each once, whoever dies when.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use homing_core::{clock::Millis, registry::Registry};
use homing_intake::registry::{Pump, Told};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Desks, phone};

const TOLD: &str = "events_lane = 'system'\nhooks = ['crm', 'audit']\n";

fn told() -> Option<Told> {
    let hooks = vec!["crm".to_owned(), "audit".to_owned()];
    Some(Told { lane: "system".into(), kind: "DEFAULT".into(), app: "homing".into(), hooks })
}

fn pump(desks: &Desks) -> Pump {
    Pump::new(Arc::clone(&desks.rig.intake), Arc::clone(&desks.registry), told()).unwrap()
}

/// All events of the lane `system`.
async fn events(desks: &Desks) -> Vec<Value> {
    let mut all = Vec::new();
    for entry in &desks.rig.lanes[0].entry {
        all.extend(desks.rig.list(entry).await);
    }
    all
}

/// A registry whose acknowledgements are lost.
struct Deaf(Arc<dyn Registry>);

macro_rules! passed {
    ($($name:ident($($arg:ident: $type:ty),*) -> $end:ty;)*) => {$(
        fn $name<'a>(&'a self, $($arg: $type),*) -> futures_util::future::BoxFuture<'a, homing_core::registry::Result<$end>> {
            self.0.$name($($arg),*)
        }
    )*};
}

impl Registry for Deaf {
    passed! {
        put(user: &'a str, device: &'a homing_core::registry::Device, now: Millis) -> homing_core::registry::Put;
        list(user: &'a str) -> Vec<homing_core::registry::Held>;
        delete(user: &'a str, device: Option<&'a str>, now: Millis) -> u64;
        restore(user: &'a str, device: &'a str, now: Millis) -> u64;
        preferences(user: &'a str) -> homing_core::registry::Preferences;
        prefer(user: &'a str, wanted: &'a homing_core::registry::Preferences, now: Millis) -> ();
        topics(user: &'a str) -> Vec<String>;
        follow(user: &'a str, topic: &'a str, now: Millis) -> bool;
        unfollow(user: &'a str, topic: &'a str) -> bool;
        erase(user: &'a str, now: Millis) -> bool;
        expire(now: Millis, limit: usize) -> homing_core::registry::Swept;
        changes(after: u64, limit: usize) -> Vec<homing_core::registry::Change>;
    }

    fn acknowledge<'a>(
        &'a self,
        _: &'a [u64],
        _: Millis,
    ) -> futures_util::future::BoxFuture<'a, homing_core::registry::Result<()>> {
        Box::pin(std::future::ready(Err(homing_core::registry::Error::Down("lost".into()))))
    }

    fn wake(&self) -> Arc<tokio::sync::Notify> {
        self.0.wake()
    }
}

#[tokio::test]
async fn a_change_is_an_event_to_its_hooks() {
    let desks = Desks::start(TOLD).await;
    desks.put("/v1/users/42/devices/i", &phone("t-0123456789")).await;
    assert_eq!(pump(&desks).tell().await.unwrap(), 1);
    assert_eq!(pump(&desks).tell().await.unwrap(), 0);
    let all = events(&desks).await;
    let [event] = all.as_slice() else { panic!("{all:?}") };
    assert!(event["id"].as_str().unwrap().starts_with("registry:"));
    let hook = |name: &str| json!({"token": name, "platform": "webhook", "app": "homing"});
    assert_eq!(event["to"], json!({"tokens": [hook("crm"), hook("audit")]}));
    assert_eq!((&event["data"]["change"], &event["data"]["user"]), (&json!("device_registered"), &json!("42")));
    assert!(!event.to_string().contains("t-0123456789"), "{event}");
}

#[tokio::test]
async fn a_lost_acknowledgement_tells_nothing_twice() {
    let desks = Desks::start(TOLD).await;
    for n in 0..50 {
        desks.put(&format!("/v1/users/{n}/devices/i"), &phone(&format!("token-{n}"))).await;
    }
    let deaf = Arc::new(Deaf(Arc::clone(&desks.registry)));
    let deaf = Pump::new(Arc::clone(&desks.rig.intake), deaf, told()).unwrap();
    for _ in 0..3 {
        assert!(deaf.tell().await.unwrap_err().contains("lost"));
    }
    assert_eq!(events(&desks).await.len(), 50);
    // Two pumps beside one another.
    let (one, other) = (pump(&desks), pump(&desks));
    let (a, b) = tokio::join!(one.tell(), other.tell());
    assert!(a.is_ok() && b.is_ok());
    let all = events(&desks).await;
    let ids: BTreeSet<&str> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!((all.len(), ids.len()), (50, 50), "each change once");
    assert_eq!(pump(&desks).tell().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pump_tells_what_happens_and_sweeps() {
    let desks = Desks::start(&format!("{TOLD}inactive_after = '1ms'")).await;
    let stop = CancellationToken::new();
    desks.put("/v1/users/1/devices/i", &phone("token-1")).await;
    sleep(Duration::from_millis(20)).await;
    let pump = pump(&desks);
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { pump.run(stop).await }
    });
    let kinds = async |wanted: usize| {
        timeout(Duration::from_secs(30), async {
            loop {
                let mut kinds: Vec<String> = events(&desks)
                    .await
                    .iter()
                    .map(|event| event["data"]["change"].as_str().unwrap().to_owned())
                    .collect();
                if kinds.len() >= wanted {
                    kinds.sort();
                    return kinds;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap()
    };
    assert_eq!(kinds(2).await, ["device_expired", "device_registered"]);
    desks.put("/v1/users/2/devices/i", &phone("token-2")).await;
    assert_eq!(kinds(3).await, ["device_expired", "device_registered", "device_registered"]);
    stop.cancel();
    timeout(Duration::from_secs(30), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn changes_that_nobody_could_take_are_refused_at_the_start() {
    let desks = Desks::start(TOLD).await;
    let refused = |change: fn(&mut Told)| {
        let mut told = told().unwrap();
        change(&mut told);
        Pump::new(Arc::clone(&desks.rig.intake), Arc::clone(&desks.registry), Some(told)).unwrap_err().to_string()
    };
    let error = refused(|told| told.lane = "nowhere".into());
    assert!(error.starts_with("registry: its changes cannot be told: lane: there is no lane nowhere"), "{error}");
    assert!(refused(|told| told.kind = "NOBODY_KNOWS".into()).contains("type"));
    assert!(refused(|told| told.kind = "CHAT".into()).contains("belongs to the lane group, not to system"));
    assert!(refused(|told| told.hooks.clear()).contains("to.tokens"));
    assert!(Pump::new(Arc::clone(&desks.rig.intake), Arc::clone(&desks.registry), None).is_ok());
}
