//! Looks after the credentials of the channels: tries each, and tells when it ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use homing_core::{
    channel::{Channel, Credential, Health},
    clock::Clock,
};
use metrics::gauge;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// One provider's examination may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Senders look for the first time after this long: one that is started again and again is no burden to the provider.
const FIRST: Duration = Duration::from_secs(30);

/// Senders look again after this long.
const ROUND: Duration = Duration::from_secs(3_600);

/// Who is to be warned of an end within this time.
const SOON: i64 = 30 * 86_400_000;

/// Tries every credential of these channels, all providers at once. One that does not answer in time is unknown.
pub async fn examine(channels: &BTreeMap<String, Arc<dyn Channel>>) -> Vec<Credential> {
    let each = channels.iter().map(|(name, channel)| async move {
        timeout(PATIENCE, channel.examine()).await.unwrap_or_else(|_| {
            vec![Credential {
                account: format!("channel.{name}"),
                health: Health::Unknown,
                detail: format!("no answer within {} s", PATIENCE.as_secs()),
                expires_at: None,
            }]
        })
    });
    join_all(each).await.into_iter().flatten().collect()
}

/// `in 12 days`, `ended 3 hours ago`; `None` where it has no end.
pub fn end(credential: &Credential, now: i64) -> Option<String> {
    let left = credential.expires_at? - now;
    let (days, hours) = (left.abs() / 86_400_000, left.abs() / 3_600_000);
    let span = if days > 1 { format!("{days} days") } else { format!("{hours} hours") };
    Some(if left > 0 { format!("ends in {span}") } else { format!("ended {span} ago") })
}

/// Does it end soon?
pub fn ends_soon(credential: &Credential, now: i64) -> bool {
    credential.expires_at.is_some_and(|at| at - now < SOON)
}

/// Examines soon and then every hour, for metrics and the log, until told to stop.
pub async fn watch(channels: BTreeMap<String, Arc<dyn Channel>>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(FIRST) => {}
        () = stop.cancelled() => return,
    }
    loop {
        for credential in tokio::select! {
            found = examine(&channels) => found,
            () = stop.cancelled() => return,
        } {
            tell(&credential, clock.now());
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn tell(credential: &Credential, now: i64) {
    let Credential { account, health, detail, expires_at } = credential;
    if let Some(at) = expires_at {
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        gauge!("homing_credential_expiry_seconds", "account" => account.clone()).set((at - now) as f64 / 1_000.0);
    }
    let works = f64::from(u8::from(matches!(health, Health::Good | Health::Doubtful)));
    if *health != Health::Unknown {
        gauge!("homing_credential_works", "account" => account.clone()).set(works);
    }
    let ends = end(credential, now).unwrap_or_default();
    match health {
        Health::Good if ends_soon(credential, now) => warn!(account, detail, ends, "A credential ends soon."),
        Health::Good => info!(account, detail, ends, "A credential works."),
        Health::Unknown => info!(account, detail, "A credential could not be tried."),
        Health::Doubtful => warn!(account, detail, ends, "A credential is doubtful."),
        Health::Refused => warn!(account, detail, ends, "A credential is refused: its messages wait."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        let at = |expires_at| Credential {
            account: "channel.apns.account.a".into(),
            health: Health::Good,
            detail: String::new(),
            expires_at,
        };
        assert_eq!(end(&at(None), 0), None);
        assert_eq!(end(&at(Some(40 * 86_400_000)), 0).as_deref(), Some("ends in 40 days"));
        assert_eq!(end(&at(Some(0)), 7_200_000).as_deref(), Some("ended 2 hours ago"));
        assert!(ends_soon(&at(Some(86_400_000)), 0) && !ends_soon(&at(Some(40 * 86_400_000)), 0));
    }
}
