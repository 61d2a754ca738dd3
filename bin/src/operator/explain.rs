//! `homing explain --user 42`: every lookup with its key, its raw answer and its verdict; the devices and the credentials
//! that a push to them would use. Nothing is sent, nothing is read from a cache.

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use clap::Args;
use homing_core::{
    catalogue::PushType,
    clock::{Clock, Millis, SystemClock},
    event::Kind,
    lookup::Row,
    notification::{Environment, Platform, live_id},
    rules::{Decision, Ruling},
};
use homing_pipeline::{
    board::Board,
    distributor::{Devices, Lane, Told, ways},
    routes::Route,
};
use serde::Serialize;

use super::trace;
use crate::{config::Config, live, wiring};

/// What to explain.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A message's id: its history, and the facts of the users it names as they are now.
    #[arg(required_unless_present = "user")]
    id: Option<String>,
    /// A user.
    #[arg(long, conflicts_with = "id")]
    user: Option<String>,
    /// An event type, as a number or a name: is it in the catalogue, does its lane fit.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only devices of this app, as an event's `app` would say.
    #[arg(long)]
    app: Option<String>,
    /// Only this lane; all by default.
    #[arg(long)]
    lane: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Configuration file; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

/// Runs the command; answers whether there was anything to say, and everybody answered.
///
/// # Errors
/// The configuration does not fit, the lane or type is not known, the queue server cannot be reached.
pub async fn run(options: &Options) -> anyhow::Result<bool> {
    let config = Config::load(&options.config)?;
    let stores = homing_stores::build(&config.stores())?;
    // Only a migration makes the board matter: without one no server is asked.
    let notices =
        if config.migration.is_empty() { Default::default() } else { wiring::queue(&config)?.notices().await? };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let live = live::look(&config, &clock)?;
    let mut lanes = wiring::lanes(&config, &stores, &Board::still(notices), live.as_ref())?;
    if let Some(only) = &options.lane {
        if !lanes.contains_key(only) {
            bail!("there is no [lane.{only}]");
        }
        lanes.retain(|name, _| name == only);
    }
    let now = clock.now();
    let kind = options.kind.as_deref().map(kind);
    let (history, users) = match (&options.id, &options.user) {
        (Some(id), _) => {
            let history = trace::read(&config, &*wiring::queue(&config)?, id).await?;
            let users = users_of(&history.records);
            (Some(history), users.into_iter().take(10).collect())
        }
        (None, user) => (None, user.iter().cloned().collect::<Vec<_>>()),
    };
    let mut explanations = Vec::new();
    for lane in lanes.values() {
        for user in &users {
            let app = options.app.as_deref();
            let question = Question { user, kind: kind.as_ref(), app, id: options.id.as_deref(), now };
            explanations.push(of(&config, lane, &question).await?);
        }
    }
    if options.json {
        let whole = serde_json::json!({ "trace": history, "explanations": explanations });
        println!("{}", serde_json::to_string_pretty(&whole)?);
    } else {
        if let Some(history) = &history {
            print!("{}", trace::lines(history));
            if !explanations.is_empty() {
                println!("\nAs of now:");
            }
        }
        for explanation in &explanations {
            print!("{}", lines(explanation));
        }
    }
    let answered = explanations.iter().all(|one| one.lookups.iter().all(|asked| asked.down.is_none()));
    Ok(answered && history.is_none_or(|history| !history.records.is_empty()))
}

/// What one lane would do for a user.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The lane.
    pub lane: String,
    /// The user.
    pub user: String,
    /// Would a push be sent now?
    pub told: bool,
    /// Why, or why not, in one sentence.
    pub verdict: String,
    /// Every lookup that was asked.
    pub lookups: Vec<Asked>,
    /// Every rule in its order.
    pub rules: Vec<Judged>,
    /// Every device.
    pub devices: Vec<Device>,
}

/// One lookup.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// `[lookup.NAME]`.
    pub lookup: String,
    /// `[stores.NAME]`.
    pub store: String,
    /// The concrete command or statement.
    pub asked: String,
    /// The raw answer.
    pub raw: String,
    /// The decoded rows; tokens shortened.
    pub rows: Vec<Row>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
}

/// One rule.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// Its name.
    pub rule: String,
    /// `pass`, `skip`, `defer`, or `unknown` when its store is down.
    pub verdict: &'static str,
    /// Until when it defers, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// The fact that it saw.
    pub seen: String,
}

/// One device.
#[derive(Debug, Serialize)]
pub struct Device {
    /// The end of its token.
    pub token: String,
    /// Its platform.
    pub platform: String,
    /// Its app.
    pub app: String,
    /// Its network.
    pub env: String,
    /// The credentials that serve it, or why nothing can be sent to it.
    pub account: String,
    /// Would it get a push now?
    pub told: bool,
}

/// Asks every lookup of a lane about a user and applies its rules, as they are now. `kind` is checked against the
/// catalogue, `app` restricts the devices as an event's own would.
///
/// # Errors
/// The type is not in the catalogue.
pub async fn explain(
    config: &Config,
    lane: &Lane,
    user: &str,
    kind: Option<&Kind>,
    app: Option<&str>,
    now: Millis,
) -> anyhow::Result<Explanation> {
    of(config, lane, &Question { user, kind, app, id: None, now }).await
}

/// What is to be explained.
struct Question<'a> {
    user: &'a str,
    kind: Option<&'a Kind>,
    app: Option<&'a str>,
    /// This message, which may have been read on a socket.
    id: Option<&'a str>,
    now: Millis,
}

/// An error and those of its causes that it does not tell itself.
fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Has the user read the message on a socket? As the distributor asks for those whom it deferred.
async fn read(lane: &Lane, user: &str, id: &str) -> Option<(Asked, Judged)> {
    let answer = lane.inbox.as_ref()?.were_read(&[(user, &live_id(id))]).await;
    let (raw, down, verdict, seen) = match answer {
        Ok(read) if read.contains(&true) => ("yes", None, "skip", "read on a socket"),
        Ok(_) => ("no", None, "pass", "not read on a socket"),
        Err(error) => ("", Some(story(&error)), "unknown", "its store is down: the lane waits"),
    };
    let asked = format!("was {id} read by {user}");
    let (lookup, store, raw) = ("read".to_owned(), "live".to_owned(), raw.to_owned());
    let judged = Judged { rule: "read".to_owned(), verdict, until: None, seen: seen.to_owned() };
    Some((Asked { lookup, store, asked, raw, rows: Vec::new(), down }, judged))
}

async fn of(config: &Config, lane: &Lane, question: &Question<'_>) -> anyhow::Result<Explanation> {
    let Question { user, kind, app, id, now } = *question;
    let kind = kind.map(|kind| lane.catalogue.find(kind)).transpose()?;
    let mut lookups = Vec::new();
    let mut facts: Vec<(String, Option<Vec<Row>>)> = Vec::new();
    for lookup in lane.facts.iter().chain([&lane.tokens]) {
        let name = lookup.name().to_owned();
        match lookup.explain(user).await {
            Ok(found) => {
                let rows = found.rows.iter().map(shortened).collect();
                let (store, asked, raw) = (found.store, found.asked, found.raw);
                lookups.push(Asked { lookup: name.clone(), store, asked, raw, rows, down: None });
                facts.push((name, Some(found.rows)));
            }
            Err(down) => {
                let (store, asked, raw, why) = (String::new(), String::new(), String::new(), Some(story(&down)));
                lookups.push(Asked { lookup: name.clone(), store, asked, raw, rows: Vec::new(), down: why });
                facts.push((name, None));
            }
        }
    }
    let rows_of = |name: &str| facts.iter().find(|(known, _)| known == name).and_then(|(_, rows)| rows.as_deref());
    let mut rules: Vec<Judged> = lane
        .rules
        .iter()
        .map(|rule| {
            let rows = match rule.lookup() {
                None => Some(&[][..]),
                Some(lookup) => rows_of(lookup),
            };
            let Some(rows) = rows else {
                let seen = "its store is down: the lane waits".to_owned();
                return Judged { rule: rule.name().to_owned(), verdict: "unknown", until: None, seen };
            };
            let Ruling { decision, seen } = rule.judge(rows, now);
            let (verdict, until) = match decision {
                Decision::Pass => ("pass", None),
                Decision::Skip => ("skip", None),
                Decision::Defer(until) => ("defer", Some(until)),
            };
            Judged { rule: rule.name().to_owned(), verdict, until, seen }
        })
        .collect();
    if let Some(id) = id
        && let Some((asked, judged)) = read(lane, user, id).await
    {
        lookups.push(asked);
        rules.insert(0, judged);
    }
    let mut devices = devices(config, lane, kind, user, app, rows_of(lane.tokens.name()).unwrap_or_default());
    if lane.devices == Devices::First {
        let first = devices.iter().position(|device| device.told);
        for (i, device) in devices.iter_mut().enumerate() {
            device.told = Some(i) == first;
        }
    }
    let stopped = rules.iter().find(|r| r.verdict == "skip").or_else(|| rules.iter().find(|r| r.verdict != "pass"));
    let woken = stopped.is_none() && devices.iter().any(|d| d.told);
    // What wakes nobody is not held back by the rules that keep from waking.
    let holds = |judged: &Judged| {
        judged.rule == "read" || lane.rules.iter().any(|rule| rule.name() == judged.rule && rule.holds_live())
    };
    let open = !rules.iter().any(|rule| rule.verdict == "unknown" || (rule.verdict != "pass" && holds(rule)));
    let otherwise = lane.otherwise.iter().filter(|_| !woken);
    let live: Vec<&str> = lane.sockets.iter().chain(otherwise).filter(|_| open).map(String::as_str).collect();
    let told = woken || !live.is_empty();
    let time = |at| jiff::Timestamp::from_millisecond(at).map(|t| t.to_string()).unwrap_or_default();
    let verdict = match stopped {
        _ if !woken && !live.is_empty() => {
            let why = stopped.map_or_else(
                || "no device fits".to_owned(),
                |rule| format!("the rule {} refuses to wake ({})", rule.rule, rule.seen),
            );
            let later = stopped.and_then(|rule| rule.until).filter(|_| devices.iter().any(|device| device.told));
            let later = later.map(|at| format!("; a device at {}", time(at))).unwrap_or_default();
            format!("told by {} only: {why}{later}", live.join(" and "))
        }
        Some(rule) => match (rule.verdict, rule.until) {
            ("skip", _) => format!("not told: the rule {} refuses ({})", rule.rule, rule.seen),
            ("defer", Some(until)) => {
                format!("not now: the rule {} defers until {} ({})", rule.rule, time(until), rule.seen)
            }
            _ => format!("waits: the rule {} cannot be asked ({})", rule.rule, rule.seen),
        },
        None if woken => {
            let beside: String = live.iter().map(|channel| format!(", and by {channel}")).collect();
            format!("told on {} device(s){beside}", devices.iter().filter(|d| d.told).count())
        }
        None if devices.is_empty() => "not told: no device is known".to_owned(),
        None => "not told: no device fits".to_owned(),
    };
    if !woken {
        devices.iter_mut().for_each(|device| device.told = false);
    }
    Ok(Explanation { lane: lane.name.clone(), user: user.to_owned(), told, verdict, lookups, rules, devices })
}

/// Every device with its way, and the rows that are none.
fn devices(
    config: &Config,
    lane: &Lane,
    kind: Option<&PushType>,
    user: &str,
    app: Option<&str>,
    rows: &[Row],
) -> Vec<Device> {
    let known = ways(lane, kind, user, app, rows).into_iter().map(|told| {
        let route = route(config, lane, kind, &told).map(|i| format!("route[{i}]: ")).unwrap_or_default();
        let device = way(config, told);
        Device { account: route + &device.account, ..device }
    });
    let rest = rows.iter().filter_map(|row| unfit(row, app));
    known.chain(rest).collect()
}

/// Which `[[route]]` of the file decides, counted from 0 as errors do.
fn route(config: &Config, lane: &Lane, kind: Option<&PushType>, told: &Told) -> Option<usize> {
    // The lane has those of the file that can hold in it, in their order.
    let own =
        config.route.iter().enumerate().filter(|(_, route)| route.lane.as_ref().is_none_or(|of| *of == lane.name));
    let code = kind.map_or(i64::MIN, |kind| kind.code);
    let holds = |route: &Route| route.matches(code, told.platform, &told.app, told.environment);
    own.zip(lane.routes.iter()).find(|(_, route)| holds(route)).map(|((i, _), _)| i)
}

/// One device and how it is told: `fcm as [channel.fcm.account.higo], else xinge; migration to_fcm: new`.
fn way(config: &Config, told: Told) -> Device {
    let Told { token, platform, app, environment, channel, fallback, cohort } = told;
    let (way, fits) = match channel {
        Err(why) => (why, false),
        Ok(channel) => match account(config, &channel, platform, &app, environment) {
            Ok(account) => {
                let fallback =
                    if fallback.is_empty() { String::new() } else { format!(", else {}", fallback.join(", ")) };
                let side =
                    cohort.map(|of| format!("; migration {}: {}", of.migration, of.arm.name())).unwrap_or_default();
                (format!("{channel} as {account}{fallback}{side}"), true)
            }
            Err(why) => (format!("{channel}: {why}"), false),
        },
    };
    let env = environment.name().to_owned();
    Device { token, platform: platform.name().to_owned(), app, env, account: way, told: fits }
}

/// The account of a channel that serves such a device.
fn account(
    config: &Config,
    channel: &str,
    platform: Platform,
    app: &str,
    environment: Environment,
) -> Result<String, String> {
    if channel == wiring::XINGE {
        let found = config.account.iter().find(|(_, account)| {
            account.platform == platform && account.app == app && account.environment == environment
        });
        let none = || format!("no [account] for app {app}, {}, {}", platform.name(), environment.name());
        return found.map(|(name, _)| format!("[account.{name}]")).ok_or_else(none);
    }
    let section = config.channel.get(channel).map(|section| &section.0);
    let Some(accounts) = section.and_then(|section| section.get("account")?.as_table()) else {
        // A broker or a list of addresses serves every app.
        return Ok(format!("[channel.{channel}]"));
    };
    let text = |account: &toml::Value, key: &str| account.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let own = |account: &toml::Value| text(account, "environment").and_then(|name| Environment::parse(&name));
    // Who names the network counts before who serves both.
    let named = |wanted| {
        accounts.iter().find(|(_, account)| text(account, "app").is_none_or(|own| own == app) && own(account) == wanted)
    };
    let found = named(Some(environment)).or_else(|| named(None));
    let none = || format!("no [channel.{channel}.account] for app {app}, {}", environment.name());
    found.map(|(name, _)| format!("[channel.{channel}.account.{name}]")).ok_or_else(none)
}

/// A row that is no device of the app that is meant, or none at all.
fn unfit(row: &Row, app: Option<&str>) -> Option<Device> {
    let get = |column: &str| row.get(column).cloned().unwrap_or_default();
    let (own, platform, env) = (get("app"), get("platform"), get("env"));
    let why = if Platform::parse(&platform).is_none() {
        format!("`{platform}` is no platform that is known")
    } else if get("token").is_empty() {
        "it has no token".to_owned()
    } else if own.is_empty() {
        "it has no app".to_owned()
    } else if app.is_some_and(|app| app != own) {
        "not of the app that is meant".to_owned()
    } else {
        return None;
    };
    Some(Device { token: tail(&get("token")), platform, app: own, env, account: why, told: false })
}

fn shortened(row: &Row) -> Row {
    let short = |(column, value): (&String, &String)| {
        (column.clone(), if column.contains("token") { tail(value) } else { value.clone() })
    };
    row.iter().map(short).collect()
}

fn tail(token: &str) -> String {
    let from = token.char_indices().rev().nth(3).map_or(0, |(i, _)| i);
    format!("..{}", token.get(from..).unwrap_or_default())
}

/// For people.
pub fn lines(explanation: &Explanation) -> String {
    let Explanation { lane, user, verdict, lookups, rules, devices, .. } = explanation;
    let mut text = format!("user {user} in lane {lane}: {verdict}\n");
    for asked in lookups {
        text += &format!("  lookup {} ({}): {}\n", asked.lookup, asked.store, asked.asked);
        match &asked.down {
            Some(why) => text += &format!("    no answer: {why}\n"),
            None => text += &format!("    raw     {}\n    decoded {}\n", asked.raw, decoded(&asked.rows)),
        }
    }
    for rule in rules {
        text += &format!("  rule {:<8} {:<7} {}\n", rule.rule, rule.verdict, rule.seen);
    }
    for device in devices {
        let Device { token, platform, app, env, account, told } = device;
        text += &format!("  device {token} {platform} {app} {env}: {account}{}\n", if *told { ", told" } else { "" });
    }
    text
}

fn decoded(rows: &[Row]) -> String {
    let row = |row: &Row| row.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
    if rows.is_empty() { "nothing".to_owned() } else { rows.iter().map(row).collect::<Vec<_>>().join(" | ") }
}

/// A type as it is given on a command line: a number or a name.
pub fn kind(text: &str) -> Kind {
    text.parse().map_or_else(|_| Kind::Name(text.to_owned()), Kind::Code)
}

/// The users that a trace names, each once: those whose facts are worth showing beside it.
pub fn users_of(trace: &[homing_core::record::Record]) -> Vec<String> {
    let mut users: Vec<String> = Vec::new();
    // A group's sockets, or everyone's, are nobody's own.
    let whole = |target: &&str| *target == "everyone" || target.starts_with("group/");
    for target in trace.iter().filter_map(|record| record.target.as_deref()).filter(|target| !whole(target)) {
        let user = target.split('/').next().unwrap_or(target);
        // A record that stands for many has words in this place.
        if !user.is_empty() && !user.contains(' ') && !users.iter().any(|known| known == user) {
            users.push(user.to_owned());
        }
    }
    users
}
