//! `homing up`: every worker of an installation, and its intake, in one process; with `--observe` none of them, only a
//! look.

use std::process::ExitCode;

use clap::Args;

use crate::{
    daemon::{self, Common, Extra},
    intake,
    operator::observe,
    wiring::{self, Scope},
};

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// Take nothing, write nothing, send nothing: watch the lists and chats of a live installation, and say what would
    /// be pushed to whom and why.
    #[arg(long)]
    observe: bool,
    /// With --observe: a JSON object per message.
    #[arg(long, requires = "observe")]
    json: bool,
}

/// Runs until it is told to stop.
pub fn run(options: &Options) -> ExitCode {
    if options.observe {
        let json = options.json;
        let look: Box<Extra> = Box::new(move |config, stores, cx| {
            Box::pin(async move { observe::run(&config, &stores, &cx, json).await })
        });
        return daemon::run("homing-observe", &options.common, &|_, _, _| Ok(Vec::new()), Some(look));
    }
    let all = Scope::default();
    let wire: Box<daemon::Wire> = Box::new(move |config, stores, cx| {
        let mut workers = wiring::distributors(config, stores, &all, cx)?;
        workers.extend(wiring::senders(config, stores, &all, cx)?);
        workers.extend(wiring::scanners(config, stores, None, cx)?);
        if config.intake.is_used() {
            intake::check(config, cx)?;
        }
        Ok(workers)
    });
    let listen: Box<Extra> = Box::new(|config, _, cx| {
        Box::pin(async move {
            if config.intake.is_used() {
                return intake::serve(&config, &cx).await;
            }
            cx.stop.cancelled().await;
            Ok(())
        })
    });
    daemon::run("homing", &options.common, &wire, Some(listen))
}
