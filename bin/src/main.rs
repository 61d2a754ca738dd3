//! `homing`: the operator's tool.

#![allow(clippy::print_stdout, reason = "printing is what the operator's tool is for")]

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use homing::{
    config::Config,
    operator::{
        check, demo, exit_code, explain, import_agent, import_ini, ledger, migrate, resync, scan, send, simulate,
        sniff, trace, up,
    },
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
        /// Show the oldest item of this list instead, and what Homing makes of it.
        #[arg(long, value_name = "QUEUE", conflicts_with = "offline")]
        sniff: Option<String>,
    },
    /// Makes a configuration of HIGO's ini file: its servers, lists and accounts on the pattern of config/higo.toml.
    /// Secrets go into files of their own; what is not understood is named.
    ImportIni(import_ini::Options),
    /// Makes a configuration of the msgpack push agent's setting.py, config.json and certificates, on the pattern of
    /// config/agent.toml.
    ImportAgent(import_agent::Options),
    /// Shows what came in, what became of it, and whether the sums are right (exit code 1 if not).
    Ledger {
        #[command(flatten)]
        files: Files,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Moves devices from one provider to another, a step at a time.
    Migrate {
        #[command(subcommand)]
        command: migrate::Command,
    },
    /// Puts events into their entry lists, checked as the intake checks them, and prints their ids.
    Send(send::Options),
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
    /// Says why a user is told or not: every lookup with its key and raw answer, every rule, every device. With a
    /// message's id: its history too.
    Explain(explain::Options),
    /// Works on the numbered lists.
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Looks after the scanners of chats.
    Scan {
        #[command(subcommand)]
        command: ScanCommand,
    },
    /// Runs every worker of an installation in one process, or only looks on (--observe).
    Up(up::Options),
    /// Stands in for a provider: strict checks, scripted faults, a memory of what was delivered.
    Simulate(simulate::Options),
    /// Runs the whole path in one process, with sample users, and shows a push arriving.
    Demo(demo::Options),
}

#[derive(Subcommand)]
enum QueueCommand {
    /// Acknowledges that somebody else took from a list or put into its front: the list is taken as it stands. Stop the
    /// other consumer, and Homing's daemons of this list, first.
    Resync {
        /// The list: hg_message_queue.
        queue: String,
        #[command(flatten)]
        files: Files,
    },
}

#[derive(Subcommand)]
enum ScanCommand {
    /// Proves that no chat was skipped between two times (exit code 1 if one was), and takes in what was.
    Audit(scan::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Whoever installed one before us decided it.
    rustls::crypto::ring::default_provider().install_default().ok();
    // A daemon has a runtime of its own.
    if let Command::Up(options) = &arguments.command {
        return up::run(options);
    }
    block_on(async {
        match run(arguments.command).await {
            Ok(code) => code,
            Err(error) => {
                eprintln!("homing: {error:#}");
                ExitCode::from(exit_code(&error))
            }
        }
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let well = match command {
        Command::Check { files, sniff: Some(queue), .. } => sniff::sniff(&Config::load(&files.config)?, &queue).await?,
        Command::Check { files, offline, .. } => check::check(&Config::load(&files.config)?, offline).await?,
        Command::Scan { command: ScanCommand::Audit(options) } => scan::audit(&options).await?,
        Command::ImportIni(options) => {
            if let Err(error) = import_ini::run(&options) {
                eprintln!("homing: {error:#}");
                return Ok(ExitCode::FAILURE);
            }
            true
        }
        Command::ImportAgent(options) => {
            if let Err(error) = import_agent::run(&options) {
                eprintln!("homing: {error:#}");
                return Ok(ExitCode::FAILURE);
            }
            true
        }
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
        Command::Simulate(options) => {
            simulate::run(&options).await?;
            true
        }
        Command::Migrate { command } => migrate::run(&command).await?,
        Command::Send(options) => send::run(&options).await?,
        Command::Explain(options) => explain::run(&options).await?,
        Command::Queue { command: QueueCommand::Resync { queue, files } } => {
            resync::resync(&Config::load(&files.config)?, &queue).await?;
            true
        }
        Command::Up(_) => true,
        Command::Demo(options) => return demo::run(&options).await,
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
