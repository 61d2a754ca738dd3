#![allow(clippy::unwrap_used, reason = "a test may panic")]

use homing_core::{clock::SystemClock, notification::Arm, queue::Queue};
use homing_queue::redis::{Options, RedisQueue};

use super::*;

const NOW: Millis = 1_700_000_000_000;
const RULE: Breaker = Breaker { failures: 3, pause: Duration::from_secs(5), cap: Duration::from_secs(12) };

const DELIVERED: Outcome = Outcome::Delivered { provider_id: None };

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn gate() -> Arc<Gate> {
    Gates::default().of("xinge", "higo-ios")
}

impl Gate {
    fn answer(&self, outcome: Outcome, now: Instant) -> Option<Millis> {
        self.ended(std::iter::once(&outcome), RULE, NOW, now)
    }
}

#[test]
fn a_refusal_pauses_and_the_pause_doubles_until_a_call_succeeds() {
    let (gate, mut now) = (gate(), Instant::now());
    for expected in [5, 10, 12, 12] {
        gate.answer(Outcome::Config, now);
        assert_eq!(gate.look(now), Pass::Shut(now + seconds(expected)));
        assert!(gate.is_refused());
        gate.answer(Outcome::Config, now);
        assert_eq!(gate.look(now), Pass::Shut(now + seconds(expected)), "a late answer adds nothing");
        now += seconds(expected);
        assert_eq!(gate.look(now), Pass::Probe);
    }
    gate.answer(DELIVERED, now);
    assert!(gate.look(now) == Pass::Open && gate.is_quiet());
}

#[test]
fn failures_in_a_row_open_the_breaker_and_dead_tokens_do_not() {
    let (gate, now) = (gate(), Instant::now());
    for _ in 0..2 {
        gate.answer(Outcome::Retry { after: None }, now);
    }
    assert!(!gate.is_quiet());
    for _ in 0..9 {
        gate.answer(Outcome::DEAD, now);
    }
    for _ in 0..3 {
        assert_eq!(gate.look(now), Pass::Open);
        gate.answer(Outcome::Ambiguous, now);
    }
    assert!(matches!(gate.look(now), Pass::Shut(_)) && !gate.is_refused());
    let page = [Outcome::Ambiguous, Outcome::Ambiguous, Outcome::Ambiguous];
    let whole = Gates::default().of("xinge", "higo-android");
    whole.ended(page.iter(), RULE, NOW, now);
    assert_eq!(whole.look(now), Pass::Open, "a page is one call");
}

#[test]
fn one_call_probes_and_its_failure_pauses_again() {
    let (gate, mut now) = (gate(), Instant::now());
    for _ in 0..3 {
        gate.answer(Outcome::Ambiguous, now);
    }
    assert!(gate.probe(now).is_none(), "not while it is shut");
    now += seconds(5);
    let probe = gate.probe(now).unwrap();
    assert_eq!(gate.look(now), Pass::Probed);
    assert!(gate.probe(now).is_none(), "one at a time");
    gate.answer(Outcome::Ambiguous, now);
    drop(probe);
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(10)));
    now += seconds(10);
    // Its shard was lost: another takes its turn.
    drop(gate.probe(now).unwrap());
    assert_eq!(gate.look(now), Pass::Probe);
}

#[test]
fn a_providers_wish_is_obeyed_and_only_ever_extended() {
    let (gate, now) = (gate(), Instant::now());
    assert_eq!(gate.answer(Outcome::limited(Some(90_000)), now), Some(NOW + 90_000));
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(90)));
    assert_eq!(gate.answer(Outcome::limited(Some(10_000)), now), None, "never shortened");
    assert_eq!(gate.answer(DELIVERED, now), None);
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(90)), "that call began before the wish");
    assert_eq!(gate.answer(Outcome::Config, now), None);
    let later = gate.ended([Outcome::limited(None)].iter(), RULE, NOW + 60_000, now + seconds(60));
    assert_eq!(later, Some(NOW + 120_000));
    assert_eq!(gate.look(now + seconds(60)), Pass::Shut(now + seconds(120)), "a minute where nothing is said");
    gate.answer(Outcome::RateLimited { after: Some(9_999_999), scope: Scope::Token }, now);
    assert_eq!(gate.look(now + seconds(120)), Pass::Probe);
    gate.answer(DELIVERED, now + seconds(121));
    assert_eq!(gate.look(now + seconds(121)), Pass::Open);
}

#[test]
fn a_wish_is_neither_shorter_nor_longer_than_the_provider_says() {
    let (gate, start) = (gate(), Instant::now());
    for second in [0, 3, 6] {
        let now = start + seconds(second);
        gate.answer(Outcome::limited(Some(3_000)), now);
        assert_eq!(gate.look(now), Pass::Shut(now + seconds(3)), "not doubled, not raised to the own pause");
    }
    let now = start + seconds(9);
    gate.answer(Outcome::Config, now);
    assert_eq!(gate.look(now), Pass::Shut(now + RULE.pause), "refused credentials have their own");
}

#[test]
fn no_wish_is_believed_for_more_than_an_hour() {
    let (gate, now) = (gate(), Instant::now());
    assert_eq!(gate.answer(Outcome::limited(Some(Millis::MAX)), now), Some(NOW + LONGEST));
    let notices = [("pause:xinge:higo-android".to_owned(), Millis::MAX.to_string())].into();
    let other = Gates::default().of("xinge", "higo-android");
    other.hear(&notices, NOW, now);
    assert_eq!(other.look(now), Pass::Shut(now + seconds(3_600)));
    other.hear(&notices, NOW + 1_000, now + seconds(1));
    assert_eq!(other.look(now), Pass::Shut(now + seconds(3_600)), "the same notice again is no news");
    // A broken clock's notice hides no true one.
    let later = now + seconds(3_601);
    let notices = [("pause:xinge:higo-android".to_owned(), (NOW + LONGEST + 21_000).to_string())].into();
    other.hear(&notices, NOW + LONGEST + 1_000, later);
    assert_eq!(other.look(later), Pass::Shut(later + seconds(20)));
}

#[test]
fn a_pause_of_another_process_extends_and_never_shortens() {
    let (gate, now) = (gate(), Instant::now());
    let hear = |until: Millis| {
        gate.hear(&[("pause:xinge:higo-ios".to_owned(), until.to_string())].into(), NOW, now);
    };
    hear(NOW - 1);
    assert_eq!(gate.look(now), Pass::Open, "it is over");
    hear(NOW + 20_000);
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(20)));
    hear(NOW + 10_000);
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(20)));
    hear(NOW + 30_000);
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(30)));
    assert_eq!(gate.answer(DELIVERED, now), None);
    assert_eq!(gate.look(now), Pass::Shut(now + seconds(30)));
    assert_eq!(gate.look(now + seconds(30)), Pass::Probe);
    gate.answer(DELIVERED, now + seconds(30));
    assert_eq!(gate.look(now + seconds(30)), Pass::Open);
}

#[test]
fn rehearsals_have_troubles_of_their_own() {
    let (gate, now) = (gate(), Instant::now());
    let answer = |outcome| Answer::new(outcome, "said so");
    assert_eq!(gate.rehearse(now), Ok(()));
    gate.rehearsed([answer(Outcome::Config)].iter(), now);
    assert_eq!(gate.look(now), Pass::Open, "real calls go on");
    assert_eq!(gate.rehearse(now), Err("not tried: config: said so".to_owned()));
    let tried = (0..1_000_u64).filter(|ms| gate.rehearse(now + Duration::from_millis(*ms)).is_ok()).count();
    assert_eq!(tried, 3, "a few times a second");
    gate.rehearsed([answer(DELIVERED)].iter(), now);
    assert!((0..100).all(|_| gate.rehearse(now).is_ok()));
    gate.rehearsed([answer(Outcome::limited(Some(9_000)))].iter(), now);
    assert!(gate.rehearse(now + seconds(8)).is_err() && gate.rehearse(now + seconds(9)).is_ok());
    gate.rehearsed([answer(Outcome::DEAD)].iter(), now);
    assert!(gate.is_quiet());
    // A wish of real traffic is theirs, too; refused credentials they may try.
    gate.answer(Outcome::limited(Some(5_000)), now);
    assert_eq!(gate.rehearse(now), Err("not tried: the provider asked the app for less".to_owned()));
    let refused = Gates::default().of("xinge", "b-ios");
    refused.answer(Outcome::Config, now);
    assert!(refused.rehearse(now).is_ok() && refused.rehearse(now).is_err());
}

#[test]
fn gates_of_apps_that_nobody_knows_do_not_pile_up() {
    let gates = Gates::default();
    let kept = gates.of("xinge", "kept-ios");
    gates.of("xinge", "shut-ios").answer(Outcome::Config, Instant::now());
    for i in 0..5_000 {
        gates.of("xinge", &format!("app{i}-ios"));
        gates.bucket("xinge", &format!("app{i}"));
    }
    assert!(gates.gates.lock().unwrap()["xinge"].len() <= MANY && gates.buckets.lock().unwrap().len() <= MANY);
    assert!(Arc::ptr_eq(&kept, &gates.of("xinge", "kept-ios")));
    assert!(gates.of("xinge", "shut-ios").is_refused());
}

#[test]
fn a_route_names_app_platform_and_network() {
    for (app, environment, expected) in [
        ("higo", Environment::Production, ("higo", "ios")),
        ("a-b", Environment::Development, ("a-b", "ios-dev")),
        ("x-dev", Environment::Production, ("x-dev", "ios")),
    ] {
        assert_eq!(parts(&route(app, Platform::Ios, environment)), expected);
    }
}

/// Two processes with connections of their own to one server.
#[tokio::test]
async fn a_wish_is_obeyed_by_all_processes() {
    let url = std::env::var("HOMING_TEST_REDIS_URL").expect("HOMING_TEST_REDIS_URL is not set: run scripts/test");
    let (stop, clock) = (CancellationToken::new(), Arc::new(SystemClock::default()));
    let process = || {
        let queue: Arc<dyn Queue> = Arc::new(RedisQueue::new(&url, Options::default()).unwrap());
        let board = Board::start(queue, clock.clone(), stop.clone());
        (Gates::start(Arc::clone(&board), clock.clone(), stop.clone()), board)
    };
    let ((one, _), (two, _)) = (process(), process());
    let app = format!("app{:016x}-ios", clock.now());
    let (here, there) = (one.of("fcm", &app), two.of("fcm", &app));
    let mut changes = two.changes();
    let now = clock.now();
    one.ended(&here, [Outcome::limited(Some(600_000))].iter(), RULE, now, Instant::now());
    assert!(matches!(here.look(Instant::now()), Pass::Shut(_)), "at once in its own process");
    let wait = async {
        while there.look(Instant::now()) == Pass::Open {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(seconds(20), wait).await.expect("told");
    let left = |gate: &Gate| match gate.look(Instant::now()) {
        Pass::Shut(until) => until.saturating_duration_since(Instant::now()),
        other => panic!("{other:?}"),
    };
    assert!(left(&there).abs_diff(left(&here)) < seconds(10));
    // A process that comes later reads it, too.
    let (three, late) = process();
    late.first_look().await;
    assert!(matches!(three.of("fcm", &app).look(Instant::now()), Pass::Shut(_)));
    // An error of a migration is put up in words, shortened.
    let cohort = Cohort { migration: app.clone(), arm: Arm::Shadow };
    one.note(&cohort, &Answer::new(Outcome::Config, "x".repeat(1_000)));
    one.note(&cohort, &Answer::new(DELIVERED, "fine"));
    let key = format!("migration-error:{app}:shadow");
    let mut seen = late.subscribe();
    let wait = async {
        while !late.now().contains_key(&key) {
            seen.changed().await.unwrap();
        }
    };
    tokio::time::timeout(seconds(20), wait).await.expect("put up");
    let text = late.now().get(&key).cloned().unwrap();
    assert!(text.starts_with("config: xxx") && text.len() == ERROR, "{text}");
    stop.cancel();
    let clean = RedisQueue::new(&url, Options::default()).unwrap();
    for key in [key, format!("pause:fcm:{app}")] {
        clean.post(&key, None).await.unwrap();
    }
}
