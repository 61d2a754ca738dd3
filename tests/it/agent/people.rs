//! Users and groups as the original keeps them in Redis, and what must become of each job of `agent_client.py`, computed
//! from numbers alone. Nothing here is taken from what Homing does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::site::Site;

/// Users are `u0` to `u119`, groups `g0` to `g9`; `s0` to `s6` write to them.
pub(super) const USERS: u64 = 120;
pub(super) const GROUPS: u64 = 10;
const SENDERS: u64 = 7;

/// `push_type` and `type` of the jobs in turn. Both lists are as long as no other number here divides.
pub(super) type Kinds = [(&'static str, &'static str); 11];

pub(super) const KINDS: [Kinds; 2] = [
    [
        ("talk", "1"),
        ("talk", "6"),
        ("service", "1"),
        ("talk", "17"),
        ("system", "6"),
        ("talk", "10"),
        ("talk", "3"),
        ("talk", "12"),
        ("news", "5"),
        ("talk", "14"),
        ("system", "1"),
    ],
    [
        ("talk", "8"),
        ("talk", "2"),
        ("talk", "9"),
        ("service", "2"),
        ("talk", "11"),
        ("talk", "4"),
        ("talk", "13"),
        ("chat", "8"),
        ("talk", "15"),
        ("talk", "17"),
        ("system", "17"),
    ],
];

/// The client's arguments for these.
pub(super) fn arguments(kinds: &Kinds) -> Vec<String> {
    let mut args = vec!["--users".to_owned(), USERS.to_string(), "--groups".to_owned(), GROUPS.to_string()];
    args.extend(kinds.iter().flat_map(|(push, kind)| ["--push".to_owned(), format!("{push}:{kind}")]));
    args
}

/// A hash `User:{id}`.
struct Person {
    token: Option<String>,
    network: &'static str,
    focus: bool,
}

/// `None`: there is no hash.
fn person(id: &str) -> Option<Person> {
    let (letter, number) = id.split_at(1);
    let number: u64 = number.parse().unwrap();
    let network = |develop| if develop { "dev" } else { "prod" };
    if letter == "s" {
        return Some(Person {
            token: Some(format!("{:0>64x}", 0x5e00 + number)),
            network: network(number % 2 == 1),
            focus: false,
        });
    }
    if number % 5 == 1 {
        return None;
    }
    let token = (!number.is_multiple_of(5)).then(|| format!("{:0>64x}", 0xa000 + number));
    Some(Person { token, network: network(number % 4 == 2), focus: number % 7 == 3 })
}

/// The set `GroupAppleUser:{g}`; the last group has none.
fn members(group: u64) -> Vec<String> {
    match group {
        9 => Vec::new(),
        g => vec![format!("u{}", g * 3 + 2), format!("u{}", g * 7 + 3), format!("s{}", g % SENDERS)],
    }
}

/// Puts them into Redis.
pub(super) async fn settle(site: &Site) {
    let mut pipe = redis::pipe();
    let ids = (0..USERS).map(|n| format!("u{n}")).chain((0..SENDERS).map(|n| format!("s{n}")));
    for (id, person) in ids.filter_map(|id| Some((id.clone(), person(&id)?))) {
        let key = format!("User:{id}");
        pipe.hset(&key, "name", &id).ignore().hset(&key, "app_ident", "com.example.im").ignore();
        if let Some(token) = &person.token {
            pipe.hset(&key, "app_token", token).ignore();
        }
        if person.network == "dev" {
            pipe.hset(&key, "app_version", "develop").ignore();
        } else if id.len() % 2 == 0 {
            // Anything else is production, and so is nothing.
            pipe.hset(&key, "app_version", "2.4.1").ignore();
        }
        if person.focus {
            pipe.hset(&key, "app_focus", 1).ignore();
        }
    }
    for group in 0..GROUPS {
        for member in members(group) {
            pipe.sadd(format!("GroupAppleUser:g{group}"), member).ignore();
        }
    }
    pipe.exec_async(&mut site.redis().await).await.unwrap();
}

/// Whom a job is for.
enum To {
    Group(u64),
    Users(Vec<String>),
}

/// Job `n` of the client: see `job` in `agent_client.py`.
fn job(n: u64, kinds: &Kinds) -> (To, Value) {
    let kind = 1 + n % 3;
    let (push_type, data_type) = kinds[usize::try_from(n % 11).unwrap()];
    let mut data = json!({ "n": n, "push_type": push_type, "type": data_type, "text": format!("你好 {n}"),
        "sender": format!("s{}", n % 7) });
    if push_type == "talk" {
        data["sender_type"] = 1.into();
        if data_type == "17" {
            data["lock_status"] = (n / 5 % 2).into();
        }
    } else if push_type == "service" {
        data["action"] = (n / 7 % 3).into();
    }
    if kind == 1 {
        return (To::Group(n % GROUPS), data);
    }
    let mut users = vec![format!("u{}", n % USERS)];
    if (kind == 3) != n.is_multiple_of(10) {
        users.push(format!("u{}", (n + 1) % USERS));
    }
    (To::Users(users), data)
}

/// What the original's services show; `None`: the message is silent.
fn words(data: &Value) -> Option<&'static str> {
    let text = |field: &str| data[field].as_str().unwrap();
    Some(match (text("push_type"), text("type")) {
        ("talk", "6") => "设备电量低，请及时充电",
        ("talk", "8") => "设备存储空间已满",
        ("talk", "9") => "设备存储出现异常",
        ("talk", "10") => "设备已被摘下",
        ("talk", "11") => "设备已进入休眠",
        ("talk", "12") => "有新成员加入了群组",
        ("talk", "13") => "有成员离开了群组",
        ("talk", "14") => "有设备加入了群组",
        ("talk", "15") => "有设备离开了群组",
        ("talk", "17") if data["lock_status"] == 1 => "设备已锁定",
        ("talk", "17") => "设备已解锁",
        ("service", _) if data["action"] == 1 => "客服回复了您",
        _ => return None,
    })
}

/// A push: network, token, job, and whether it is silent.
pub(super) type Push = (&'static str, String, u64, bool);

/// What must arrive, and what did: how often.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) pushes: BTreeMap<Push, u64>,
    /// By topic and job.
    pub(super) publications: BTreeMap<(String, u64), u64>,
    /// Pushes that a sender made once more: APNs saw their id before.
    pub(super) again: u64,
}

/// Jobs by their number: what kinds the client had.
pub(super) type Jobs = BTreeMap<u64, &'static Kinds>;

/// What must become of these jobs.
pub(super) fn expected(jobs: &Jobs) -> Told {
    let mut told = Told::default();
    for (n, kinds) in jobs {
        let (to, data) = job(*n, kinds);
        let silent = words(&data).is_none();
        let push = |pushes: &mut BTreeMap<Push, u64>, person: &Person, token: &String| {
            // What is shown is followed by a silent copy with the data.
            for silent in if silent { &[true][..] } else { &[false, true] } {
                *pushes.entry((person.network, token.clone(), *n, *silent)).or_default() += 1;
            }
        };
        let by_apns = |person: &Person| person.token.clone().filter(|_| !silent || !person.focus);
        match to {
            To::Group(group) => {
                *told.publications.entry((format!("group/g{group}"), *n)).or_default() += 1;
                let author =
                    data["sender"].as_str().filter(|_| data["push_type"] == "talk" && data["sender_type"] == 1);
                for member in members(group).iter().filter(|member| Some(member.as_str()) != author) {
                    let Some(person) = person(member) else { continue };
                    if let Some(token) = by_apns(&person) {
                        push(&mut told.pushes, &person, &token);
                    }
                }
            }
            To::Users(users) => {
                for user in users {
                    let person = person(&user);
                    match person.as_ref().and_then(|person| Some((person, by_apns(person)?))) {
                        Some((person, token)) => push(&mut told.pushes, person, &token),
                        None => *told.publications.entry((format!("user/{user}"), *n)).or_default() += 1,
                    }
                }
            }
        }
    }
    told
}

/// What arrived; every payload and header is looked at.
pub(super) async fn arrived(site: &Site, subscriber: &super::site::Subscriber, jobs: &Jobs) -> Told {
    let mut told = Told::default();
    let (mut keys, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (network, _) in super::site::NETWORKS {
        for (token, push) in site.deliveries(network).await {
            let payload = &push["payload"];
            let n = payload["data"]["n"].as_u64().unwrap_or_else(|| panic!("{push}"));
            let (_, data) = job(n, jobs[&n]);
            let silent = payload["aps"]["content-available"] == 1;
            let (aps, kind, priority) = if silent {
                (json!({ "content-available": 1 }), "background", "5")
            } else {
                let words = words(&data).unwrap_or_else(|| panic!("it is silent: {push}"));
                (json!({ "alert": { "body": words }, "sound": "default" }), "alert", "10")
            };
            assert_eq!(*payload, json!({ "aps": aps, "data": data }));
            let heads = (&push["topic"], &push["push_type"], &push["priority"]);
            assert_eq!(heads, (&json!("com.example.im"), &json!(kind), &json!(priority)), "{push}");
            told.again += u64::from(!ids.insert((token.clone(), push["apns_id"].as_str().unwrap().to_owned())));
            let push_of = (network, token.clone(), n, silent);
            // No message may take another one's place on the phone.
            if !told.pushes.contains_key(&push_of) {
                assert!(keys.insert((token, push["collapse_id"].as_str().unwrap().to_owned())), "{push}");
            }
            *told.pushes.entry(push_of).or_default() += 1;
        }
    }
    for seen in subscriber.seen() {
        let n = seen.data["n"].as_u64().unwrap_or_else(|| panic!("{seen:?}"));
        assert_eq!(seen.data, job(n, jobs[&n]).1);
        *told.publications.entry((seen.topic, n)).or_default() += 1;
    }
    told
}

impl Told {
    /// Nobody is missing and nobody else was told; answers how many came more than once.
    #[track_caller]
    pub(super) fn check(&self, expected: &Self) -> u64 {
        fn both<K: Ord + std::fmt::Debug>(what: &str, seen: &BTreeMap<K, u64>, wanted: &BTreeMap<K, u64>) -> u64 {
            let lost: Vec<_> = wanted.keys().filter(|key| !seen.contains_key(key)).collect();
            let beyond: Vec<_> = seen.keys().filter(|key| !wanted.contains_key(key)).collect();
            let few =
                |all: &[&K]| format!("{} {what}, such as {:?}", all.len(), all.iter().take(5).collect::<Vec<_>>());
            assert!(lost.is_empty() && beyond.is_empty(), "lost {}; beyond {}", few(&lost), few(&beyond));
            seen.iter().map(|(key, times)| times - wanted[key]).sum()
        }
        both("pushes", &self.pushes, &expected.pushes)
            + both("publications", &self.publications, &expected.publications)
    }

    /// Figures.
    pub(super) fn figures(&self) -> String {
        let of = |network: &str| self.pushes.keys().filter(|push| push.0 == network).count();
        let silent = self.pushes.keys().filter(|push| push.3).count();
        let groups = self.publications.keys().filter(|(topic, _)| topic.starts_with("group/")).count();
        format!(
            "APNs {} in production and {} in the sandbox, of them {silent} silent; MQTT {groups} to groups and {} to users",
            of("prod"),
            of("dev"),
            self.publications.len() - groups
        )
    }
}
