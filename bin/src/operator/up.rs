//! `homing up`: every worker of an installation, and its intake, in one process; with `--observe` none of them, only a
//! look.

use std::{process::ExitCode, sync::Arc};

use clap::Args;

use crate::{
    daemon::{self, Common, Extra},
    doctor, gateway, intake,
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
        let look: Box<Extra> = Box::new(move |config, stores, kit| {
            Box::pin(async move { observe::run(&config, &stores, &kit, json).await })
        });
        return daemon::run(daemon::OBSERVE, &options.common, &|_, _, _| Ok(Vec::new()), Some(look));
    }
    let all = Scope::default();
    let wire: Box<daemon::Wire> = Box::new(move |config, stores, kit| {
        let mut workers = wiring::distributors(config, stores, &all, kit)?;
        let channels = wiring::channels(config, &all, &kit.cx.clock, kit.live.as_ref())?;
        workers.extend(wiring::senders(config, stores, &all, &channels, kit)?);
        workers.extend(wiring::scanners(config, stores, None, &kit.cx)?);
        if intake::Section::has_work(config) {
            intake::check(config, stores, &kit.cx)?;
        }
        if config.gateway.is_some() {
            gateway::check(config, kit)?;
        }
        Ok(workers)
    });
    let listen: Box<Extra> = Box::new(|config, stores, kit| {
        Box::pin(async move {
            let channels = wiring::channels(&config, &Scope::default(), &kit.cx.clock, kit.live.as_ref())?;
            let watch = doctor::watch(channels, Arc::clone(&kit.cx.clock), kit.cx.stop.clone());
            let intake = async {
                match intake::Section::has_work(&config) {
                    true => Box::pin(intake::serve(&config, &stores, &kit.cx)).await,
                    false => Ok(()),
                }
            };
            let gateway = async {
                match config.gateway.is_some() {
                    true => Box::pin(gateway::serve(&config, &kit, gateway::bind(&config)?, false)).await,
                    false => Ok(()),
                }
            };
            let watch = async {
                watch.await;
                kit.cx.stop.cancelled().await;
                Ok(())
            };
            tokio::try_join!(intake, gateway, watch).map(|_| ())
        })
    });
    daemon::run(daemon::ALL, &options.common, &wire, Some(listen))
}
