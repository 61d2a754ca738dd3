//! A way for fault tests to make a daemon die between two steps: `HOMING_DIE_AT=committed:3` aborts the process the
//! third time that a worker has committed. Unset, nothing listens.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, bail};
use homing_core::steps::{Step, Steps, Undisturbed};

struct DieAt {
    step: Step,
    left: AtomicU64,
}

impl Steps for DieAt {
    fn at(&self, step: Step) {
        if step == self.step && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            eprintln!("HOMING_DIE_AT: dies at step {}", step.name());
            std::process::abort();
        }
    }
}

/// What the environment asks for.
///
/// # Errors
/// The variable is not `STEP:COUNT`, or names no step.
pub fn from_env() -> anyhow::Result<Arc<dyn Steps>> {
    let Ok(wish) = std::env::var("HOMING_DIE_AT") else { return Ok(Arc::new(Undisturbed)) };
    let (step, count) = wish.split_once(':').unwrap_or((&wish, "1"));
    let names = Step::ALL.map(Step::name).join(", ");
    let Some(step) = Step::named(step) else { bail!("HOMING_DIE_AT: `{step}` is none of {names}") };
    let left: u64 = count.parse().with_context(|| format!("HOMING_DIE_AT: `{count}` is not a count"))?;
    Ok(Arc::new(DieAt { step, left: AtomicU64::new(left.max(1)) }))
}
