//! `homing send`: puts events into their entry lists, checked as the intake checks them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use clap::Args;
use homing_codec::{Codec, Key, MAX_INPUT, Value, decode};
use homing_core::clock::SystemClock;
use homing_intake::{Caller, Settings};

use crate::{config::Config, intake, wiring};

/// What to send.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Configuration file; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// An event, or a list of events, as JSON; `-` reads standard input. The other arguments lie over an event's fields.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Its type: a number or a name.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "json")]
    kind: Option<String>,
    /// A user who is meant; may be given several times.
    #[arg(long, value_name = "ID", conflicts_with = "group")]
    user: Vec<String>,
    /// A group whose owner is meant.
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// All members of the group are meant.
    #[arg(long, requires = "group")]
    members: bool,
    /// Its data: a JSON object.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Only devices of this app.
    #[arg(long)]
    app: Option<String>,
    /// Headline instead of the type's.
    #[arg(long)]
    title: Option<String>,
    /// Text instead of the type's.
    #[arg(long)]
    body: Option<String>,
    /// Its id: the same id is accepted once within an hour.
    #[arg(long)]
    id: Option<String>,
    /// The lane, where the type has none of its own; `system` by default.
    #[arg(long)]
    lane: Option<String>,
}

/// Sends; prints the ids of what stands in the queue now, one per line. Answers whether it was accepted.
///
/// # Errors
/// The arguments or the configuration cannot be used.
pub async fn run(options: &Options) -> anyhow::Result<bool> {
    let events = events(options)?;
    let config = Config::load(&options.config)?;
    let settings = Settings { brake: config.intake.brake, ..Settings::default() };
    let intake = intake::build(&config, settings, wiring::queue(&config)?, Arc::new(SystemClock::default()), None)?;
    let (caller, lane) = (Caller::local("homing send"), options.lane.as_deref());
    let sent = match events {
        Value::List(all) => intake.send_all(&caller, all, lane).await,
        event => intake.send(&caller, event, lane).await,
    };
    match sent {
        Ok(accepted) => {
            if accepted.replayed {
                eprintln!("homing: accepted before, and not again");
            }
            accepted.ids.iter().for_each(|id| println!("{id}"));
            Ok(true)
        }
        Err(refusal) => {
            for fault in &refusal.faults {
                eprintln!("homing: event {}: {}: {}", fault.index.unwrap_or(0), fault.field, fault.message);
            }
            if refusal.faults.is_empty() {
                eprintln!("homing: {refusal}");
            }
            refusal.accepted.iter().for_each(|id| println!("{id}"));
            Ok(false)
        }
    }
}

/// The event that the arguments mean, or the list of a file.
fn events(options: &Options) -> anyhow::Result<Value> {
    let mut event = match &options.json {
        None => Value::Map(Vec::new()),
        Some(path) => read(path)?,
    };
    let over = arguments(options)?;
    match &mut event {
        Value::Map(fields) => {
            fields.retain(|(key, _)| !over.iter().any(|(own, _)| own == key));
            fields.extend(over);
        }
        Value::List(_) if over.is_empty() => {}
        _ => bail!("--json: the other arguments need an event to lie over, and this is not one"),
    }
    Ok(event)
}

fn arguments(options: &Options) -> anyhow::Result<Vec<(Key, Value)>> {
    let text = |text: &str| Value::from(text);
    let mut fields = Vec::new();
    let named = [
        ("type", &options.kind),
        ("id", &options.id),
        ("app", &options.app),
        ("title", &options.title),
        ("body", &options.body),
    ];
    fields.extend(named.into_iter().filter_map(|(name, given)| Some((Key::from(name), text(given.as_deref()?)))));
    let users = || Value::List(options.user.iter().map(|user| text(user)).collect());
    let to = match (options.user.as_slice(), &options.group) {
        ([], None) => None,
        ([user], _) => Some(vec![(Key::from("user"), text(user))]),
        ([], Some(group)) => {
            let members = options.members.then_some((Key::from("members"), Value::Bool(true)));
            Some([(Key::from("group"), text(group))].into_iter().chain(members).collect())
        }
        _ => Some(vec![(Key::from("users"), users())]),
    };
    fields.extend(to.map(|to| (Key::from("to"), Value::Map(to))));
    if let Some(data) = &options.data {
        fields.push((Key::from("data"), decode(data.as_bytes(), Codec::Json).context("--data")?));
    }
    Ok(fields)
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    let limit = MAX_INPUT as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("--json {}", path.display()))?;
    decode(&bytes, Codec::Json).with_context(|| format!("--json {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn json(arguments: &[&str]) -> Result<serde_json::Value, String> {
        let line = Line::try_parse_from(["send"].iter().chain(arguments)).map_err(|e| e.to_string())?;
        events(&line.options).map(|event| event.to_json()).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn arguments_become_an_event() {
        let event = json(&["--type", "7", "--user", "42", "--data", r#"{"order":1}"#, "--id", "m"]).unwrap();
        let expected = serde_json::json!({"type": "7", "to": {"user": "42"}, "data": {"order": 1}, "id": "m"});
        assert_eq!(event, expected);
        let event = json(&["--type", "SENT", "--user", "1", "--user", "2", "--title", "t"]).unwrap();
        assert_eq!(event, serde_json::json!({"type": "SENT", "to": {"users": ["1", "2"]}, "title": "t"}));
        let event = json(&["--type", "SENT", "--group", "9", "--members"]).unwrap();
        assert_eq!(event["to"], serde_json::json!({"group": "9", "members": true}));
        assert!(json(&["--user", "1"]).unwrap_err().contains("--type"));
        let error = json(&["--type", "1", "--data", "{x"]).unwrap_err();
        assert!(error.starts_with("--data: json: ") && error.contains("at byte"), "{error}");
    }

    #[test]
    fn arguments_lie_over_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("event.json");
        std::fs::write(&path, r#"{"type":7,"to":{"user":"1"},"id":"a"}"#).unwrap();
        let file = path.to_str().unwrap();
        let event = json(&["--json", file, "--user", "2"]).unwrap();
        assert_eq!(event, serde_json::json!({"type": 7, "to": {"user": "2"}, "id": "a"}));
        std::fs::write(&path, "[{}, {}]").unwrap();
        assert_eq!(json(&["--json", file]).unwrap(), serde_json::json!([{}, {}]));
        assert!(json(&["--json", file, "--id", "x"]).unwrap_err().contains("need an event"));
        assert!(json(&["--json", "/nowhere"]).unwrap_err().starts_with("--json /nowhere: "));
    }
}
