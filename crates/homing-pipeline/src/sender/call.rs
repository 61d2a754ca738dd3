//! One attempt against the provider, and what it means for the directory: a token that is dead, a user whose data is to
//! go with the last message.

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt, stream};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    lookup::{Death, Lookup},
    notification::Target,
};
use tracing::warn;

use super::desk::Job;
use crate::meter;

/// So many dead tokens of a page are taken out at once.
const FORGETTING: usize = 16;

/// A call that is to be made.
pub(super) struct Call {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) tokens: Option<Arc<dyn Lookup>>,
    pub(super) job: Job,
}

/// A call that was made.
pub(super) struct Finished {
    pub(super) job: Job,
    /// One per open target of the job, in their order.
    pub(super) answers: Vec<Settled>,
}

/// The answer for one target, and whether its token was taken out of the directory.
pub(super) struct Settled {
    pub(super) answer: Answer,
    pub(super) removed: bool,
}

impl Call {
    pub(super) async fn make(self) -> Finished {
        let notification = &self.job.notification;
        let mut answers = Vec::with_capacity(notification.targets.len());
        for page in notification.targets.chunks(self.channel.page().max(1)) {
            let mut got = if self.job.rehearsal {
                self.channel.rehearse(notification, page).await
            } else {
                let began = Instant::now();
                let got = self.channel.send(notification, page).await;
                meter::call_took(self.channel.name(), began.elapsed().as_secs_f64());
                got
            };
            // A channel that answers for fewer than it was asked leaves the rest unknown.
            let missing = || Answer { outcome: Outcome::Ambiguous, detail: "the channel gave no answer".to_owned() };
            got.resize_with(page.len(), missing);
            if self.job.rehearsal {
                // The directory is the real traffic's: a rehearsal removes nothing.
                answers.extend(got.into_iter().map(|answer| Settled { answer, removed: false }));
                continue;
            }
            let of = |outcome: &str| got.iter().filter(|answer| answer.outcome.name() == outcome).count();
            let mut named: Vec<&'static str> = Vec::new();
            for outcome in got.iter().map(|answer| answer.outcome.name()) {
                if !named.contains(&outcome) {
                    named.push(outcome);
                    let (app, platform) = (&notification.app, notification.platform.name());
                    meter::pushed(self.channel.name(), app, platform, outcome, of(outcome));
                }
            }
            let owned: Vec<(Answer, Target)> = got.into_iter().zip(page.iter().cloned()).collect();
            let call = &self;
            let settled = stream::iter(owned).map(|(answer, target)| async move {
                let removed = match answer.outcome {
                    Outcome::TokenInvalid { since } => {
                        let death =
                            Death { channel: call.channel.name().to_owned(), why: answer.detail.clone(), since };
                        call.forget(&target, &death).await
                    }
                    Outcome::Delivered { .. } if target.clean => {
                        call.clean(&target).await;
                        false
                    }
                    _ => false,
                };
                Settled { answer, removed }
            });
            // A page may have many dead tokens: the store is not asked one by one.
            answers.extend(settled.buffered(FORGETTING).collect::<Vec<_>>().await);
        }
        Finished { job: self.job, answers }
    }

    /// A store that is down leaves the token where it is: the next push to it finds it dead again.
    async fn forget(&self, target: &Target, death: &Death) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        match tokens.forget(&target.user, &target.token, death).await {
            Ok(removed) => {
                if removed {
                    meter::token_removed(self.channel.name());
                }
                removed
            }
            Err(error) => {
                warn!(user = target.user, %error, "A dead token could not be removed.");
                false
            }
        }
    }

    /// As [`forget`](Call::forget): what is still there when the store is down stays until the next such message.
    async fn clean(&self, target: &Target) {
        let Some(tokens) = self.tokens.as_ref().filter(|_| !target.user.is_empty()) else { return };
        match tokens.clean(&target.user).await {
            Ok(true) => meter::user_cleaned(self.channel.name()),
            Ok(false) => {}
            Err(error) => warn!(user = target.user, %error, "A user's data could not be removed."),
        }
    }
}
