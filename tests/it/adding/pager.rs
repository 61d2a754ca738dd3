//! A pager gateway: `PUT {base_url}/pages/{number}` with the text, 204 when it is on the air.

use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use homing_channels::{
    Result,
    kit::{Endpoint, exchange, section, story},
    registry::{Entry, Tools},
};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::Clock,
    notification::{Notification, Platform, Target},
};
use serde::Deserialize;

/// Its line in the registry.
pub(crate) const ENTRY: Entry = Entry { name: "pager", platforms: &[Platform::Android], page: 16, build };

/// `[channel.pager]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the gateway is.
    #[serde(default)]
    endpoint: Endpoint,
    /// Longest text, in characters.
    #[serde(default = "longest")]
    longest: usize,
}

fn longest() -> usize {
    80
}

struct Pager {
    client: reqwest::Client,
    base: String,
    longest: usize,
    clock: Arc<dyn Clock>,
}

fn build(table: &toml::Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    let settings: Settings = section("pager", table)?;
    let client =
        settings.endpoint.builder("channel.pager.endpoint")?.build().map_err(homing_channels::Error::Client)?;
    let base = settings.endpoint.base("https://pager.example");
    Ok(Arc::new(Pager { client, base, longest: settings.longest, clock: Arc::clone(&tools.clock) }))
}

impl Pager {
    async fn page_one(&self, notification: &Notification, number: &str) -> Answer {
        let text = format!("{} {}", notification.title, notification.body);
        if text.chars().count() > self.longest {
            return Answer::new(Outcome::Payload, format!("the text is longer than {} characters", self.longest));
        }
        if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
            return Answer::new(Outcome::DEAD, "that is no pager's number");
        }
        // The key makes a repeated page take the place of the first one.
        let url = format!("{}/pages/{number}?key={}", self.base, notification.key());
        let request = match self.client.put(url).body(text).build() {
            Ok(request) => request,
            Err(error) => return Answer::new(Outcome::Config, story(&error)),
        };
        match exchange(&self.client, request).await {
            Err(answer) => answer,
            Ok(reply) => {
                let after = reply.retry_after(self.clock.now());
                let outcome = match reply.status.as_u16() {
                    204 => Outcome::Delivered { provider_id: None },
                    404 => Outcome::DEAD,
                    401 | 403 => Outcome::Config,
                    429 => Outcome::limited(after),
                    500..=599 => Outcome::Retry { after },
                    _ => Outcome::Unknown,
                };
                Answer::new(outcome, format!("HTTP status {}", reply.status.as_u16()))
            }
        }
    }
}

impl Channel for Pager {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn page(&self) -> usize {
        ENTRY.page
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(join_all(targets.iter().map(|target| self.page_one(notification, &target.token))))
    }
}
