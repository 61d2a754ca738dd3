//! A load process, as its conductor sees it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdin, ChildStdout},
};

use anyhow::{Context as _, bail};
use homing_gateway_bench::talk::{Answer, Checked, Command};

use super::child::Child;

pub(crate) struct Load {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the readers of one or more load processes heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// Microseconds.
    pub(crate) micros: Vec<u32>,
    /// Sockets that the server closed.
    pub(crate) closed: u32,
}

impl Heard {
    /// The part `share` of the messages came within so many milliseconds.
    pub(crate) fn within(&mut self, share: f64) -> f64 {
        // Quick when it is sorted already.
        self.micros.sort_unstable();
        let place = ((self.micros.len() as f64 * share).ceil() as usize).saturating_sub(1);
        self.micros.get(place).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.closed += other.closed;
    }
}

impl Load {
    pub(crate) fn start(dir: &Path, cores: &str, number: usize) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("load");
        let program = program.to_str().context("path")?;
        let mut child = Child::start(dir, &format!("load{number}"), cores, &[program], true)?;
        let commands = child.process.stdin.take().context("stdin")?;
        let answers = BufReader::new(child.process.stdout.take().context("stdout")?);
        Ok(Self { child, commands, answers })
    }

    /// Gives a command; its answer is to be taken with [`Self::answer`].
    pub(crate) fn tell(&mut self, command: &Command) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        Ok(self.commands.write_all(&line)?)
    }

    pub(crate) fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("load has ended: {}", self.child.log()?);
        }
        match serde_json::from_str(&line)? {
            Answer::Failed(why) => bail!("load: {why}"),
            answer => Ok(answer),
        }
    }

    pub(crate) fn done(&mut self, command: &Command) -> anyhow::Result<()> {
        self.tell(command)?;
        match self.answer()? {
            Answer::Done => Ok(()),
            other => bail!("load answered {other:?}"),
        }
    }

    /// Takes the answer to [`Command::Open`]: seconds. Every connection must be there.
    pub(crate) fn opened(&mut self) -> anyhow::Result<f64> {
        match self.answer()? {
            Answer::Opened { failed: 0, seconds, .. } => Ok(seconds),
            Answer::Opened { opened, failed, why, .. } => {
                bail!("{failed} connections of {} were refused: {}", opened + failed, why.join("; "))
            }
            other => bail!("load answered {other:?}"),
        }
    }

    /// Takes the answer to [`Command::Hear`].
    pub(crate) fn heard(&mut self) -> anyhow::Result<Heard> {
        match self.answer()? {
            Answer::Heard { micros, closed } => Ok(Heard { micros, closed: closed.values().sum() }),
            other => bail!("load answered {other:?}"),
        }
    }

    /// Takes the answer to [`Command::Check`].
    pub(crate) fn checked(&mut self) -> anyhow::Result<Checked> {
        match self.answer()? {
            Answer::Checked(checked) => Ok(checked),
            other => bail!("load answered {other:?}"),
        }
    }
}
