//! `homing scan audit`: was a chat skipped between two times, and what to do about it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use homing_core::clock::{Clock, SystemClock};
use homing_pipeline::scanner::{Audit, Report};
use serde::Serialize;

use crate::{config::Config, wiring};

/// Arguments of `homing scan audit`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").args(["source", "scanner"])))]
pub struct Options {
    /// Configuration file; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// The scanners of this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// The scanner of this name. Without it and without a source: all of them.
    #[arg(long, value_name = "NAME")]
    pub scanner: Option<String>,
    /// The first time: 2026-11-21T08:00:00+08:00, or seconds since 1970.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: String,
    /// The last time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: String,
    /// Take in what is missing.
    #[arg(long)]
    pub repair: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// The audit of one scanner.
#[derive(Debug, Serialize)]
struct Audited<'a> {
    scanner: &'a str,
    source: &'a str,
    #[serde(flatten)]
    report: Report,
}

/// Audits the scanners that are named; answers whether nothing is missing any more.
///
/// # Errors
/// Nothing is named so, or a server does not answer.
pub async fn audit(options: &Options) -> anyhow::Result<bool> {
    let (from, to) = (time("--from", &options.from)?, time("--to", &options.to)?);
    if from > to {
        bail!("--from is later than --to");
    }
    let config = Config::load(&options.config)?;
    let stores = homing_stores::build(&config.stores())?;
    let queue = wiring::queue(&config)?;
    let now = SystemClock::default().now();
    let wanted = config.scanner.iter().filter(|(name, scanner)| {
        options.scanner.as_ref().is_none_or(|wanted| wanted == *name)
            && options.source.as_ref().is_none_or(|wanted| *wanted == scanner.source)
    });
    let mut audited = Vec::new();
    for (name, scanner) in wanted {
        let feed = wiring::feed(&config, &stores, name)?;
        let audit = Audit { from, to, repair: options.repair };
        let report = feed.audit(&*queue, audit, now).await.with_context(|| format!("scanner {name}"))?;
        audited.push(Audited { scanner: name, source: &scanner.source, report });
    }
    if audited.is_empty() {
        let names = config.scanner.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!("no scanner is named so; there are: {names}");
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&audited)?);
    } else {
        audited.iter().for_each(|audited| print!("{}", lines(audited)));
    }
    Ok(audited.iter().all(|audited| audited.report.is_complete()))
}

fn lines(audited: &Audited<'_>) -> String {
    let Audited { scanner, source, report } = audited;
    let mut text = format!("scanner {scanner}, source {source}\n");
    let mut line = |name: &str, n: u64, say: &str| {
        if n > 0 || say.is_empty() {
            text += format!("  {name:<18} {n:>10}  {say}").trim_end();
            text.push('\n');
        }
    };
    line("in the source", report.in_source, "");
    line("taken in", report.taken_in, "");
    line("repaired earlier", report.repaired_before, " ");
    let newer = report.judged_until.map(|until| format!("newer than {}: ", show(until))).unwrap_or_default();
    line("waiting", report.waiting, &format!("{newer}the scanner may still find them"));
    let reaches = report.record_reaches.map(show).unwrap_or_default();
    line("cannot say", report.cannot_say, &format!("older than {reaches}, where the record begins"));
    line("missing", report.missing, "");
    line("repaired", report.repaired, "events were appended");
    line("accepted before", report.accepted_before, "an earlier repair had appended them");
    for id in &report.missing_ids {
        text += &format!("    {id}\n");
    }
    let more = report.missing.saturating_sub(report.missing_ids.len() as u64);
    if more > 0 {
        text += &format!("    and {more} more\n");
    }
    text += match (report.missing, report.is_complete()) {
        (0, _) => "Nothing was skipped, as far as the record reaches.\n",
        (_, true) => "What was missing is in the entry queue now.\n",
        (_, false) => "Chats were skipped; --repair takes in those that can be read.\n",
    };
    text
}

fn show(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

fn time(name: &str, text: &str) -> anyhow::Result<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000).with_context(|| format!("{name}: {text} is out of range"));
    }
    let time = text.parse::<jiff::Timestamp>();
    let time = time.with_context(|| format!("{name}: `{text}` is no time such as 2026-11-21T08:00:00+08:00"))?;
    Ok(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("--from", "2026-11-21T08:00:00+08:00").unwrap(), 1_795_219_200_000);
        assert_eq!(time("--from", "1795219200").unwrap(), 1_795_219_200_000);
        assert!(time("--from", "today").unwrap_err().to_string().contains("--from"));
    }

    #[test]
    fn a_report_says_what_is_missing() {
        let report = Report { in_source: 30, taken_in: 5, missing: 25, ..Report::default() };
        let report = Report { missing_ids: (0..20).map(|n| format!("id{n}")).collect(), ..report };
        let audited = Audited { scanner: "group", source: "chats", report };
        let text = lines(&audited);
        assert!(text.contains("missing") && text.contains("and 5 more") && text.contains("were skipped"), "{text}");
        assert!(!audited.report.is_complete());
        let report = Report { missing: 2, repaired: 1, accepted_before: 1, ..Report::default() };
        assert!(report.is_complete());
    }
}
