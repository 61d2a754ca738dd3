//! What follows from a provider's answer. Pure: times and randomness are handed in.

use homing_core::{
    channel::{Outcome, Scope},
    clock::Millis,
    record::Fate,
};

use super::{Options, call::Settled, desk::Job};

/// What becomes of one target.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It has an end.
    End(Fate),
    /// It is tried again at a time; `counts` = this try counts against the bound of attempts.
    Again { due: Millis, counts: bool, corrected: bool },
    /// It waits until its app works again; for how long the app is paused, the desk decides.
    Park,
}

/// Decides for one target of a job. `onward` is the next channel that the device can be reached by, if there is one.
pub(super) fn settle(
    job: &Job,
    settled: &Settled,
    onward: Option<&str>,
    options: &Options,
    now: Millis,
    random: f64,
) -> Verdict {
    // One try, whatever came of it: a rehearsal is never in the way of anything.
    if job.rehearsal {
        return Verdict::End(Fate::Rehearsed { outcome: settled.answer.outcome.name().to_owned() });
    }
    let tries = job.tries + 1;
    let again = |floor: Option<Millis>, counts: bool| {
        let due = now.saturating_add(options.backoff.wait(tries, random, floor));
        // A try after the end would wake nobody in time: the end is now, with the last answer as its reason.
        if due >= job.notification.expires_at {
            Verdict::End(Fate::Expired)
        } else {
            Verdict::Again { due, counts, corrected: job.corrected }
        }
    };
    match &settled.answer.outcome {
        Outcome::Delivered { provider_id } => Verdict::End(Fate::Delivered { provider_id: provider_id.clone() }),
        Outcome::TokenInvalid { .. } => Verdict::End(Fate::BadToken { removed: settled.removed }),
        Outcome::NoDevice => Verdict::End(Fate::NoDevice),
        Outcome::Payload => Verdict::End(dead("payload")),
        Outcome::RateLimited { after, scope: Scope::Token } => again(*after, false),
        Outcome::Config => onward.map_or(Verdict::Park, |channel| {
            let channel = channel.to_owned();
            Verdict::End(Fate::Rerouted { channel })
        }),
        Outcome::RateLimited { .. } => Verdict::Park,
        Outcome::Retry { after } => again(*after, false),
        Outcome::Corrected if job.corrected => again(None, true),
        Outcome::Corrected => Verdict::Again { due: now, counts: false, corrected: true },
        Outcome::Ambiguous if job.notification.at_most_once => Verdict::End(dead("ambiguous")),
        Outcome::Ambiguous if job.attempts + 1 >= options.attempts => Verdict::End(dead("ambiguous")),
        Outcome::Unknown if job.attempts + 1 >= options.attempts => Verdict::End(dead("unknown")),
        Outcome::Ambiguous | Outcome::Unknown => again(None, true),
    }
}

fn dead(why: &str) -> Fate {
    Fate::Dead { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use homing_core::{
        channel::Answer,
        notification::{Notification, Platform, Target},
        queue::Log,
    };

    use super::*;

    const NOW: Millis = 1_000_000;

    fn job(change: impl FnOnce(&mut Job, &mut Notification)) -> Job {
        let mut notification = Notification {
            id: "m".into(),
            kind: 7,
            app: "higo".into(),
            platform: Platform::Ios,
            title: String::new(),
            body: String::new(),
            custom: serde_json::Map::new(),
            created_at: 0,
            expires_at: NOW + 86_400_000,
            at_most_once: false,
            targets: vec![Target::new("1", "t")],
            ..Notification::default()
        };
        let mut job = Job {
            log: Log::MAIN,
            seq: 0,
            route: Arc::from("higo-ios"),
            rehearsal: false,
            notification: Arc::new(notification.clone()),
            attempts: 0,
            tries: 0,
            corrected: false,
            first_at: 0,
        };
        change(&mut job, &mut notification);
        job.notification = Arc::new(notification);
        job
    }

    #[track_caller]
    fn check(job: &Job, outcome: Outcome, expected: Verdict) {
        let settled = Settled { answer: Answer { outcome, detail: String::new() }, removed: true };
        assert_eq!(settle(job, &settled, None, &Options::default(), NOW, 1.0), expected);
    }

    const ALL: [Outcome; 12] = [
        Outcome::Delivered { provider_id: None },
        Outcome::DEAD,
        Outcome::NoDevice,
        Outcome::Payload,
        Outcome::Config,
        Outcome::RateLimited { after: None, scope: Scope::App },
        Outcome::RateLimited { after: Some(5_000), scope: Scope::Token },
        Outcome::Retry { after: None },
        Outcome::Corrected,
        Outcome::Ambiguous,
        Outcome::Unknown,
        Outcome::TokenInvalid { since: Some(1) },
    ];

    fn again(wait: Millis, counts: bool) -> Verdict {
        Verdict::Again { due: NOW + wait, counts, corrected: false }
    }

    #[test]
    fn every_outcome_has_its_consequence() {
        let fresh = job(|_, _| {});
        check(&fresh, Outcome::Delivered { provider_id: None }, Verdict::End(Fate::Delivered { provider_id: None }));
        check(&fresh, Outcome::DEAD, Verdict::End(Fate::BadToken { removed: true }));
        check(&fresh, Outcome::NoDevice, Verdict::End(Fate::NoDevice));
        check(&fresh, Outcome::Payload, Verdict::End(dead("payload")));
        check(&fresh, Outcome::Config, Verdict::Park);
        check(&fresh, Outcome::limited(None), Verdict::Park);
        check(&fresh, Outcome::limited(Some(5_000)), Verdict::Park);
        check(&fresh, Outcome::Retry { after: None }, again(1_000, false));
        check(&fresh, Outcome::Retry { after: Some(9_000) }, again(10_000, false));
        check(&fresh, Outcome::Corrected, Verdict::Again { due: NOW, counts: false, corrected: true });
        check(&fresh, Outcome::Ambiguous, again(1_000, true));
        check(&fresh, Outcome::Unknown, again(1_000, true));
    }

    #[test]
    fn another_way_is_taken_from_refused_credentials_only() {
        let fresh = job(|_, _| {});
        let other: Vec<&str> = ALL
            .iter()
            .filter(|outcome| {
                let answer = Answer::new((*outcome).clone(), "");
                let settled = Settled { answer, removed: true };
                let with = settle(&fresh, &settled, Some("fcm"), &Options::default(), NOW, 1.0);
                with != settle(&fresh, &settled, None, &Options::default(), NOW, 1.0)
            })
            .map(Outcome::name)
            .collect();
        assert_eq!(other, ["config"], "of a dead token the end is the same; the desk hands it on");
        let settled = Settled { answer: Answer::new(Outcome::Config, ""), removed: false };
        let verdict = settle(&fresh, &settled, Some("fcm"), &Options::default(), NOW, 1.0);
        assert_eq!(verdict, Verdict::End(Fate::Rerouted { channel: "fcm".into() }));
    }

    #[test]
    fn a_rehearsal_ends_with_its_first_answer() {
        let tried = job(|j, n| {
            j.rehearsal = true;
            n.at_most_once = true;
            n.expires_at = NOW - 1;
        });
        for outcome in ALL {
            let rehearsed = Fate::Rehearsed { outcome: outcome.name().to_owned() };
            check(&tried, outcome, Verdict::End(rehearsed));
        }
    }

    #[test]
    fn a_device_that_gets_too_much_waits_alone() {
        let fresh = job(|_, _| {});
        check(&fresh, Outcome::RateLimited { after: Some(5_000), scope: Scope::Token }, again(6_000, false));
    }

    #[test]
    fn attempts_bound_only_what_is_ambiguous_or_unknown() {
        let tired = job(|j, _| (j.attempts, j.tries) = (4, 400));
        check(&tired, Outcome::Ambiguous, Verdict::End(dead("ambiguous")));
        check(&tired, Outcome::Unknown, Verdict::End(dead("unknown")));
        check(&tired, Outcome::Retry { after: None }, again(300_000, false));
    }

    #[test]
    fn a_type_may_prefer_silence_to_a_repeat() {
        let once = job(|_, n| n.at_most_once = true);
        check(&once, Outcome::Ambiguous, Verdict::End(dead("ambiguous")));
    }

    #[test]
    fn a_correction_is_free_once() {
        let corrected = job(|j, _| j.corrected = true);
        check(&corrected, Outcome::Corrected, Verdict::Again { due: NOW + 1_000, counts: true, corrected: true });
    }

    #[test]
    fn nothing_is_tried_after_its_end() {
        let late = job(|_, n| n.expires_at = NOW + 500);
        check(&late, Outcome::Retry { after: None }, Verdict::End(Fate::Expired));
    }
}
