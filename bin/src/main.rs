//! `homing`: the operator's tool.

#![allow(clippy::print_stdout, reason = "printing is what the operator's tool is for")]

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use homing::{
    config::Config,
    operator::{check, demo, ledger, simulate, trace},
    wiring,
};
use homing_runtime::block_on;

/// The operator's tool of Homing.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Files {
    /// Configuration file; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Says whether the configuration fits together and every server answers.
    Check {
        #[command(flatten)]
        files: Files,
        /// Look at the configuration only.
        #[arg(long)]
        offline: bool,
    },
    /// Shows what came in, what became of it, and whether the sums are right (exit code 1 if not).
    Ledger {
        #[command(flatten)]
        files: Files,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows everything on record about one message.
    Trace {
        /// The message's id.
        id: String,
        #[command(flatten)]
        files: Files,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stands in for a provider: strict checks, scripted faults, a memory of what was delivered.
    Simulate {
        #[command(subcommand)]
        provider: Provider,
    },
    /// Runs the whole path in one process, with sample users, and shows a push arriving.
    Demo(demo::Options),
}

#[derive(Subcommand)]
enum Provider {
    /// Xinge v2, with the apps of the configuration's accounts.
    Xinge {
        #[command(flatten)]
        files: Files,
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:7711")]
        listen: SocketAddr,
        /// How many deliveries to remember.
        #[arg(long, default_value_t = 200_000)]
        keep: usize,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Whoever installed one before us decided it.
    rustls::crypto::ring::default_provider().install_default().ok();
    block_on(async {
        match run(arguments.command).await {
            Ok(code) => code,
            Err(error) => {
                eprintln!("homing: {error:#}");
                ExitCode::from(64)
            }
        }
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let well = match command {
        Command::Check { files, offline } => check::check(&Config::load(&files.config)?, offline).await?,
        Command::Ledger { files, json } => {
            let config = Config::load(&files.config)?;
            let ledger = ledger::read(&config, &*wiring::queue(&config)?).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&ledger)?);
            } else {
                print!("{}", ledger::table(&ledger));
            }
            ledger.balanced
        }
        Command::Trace { id, files, json } => {
            let config = Config::load(&files.config)?;
            let trace = trace::read(&config, &*wiring::queue(&config)?, &id).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&trace)?);
            } else {
                print!("{}", trace::lines(&trace));
            }
            !trace.records.is_empty()
        }
        Command::Simulate { provider: Provider::Xinge { files, listen, keep } } => {
            simulate::xinge(&Config::load(&files.config)?, listen, keep).await?;
            true
        }
        Command::Demo(options) => return demo::run(&options).await,
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
