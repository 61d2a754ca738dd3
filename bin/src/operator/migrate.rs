//! `homing migrate`: moves devices from one provider to another, a step at a time, and back at once.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use homing_core::{
    channel::Health,
    clock::{Clock, SystemClock},
    ledger::{Counts, Role},
    queue::Queue,
};
use homing_pipeline::migration::{Bounds, Migration, Phase, Report, STEPS, Side, State};
use serde_json::json;

use super::shards;
use crate::{config::Config, doctor, live, wiring};

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Shows the way: who takes part, the steps, and whether the channel that takes over can be used. Changes nothing.
    Plan(Of),
    /// Shows how the sides fare since the step began, and whether to go on (exit code 1 if not).
    Status(Status),
    /// Takes the next step: shadow, then 1 %, 10 %, 50 %, 100 % of the users; refuses while the figures speak against it.
    Advance(Advance),
    /// Everybody back to the channel that was left behind, with the distributors' next batch.
    Rollback(Of),
}

/// A migration of the configuration.
#[derive(Args, Debug)]
pub struct Of {
    /// Its name: `[migration.NAME]`.
    name: String,
    #[command(flatten)]
    files: Files,
}

/// Configuration files.
#[derive(Args, Debug)]
pub struct Files {
    /// Configuration file; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    config: Vec<std::path::PathBuf>,
}

/// Arguments of `homing migrate status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Its name; all by default.
    name: Option<String>,
    #[command(flatten)]
    files: Files,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `homing migrate advance`.
#[derive(Args, Debug)]
pub struct Advance {
    #[command(flatten)]
    of: Of,
    /// To this step instead of the next one: `shadow`, or so many of a hundred users (`12.5`).
    #[arg(long, value_name = "STEP")]
    to: Option<String>,
    /// Though the figures speak against it.
    #[arg(long)]
    force: bool,
}

/// Runs a command; answers whether all is well.
///
/// # Errors
/// There is no such migration, the step is refused, or the queue server does not answer.
pub async fn run(command: &Command) -> anyhow::Result<bool> {
    match command {
        Command::Plan(of) => plan(&Config::load(&of.files.config)?, &of.name).await,
        Command::Status(status) => show(&Config::load(&status.files.config)?, status).await,
        Command::Advance(advance) => step(&Config::load(&advance.of.files.config)?, advance).await,
        Command::Rollback(of) => back(&Config::load(&of.files.config)?, &of.name).await,
    }
}

/// A migration as it stands.
struct Standing {
    migration: Migration,
    state: State,
    report: Report,
    /// The last error of each side, in words.
    errors: BTreeMap<String, String>,
}

impl Standing {
    async fn read(config: &Config, queue: &dyn Queue, name: &str) -> anyhow::Result<Self> {
        let all = wiring::migrations(config)?;
        let migration = all.into_iter().find(|migration| migration.name == name);
        let migration = migration.with_context(|| format!("there is no [migration.{name}]"))?;
        let notices = queue.notices().await?;
        let state = migration.state(&notices)?;
        let mut ledgers: Vec<Counts> = Vec::new();
        for (lane, role, shard) in shards(config)? {
            if role == Role::Delivery && migration.lane.as_ref().is_none_or(|own| *own == lane) {
                ledgers.push(queue.inspect(&shard).await?.counts);
            }
        }
        let report = Report::new(name, &state, &ledgers);
        let prefix = format!("migration-error:{name}:");
        let errors =
            notices.iter().filter_map(|(key, text)| Some((key.strip_prefix(&prefix)?.to_owned(), text.clone())));
        Ok(Self { errors: errors.collect(), migration, state, report })
    }

    fn print(&self) {
        let Migration { name, from, to, .. } = &self.migration;
        println!("{name}: {from} -> {to}: {}", self.state);
        println!("  {:<7} {:>9} {:>9} {:>9} {:>9} {:>9}", "side", "tried", "delivered", "dead", "config", "failed");
        for (arm, side) in self.sides() {
            println!(
                "  {arm:<7} {:>9} {:>9} {:>9} {:>9} {:>9}",
                side.tried(),
                side.delivered,
                side.bad_token,
                side.config,
                side.failed
            );
            if let Some(error) = self.errors.get(arm) {
                println!("          last error: {error}");
            }
        }
        println!("  {}", self.verdict().text);
    }

    fn sides(&self) -> [(&'static str, &Side); 3] {
        [("old", &self.report.old), ("shadow", &self.report.shadow), ("new", &self.report.new)]
    }

    fn verdict(&self) -> homing_pipeline::migration::Verdict {
        self.report.verdict(&self.state, &Bounds::default())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.migration.name, "from": self.migration.from, "to": self.migration.to,
            "state": { "phase": self.state.phase, "percent": self.state.percent },
            "old": self.report.old, "new": self.report.new, "shadow": self.report.shadow,
            "errors": self.errors, "verdict": self.verdict(),
        })
    }
}

async fn plan(config: &Config, name: &str) -> anyhow::Result<bool> {
    let standing = Standing::read(config, &*wiring::queue(config)?, name).await?;
    let Migration { from, to, lane, app, platform, environment, .. } = &standing.migration;
    let only = [
        lane.as_ref().map(|lane| format!("lane {lane}")),
        app.as_ref().map(|app| format!("app {app}")),
        platform.map(|platform| platform.name().to_owned()),
        environment.map(|environment| environment.name().to_owned()),
    ];
    let only: Vec<String> = only.into_iter().flatten().collect();
    let of = if only.is_empty() { "every device".to_owned() } else { format!("devices of {}", only.join(", ")) };
    println!("{name}: {of} with tokens of both {from} and {to}; now: {}", standing.state);
    println!("  1. shadow: everybody is told by {from}; {to} validates a copy and shows it to nobody");
    for (i, percent) in STEPS.iter().enumerate() {
        println!("  {}. live {percent} %: told by {to}, with {from} as the fallback", i + 2);
    }
    println!("  homing migrate advance {name} takes a step, homing migrate rollback {name} goes back at once.");
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock::default());
    let now = clock.now();
    let live = live::look(config, &clock)?;
    let channel = wiring::channel(config, to, clock, live.as_ref())?;
    let mut well = true;
    for credential in doctor::examine(&[(to.clone(), channel)].into()).await {
        let ends = doctor::end(&credential, now).map(|end| format!("; {end}")).unwrap_or_default();
        let word = match credential.health {
            Health::Good => "works",
            Health::Doubtful => "is doubtful",
            Health::Unknown => "could not be tried",
            Health::Refused => "is refused",
        };
        println!("  {}: {word}: {}{ends}", credential.account, credential.detail);
        well &= credential.health != Health::Refused;
    }
    Ok(well)
}

async fn show(config: &Config, status: &Status) -> anyhow::Result<bool> {
    let queue = wiring::queue(config)?;
    let names: Vec<String> = match &status.name {
        Some(name) => vec![name.clone()],
        None => config.migration.keys().cloned().collect(),
    };
    if names.is_empty() {
        bail!("the configuration has no [migration.NAME] (docs/migrate.md)");
    }
    let (mut well, mut all) = (true, Vec::new());
    for name in &names {
        let standing = Standing::read(config, &*queue, name).await?;
        well &= standing.verdict().safe;
        if status.json { all.push(standing.json()) } else { standing.print() }
    }
    if status.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(well)
}

async fn step(config: &Config, advance: &Advance) -> anyhow::Result<bool> {
    let queue = wiring::queue(config)?;
    let name = &advance.of.name;
    let Standing { migration, state, report, .. } = &Standing::read(config, &*queue, name).await?;
    let next = match advance.to.as_deref() {
        None => match state.next(report.totals.clone()) {
            Some(next) => next,
            None => {
                println!(
                    "{name}: {state}: that is the last step. Make {} the route's channel, and remove the migration.",
                    migration.to
                );
                return Ok(true);
            }
        },
        Some(to) => chosen(name, to, report)?,
    };
    let verdict = report.verdict(state, &Bounds::default());
    // Less is always allowed.
    let is_less = next.phase < state.phase || (next.phase == state.phase && next.percent <= state.percent);
    if !verdict.safe && !is_less && !advance.force {
        println!("{name}: stays at {state}: {} (--force goes on all the same)", verdict.text);
        return Ok(false);
    }
    queue.post(&migration.notice(), Some(&next.format())).await?;
    println!("{name}: {state} -> {next}");
    Ok(true)
}

fn chosen(name: &str, to: &str, report: &Report) -> anyhow::Result<State> {
    let state = match to.trim_end_matches('%').trim() {
        "shadow" => State::shadow(100.0),
        percent => {
            let percent: f64 =
                percent.parse().with_context(|| format!("--to {to}: neither `shadow` nor a percentage"))?;
            State::live(percent)
        }
    };
    state.check(name)?;
    Ok(State { since: report.totals.clone(), ..state })
}

async fn back(config: &Config, name: &str) -> anyhow::Result<bool> {
    let queue = wiring::queue(config)?;
    let standing = Standing::read(config, &*queue, name).await;
    let migration = wiring::migrations(config)?.into_iter().find(|migration| migration.name == name);
    let migration = migration.with_context(|| format!("there is no [migration.{name}]"))?;
    // A state that cannot be read is no reason not to go back.
    let was = standing.map_or_else(|_| "?".to_owned(), |standing| standing.state.to_string());
    queue.post(&migration.notice(), Some(&State { phase: Phase::Off, ..State::default() }.format())).await?;
    println!("{name}: {was} -> off: everybody is told by {} from the next batch on", migration.from);
    Ok(true)
}
