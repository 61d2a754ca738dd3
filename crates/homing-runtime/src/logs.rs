//! The log: one line per event to stderr, as text for people or as JSON for collectors.

use std::{
    io::{self, IsTerminal},
    panic::{PanicHookInfo, set_hook},
};

use serde::Deserialize;
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt};

use crate::{Error, Result};

/// Section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How a line looks.
    pub format: Format,
    /// What is logged: a level, or levels per module such as `homing_queue=debug,info`. `RUST_LOG` overrides it.
    pub filter: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".to_owned() }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object per line, the event's fields at its top level.
    Json,
}

/// Sets up the log of the process. It can be done once; panics are logged from then on, too.
pub fn init(settings: &Settings) -> Result<()> {
    let filter = filter(settings, std::env::var("RUST_LOG").ok())?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    subscriber(settings.format, filter, colour, io::stderr).try_init().map_err(Error::Log)?;
    set_hook(Box::new(log_panic));
    Ok(())
}

fn filter(settings: &Settings, rust_log: Option<String>) -> Result<EnvFilter> {
    let rust_log = rust_log.filter(|text| !text.is_empty()).map(|text| ("RUST_LOG", text));
    let (origin, filter) = rust_log.unwrap_or_else(|| ("log.filter", settings.filter.clone()));
    EnvFilter::builder().parse(&filter).map_err(|source| Error::LogFilter { origin, filter, source })
}

fn subscriber<W>(format: Format, filter: EnvFilter, colour: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer);
    match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// A panic as one line of the log, so that collectors see it and the supervisor's message has a place to point to.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "A task panicked: {}.", panic_text(info.payload()));
}

/// The message of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[track_caller]
    fn logged(format: Format, settings: &str, rust_log: Option<&str>) -> String {
        let settings = Settings { filter: settings.to_owned(), ..Settings::default() };
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = filter(&settings, rust_log.map(str::to_owned)).unwrap();
        let subscriber = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shard = 3, "Took over.");
            tracing::debug!("Peeked.");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// One test, because a log line that is reached for the first time while another thread sets up its log may be lost.
    #[test]
    fn lines_have_the_format_and_the_level_that_are_asked_for() {
        let line = logged(Format::Text, "info", None);
        assert!(line.ends_with(" INFO homing_runtime::logs::tests: Took over. shard=3\n"), "{line:?}");

        let line: serde_json::Value = serde_json::from_str(&logged(Format::Json, "info", None)).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["shard"]),
            (&"INFO".into(), &"Took over.".into(), &3.into())
        );

        assert_eq!(logged(Format::Text, "info", Some("debug")).lines().count(), 2, "RUST_LOG overrides");
        assert_eq!(logged(Format::Text, "debug", Some("error")).lines().count(), 0, "RUST_LOG overrides");
        assert_eq!(logged(Format::Text, "debug", Some("")).lines().count(), 2, "an empty one does not");
    }

    #[test]
    fn a_bad_filter_names_its_origin() {
        let settings = Settings { filter: "homing=loud".to_owned(), ..Settings::default() };
        let error = crate::with_causes(&filter(&settings, None).unwrap_err());
        let sentence = " = \"homing=loud\" is not a filter of the log, such as info or homing_queue=debug,info: ";
        assert!(error.starts_with(&format!("log.filter{sentence}")), "{error}");
        let error = crate::with_causes(&filter(&Settings::default(), Some("homing=loud".to_owned())).unwrap_err());
        assert!(error.starts_with(&format!("RUST_LOG{sentence}")), "{error}");
    }
}
