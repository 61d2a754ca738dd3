//! The two runs that every channel has to pass, and what they count.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    site::{Arrivals, Device, HANG, Site},
    way::{Fate, Kind, Part, State, Tokens, Way, counts, script},
};

/// Users of the one event that is for many.
const CROWD: usize = 300;

/// Events of a run; `HOMING_TEST_CHANNEL_EVENTS` makes it fewer where time is short.
pub(super) fn events() -> usize {
    let given = std::env::var("HOMING_TEST_CHANNEL_EVENTS").ok();
    given.map_or(5_000, |text| text.parse().expect("HOMING_TEST_CHANNEL_EVENTS is a number"))
}

/// Devices of these kinds, well mixed; users are `PREFIX-N`.
async fn devices(site: &Site, way: &Way, kinds: &[Kind], users: &str, total: usize) -> Vec<Device> {
    let mut all = Vec::with_capacity(total);
    for (place, (kind, count)) in kinds.iter().zip(counts(kinds, total)).enumerate() {
        // Both runs of a site have tokens of their own.
        let prefix =
            if way.tokens == Tokens::Plain { format!("{}-{users}", kind.prefix) } else { kind.prefix.to_owned() };
        for (token, name) in site.tokens(way.tokens, &prefix, count).await {
            all.push(Device { user: String::new(), token, name, app: kind.app, kind: place });
        }
    }
    (0..total).map(|n| Device { user: format!("{users}-{n}"), ..all[mixed_place(n, total)].clone() }).collect()
}

/// Puts `0..total` into another order, in which neighbours are far apart.
pub(super) fn mixed_place(n: usize, total: usize) -> usize {
    // By a prime that does not divide the total, every place is met once.
    let step = [7_919, 104_729].into_iter().find(|prime| !total.is_multiple_of(*prime)).unwrap();
    (n * step + 13) % total
}

/// What the simulator calls a device's message. A hook gets the messages of many, so that theirs name the user.
fn told(way: &Way, id: &str, device: &Device) -> (String, String) {
    let id = if way.tokens == Tokens::Hooks { format!("{id}:{}", device.user) } else { id.to_owned() };
    (id, device.name.clone())
}

#[track_caller]
fn check_arrivals(way: &Way, arrivals: &Arrivals, expected: &BTreeSet<(String, String)>) {
    let arrived: BTreeSet<(String, String)> = arrivals.keys().cloned().collect();
    let lost: Vec<_> = expected.difference(&arrived).take(5).collect();
    let beyond: Vec<_> = arrived.difference(expected).take(5).collect();
    assert!(lost.is_empty() && beyond.is_empty(), "{}: lost {lost:?}, told beyond {beyond:?}", way.name);
    let repeated: Vec<_> = arrivals.iter().filter(|(_, times)| **times > 1).take(5).collect();
    assert!(repeated.is_empty(), "{}: told twice: {repeated:?}", way.name);
}

/// Many events for one user each and one event for many, of mixed kinds of tokens: each target has its documented fate.
pub(super) async fn mixed(way: &Way) {
    let total = events();
    let site = Site::simulated(way).await;
    // What is answered for a whole call would be the answer of all of the many.
    let alone = |kind: &&Kind| matches!(kind.state, State::Throttled(_) | State::Code(_));
    let few: Vec<Kind> = way.kinds.iter().filter(|kind| !alone(kind)).copied().collect();
    let singles = devices(&site, way, way.kinds, "u", total).await;
    let crowd = if way.tokens == Tokens::Hex {
        // Tokens of both are numbered: the crowd's begin elsewhere.
        let mut crowd = devices(&site, way, &few, "c", CROWD).await;
        for device in &mut crowd {
            device.name.replace_range(4..8, "cccc");
            device.token.clone_from(&device.name);
        }
        crowd
    } else {
        devices(&site, way, &few, "c", CROWD).await
    };
    let names = |place: usize| {
        singles.iter().filter(|device| device.kind == place).map(|device| device.name.clone()).collect::<Vec<_>>()
    };
    site.script(&script(way.kinds, names)).await;
    site.register(way.platform, &singles);
    site.register(way.platform, &crowd);
    let before = site.registered();
    assert_eq!(before.len(), total + CROWD);

    // What must become of them.
    let fate = |device: &Device, kinds: &[Kind]| kinds[device.kind].fate;
    let all = || {
        let singles = singles.iter().enumerate().map(|(n, d)| (format!("m-{n}"), d, fate(d, way.kinds)));
        singles.chain(crowd.iter().map(|d| ("crowd".to_owned(), d, fate(d, &few))))
    };
    let count = |wanted: Fate| all().filter(|(_, _, fate)| *fate == wanted).count();
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    for name in all().filter_map(|(_, _, fate)| fate.name()) {
        *fates.entry(name).or_default() += 1;
    }
    let parked = count(Fate::Parked) as u64;
    let told_of = |arrives: &dyn Fn(Fate) -> bool| -> BTreeSet<(String, String)> {
        all().filter(|(_, _, fate)| arrives(*fate)).map(|(id, device, _)| told(way, &id, device)).collect()
    };
    let left: BTreeSet<String> =
        all().filter(|(_, _, fate)| *fate != Fate::Removed).map(|(_, device, _)| device.user.clone()).collect();

    let daemons = [site.daemon("distributor").await, site.daemon("sender").await];
    let began = Instant::now();
    let single = singles.iter().enumerate().map(|(n, device)| (format!("m-{n}"), vec![device.user.clone()]));
    let many = ("crowd".to_owned(), crowd.iter().map(|device| device.user.clone()).collect());
    site.push(single.chain([many])).await;
    let books = site.until(way.name, |books| books.open == 0 && books.waiting == parked && books.came_in > 0).await;
    let took = began.elapsed();
    assert_eq!(books.fates, fates, "{}: {books:?}", way.name);
    assert_eq!(books.came_in, (total + CROWD) as u64, "{}", way.name);
    check_arrivals(way, &site.arrivals().await, &told_of(&Fate::arrives));
    assert_eq!(site.registered(), left, "{}: the dead are removed, and nobody else", way.name);
    check_traces(&site, way, &singles);
    let stats = site.stats().await;
    let refused: u64 =
        way.kinds.iter().zip(counts(way.kinds, total)).map(|(kind, count)| kind.refusals(way, count)).sum();
    if let Some(code) = way.refusal {
        assert_eq!(
            stats["by_code"][code], refused,
            "{}: each was refused as often as the script says: {stats}",
            way.name
        );
    }
    // Counted by simulators that told a device or a project to wait.
    assert!(stats["early_calls"].as_u64().is_none_or(|early| early == 0), "{}: {stats}", way.name);

    if parked > 0 {
        site.script(&json!({})).await;
        let books = site.until("what was parked goes out", |books| books.waiting == 0).await;
        *fates.entry("delivered".to_owned()).or_default() += parked;
        assert_eq!(books.fates, fates, "{}", way.name);
        check_arrivals(way, &site.arrivals().await, &told_of(&|fate| fate.arrives() || fate == Fate::Parked));
        assert_eq!(site.registered(), left, "{}", way.name);
    }
    println!(
        "{:<9} events {total} + 1 for {CROWD}: delivered {}, of them throttled before {}, dead removed {}, no device {}, \
         buried {}, parked {parked} and delivered later; lost 0, repeats 0, balanced, {:.1} s",
        way.name,
        count(Fate::Told) + count(Fate::Later),
        count(Fate::Later),
        count(Fate::Removed),
        count(Fate::NoDevice),
        all().filter(|(_, _, fate)| matches!(fate, Fate::Buried(_))).count(),
        took.as_secs_f64(),
    );
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
}

/// The history of a few messages of each kind says what happened to them.
fn check_traces(site: &Site, way: &Way, devices: &[Device]) {
    for (place, kind) in way.kinds.iter().enumerate() {
        // A webhook's wish holds for its app: who is put aside late in the pause waits for less, so more are looked at.
        let few = if kind.fate == Fate::Later && way.channel == "webhook" { 40 } else { 3 };
        let found = devices.iter().enumerate().filter(|(_, device)| device.kind == place).take(few);
        let traces: Vec<Vec<Value>> = found.map(|(n, _)| site.trace(&format!("m-{n}"))).collect();
        assert!(!traces.is_empty(), "{}: nobody is of the kind {}", way.name, kind.prefix);
        let mut refused = 0;
        for trace in &traces {
            let said = |fate: &str| trace.iter().find(|record| record["stage"] == "send" && record["fate"] == fate);
            let end = match kind.fate {
                Fate::Told | Fate::Later => said("delivered"),
                Fate::Removed => said("bad_token").filter(|record| record["removed"] == true),
                Fate::NoDevice => said("no_device"),
                Fate::Buried(why) => said("dead").filter(|record| record["why"] == why),
                Fate::Parked => said("retried"),
            };
            let end = end.unwrap_or_else(|| panic!("{}, {}: {trace:#?}", way.name, kind.prefix));
            if let (Fate::Later, Some(first)) = (kind.fate, said("retried")) {
                // Retry-After: 1.
                let waited = end["at"].as_i64().unwrap() - first["at"].as_i64().unwrap();
                refused += u32::from(waited >= 950);
            }
        }
        assert!(kind.fate != Fate::Later || refused > 0, "{}: nobody waited: {traces:#?}", way.name);
    }
}

/// An account that is wrong for everybody: nothing is removed, everything waits, and goes out when it is corrected.
pub(super) async fn wrong(way: &Way) {
    let good = [Kind { part: Part::Rest, fate: Fate::Told, ..way.kinds[0] }];
    let site = Site::simulated(way).await;
    let devices = devices(&site, way, &good, "u", events() / 5).await;
    let faults = way.wrong.script(devices.iter().map(|device| device.name.clone()));
    held_back(way, &site, &devices, &faults, 0).await;
}

/// A share of the tokens is another app's, and too large to be believed: as [`wrong`], but the others are told meanwhile.
pub(super) async fn outnumbered(way: &Way, kinds: &[Kind]) {
    let site = Site::simulated(way).await;
    // Between the pauses of its app a few of the others get through at a time.
    let devices = devices(&site, way, kinds, "u", (events() / 20).max(200)).await;
    let others = devices.iter().filter(|device| kinds[device.kind].state == State::Good).count();
    held_back(way, &site, &devices, &script(kinds, |_| Vec::new()), others as u64).await;
}

async fn held_back(way: &Way, site: &Site, devices: &[Device], faults: &Value, others: u64) {
    let total = devices.len() as u64;
    site.script(faults).await;
    site.register(way.platform, devices);
    let before = site.registered();
    let daemons = [site.daemon("distributor").await, site.daemon("sender").await];
    let began = Instant::now();
    site.push(devices.iter().enumerate().map(|(n, device)| (format!("m-{n}"), vec![device.user.clone()]))).await;
    // All wait in lists of their own, but for those that may go out.
    let at_rest = |books: &super::site::Books| {
        let delivered = books.fates.get("delivered").copied().unwrap_or(0);
        books.came_in == total && books.open == 0 && books.waiting + delivered == total && delivered == others
    };
    let books = site.until(&format!("{}: everything waits", way.name), at_rest).await;
    assert_eq!(books.fates.keys().filter(|fate| *fate != "delivered").count(), 0, "{}: {books:?}", way.name);
    // Probes that meet the same answer change nothing.
    let calls = async || site.stats().await["calls"].as_u64().unwrap();
    let (since, known) = (Instant::now(), calls().await);
    while calls().await < known + 3 {
        assert!(since.elapsed() < HANG, "{}: nobody probes", way.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(site.books().fates, books.fates, "{}", way.name);
    assert_eq!(site.arrivals().await.len() as u64, others, "{}", way.name);
    assert_eq!(site.registered(), before, "{}: nothing is removed", way.name);
    let held = began.elapsed();

    site.script(&json!({})).await;
    let books = site.until(&format!("{}: everything goes out", way.name), |books| books.waiting == 0).await;
    assert_eq!(books.fates, [("delivered".to_owned(), total)].into(), "{}", way.name);
    let expected = devices.iter().enumerate().map(|(n, device)| told(way, &format!("m-{n}"), device)).collect();
    check_arrivals(way, &site.arrivals().await, &expected);
    assert_eq!(site.registered(), before, "{}: nothing is removed", way.name);
    println!(
        "{:<9} wrong account, events {total}: parked {}, removed 0, corrected after {:.1} s: delivered {total}, lost 0, \
         repeats 0, balanced, {:.1} s",
        way.name,
        total - others,
        held.as_secs_f64(),
        began.elapsed().as_secs_f64(),
    );
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
}
