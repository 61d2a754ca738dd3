//! Commands of the conductor.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use super::{Client, Fleet, Opening, Waiting, connection::Connection};
use crate::{
    mark,
    poller::EventFlags,
    talk::{Answer, Command, STALLERS},
    token::Mint,
};

/// Writes an answer.
pub(crate) fn answer(answer: &Answer) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

impl Client {
    /// Reads what stands in standard input; false at its end.
    pub(crate) fn commands(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 4096];
        let length = rustix::io::read(rustix::stdio::stdin(), &mut buffer)?;
        if length == 0 {
            return Ok(false);
        }
        self.line.extend_from_slice(&buffer[..length]);
        while let Some(end) = memchr::memchr(b'\n', &self.line) {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            if let Err(error) = serde_json::from_slice(&line).map_err(Into::into).and_then(|c| self.command(c)) {
                answer(&Answer::Failed(format!("{error:#}")))?;
            }
        }
        Ok(true)
    }

    fn command(&mut self, command: Command) -> anyhow::Result<()> {
        self.progress = Instant::now();
        match command {
            Command::Open { server, source, speech, first, count, in_flight, secret, group } => {
                let mint = Mint::new(&secret, mark::wall() + 86_400);
                let start = self.connections.len();
                self.connections.extend((first..first + count).map(|user| Connection::new(user, group)));
                let mut next: Vec<(usize, String)> = (start..)
                    .zip(first..first + count)
                    .map(|(index, user)| (index, speech.path(user, &mint.token(user), None)))
                    .collect();
                next.reverse();
                self.fleet = Some(Fleet { server, source, speech, mint });
                let began = Instant::now();
                self.opening =
                    Some(Opening { next, under_way: 0, in_flight, opened: 0, failed: 0, why: Vec::new(), began });
                return Ok(());
            }
            Command::Hear { messages, patience } => {
                self.waiting = Some(Waiting::Hear { messages, patience });
                return Ok(());
            }
            Command::Check { first, last, patience, most } => {
                let until = Instant::now() + Duration::from_millis(most);
                self.waiting = Some(Waiting::Check { first, last, patience, until });
                return Ok(());
            }
            Command::Stall(stall) => self.stall(stall)?,
            Command::Close => {
                for connection in &self.connections {
                    if let Some(socket) = &connection.socket {
                        // Gone at once, without TIME_WAIT: the next server's clients want the ports.
                        rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
                    }
                }
                self.connections.clear();
                self.micros.clear();
                self.closed.clear();
                self.stallers_closed.clear();
                self.fleet = None;
            }
        }
        answer(&Answer::Done)
    }

    fn stall(&mut self, stall: bool) -> anyhow::Result<()> {
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let Some(socket) = connection.socket.as_ref().filter(|_| connection.group == STALLERS) else { continue };
            if stall && !connection.stalled {
                self.poller.remove(socket)?;
            } else if !stall && connection.stalled {
                self.poller.add(socket, index as u64, EventFlags::IN)?;
            }
            connection.stalled = stall;
        }
        Ok(())
    }
}
