//! One multiplexed connection, opened when it is first needed and thrown away when it failed or fell silent: the next
//! call opens another. Within its time a call opens as many as it can.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::script::Script;

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// Hears what the server says unasked, among it that the connection ended.
pub(super) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// A script, by a command of it.
    Script(&'a Script, &'a Cmd),
    /// A command.
    Command(&'a Cmd),
    /// Several, answered by the last one's answer.
    Pipeline(&'a Pipeline),
}

/// See the module.
pub(super) struct Link {
    client: Client,
    timeout: Duration,
    /// With it, the server announces changes of keys that were read here.
    tracking: Option<OnPush>,
    /// The connection in use and its number.
    slot: Mutex<(u64, Option<MultiplexedConnection>)>,
    /// Held while connecting, so that a hundred callers open one connection.
    connecting: tokio::sync::Mutex<()>,
}

impl Link {
    pub(super) fn new(client: Client, timeout: Duration, tracking: Option<OnPush>) -> Self {
        let (slot, connecting) = (Mutex::new((0, None)), tokio::sync::Mutex::new(()));
        Self { client, timeout, tracking, slot, connecting }
    }

    /// Asks again on another connection when one broke: for what may be done twice.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Value, Trouble> {
        self.run(ask, true).await
    }

    /// Asks once: an error may mean that it was done.
    pub(super) async fn ask_once(&self, ask: Ask<'_>) -> Result<Value, Trouble> {
        self.run(ask, false).await
    }

    async fn run(&self, ask: Ask<'_>, again: bool) -> Result<Value, Trouble> {
        let deadline = Instant::now() + self.timeout;
        let mut last = None;
        loop {
            let (error, asked) = match timeout_at(deadline, self.connection()).await {
                Err(_) => return Err(Trouble::Silent { timeout: self.timeout, last }),
                Ok(Err(error)) => (error, false),
                Ok(Ok((number, mut connection))) => match timeout_at(deadline, ask.on(&mut connection)).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => {
                        if is_broken(&error) {
                            self.close(number);
                        }
                        (error, true)
                    }
                    Err(_) => {
                        self.close(number);
                        return Err(Trouble::Silent { timeout: self.timeout, last });
                    }
                },
            };
            if !is_broken(&error) || (asked && !again) {
                return Err(Trouble::of(error));
            }
            last = Some(error.to_string());
            if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
                return Err(Trouble::Silent { timeout: self.timeout, last });
            }
        }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let _only_one = self.connecting.lock().await;
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let connection = connect(&self.client, self.timeout, self.tracking.clone()).await?;
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.0 += 1;
        slot.1 = Some(connection.clone());
        Ok((slot.0, connection))
    }

    fn open(&self) -> Option<(u64, MultiplexedConnection)> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        Some((slot.0, slot.1.clone()?))
    }

    /// Closes the connection of this number, and no newer one.
    fn close(&self, number: u64) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.0 == number {
            slot.1 = None;
        }
    }
}

impl Ask<'_> {
    async fn on(self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        match self {
            Self::Script(script, cmd) => script.run(cmd, connection).await,
            Self::Command(cmd) => connection.req_packed_command(cmd).await.and_then(Value::extract_error),
            Self::Pipeline(pipe) => {
                let mut answers: Vec<Value> = pipe.query_async(connection).await?;
                Ok(answers.pop().unwrap_or(Value::Nil))
            }
        }
    }
}

/// Opens a connection; with ears for what the server says unasked, changes of keys are announced, too.
async fn connect(client: &Client, timeout: Duration, tracking: Option<OnPush>) -> RedisResult<MultiplexedConnection> {
    // Response timeout off: `run` watches the clock, and has to know, so that it can close.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(None);
    let Some(on_push) = tracking else {
        return client.get_multiplexed_async_connection_with_config(&config).await;
    };
    let mut open = client.get_multiplexed_async_connection_with_config(&with_ears(config, on_push)).await?;
    let mut cmd = redis::cmd("CLIENT");
    cmd.arg("TRACKING").arg("ON").arg("NOLOOP");
    open.req_packed_command(&cmd).await.and_then(Value::extract_error)?;
    Ok(open)
}

/// A connection whose unasked words go to `on_push`.
pub(super) fn with_ears(config: AsyncConnectionConfig, on_push: OnPush) -> AsyncConnectionConfig {
    config.set_push_sender(move |push: PushInfo| -> Result<(), std::convert::Infallible> {
        on_push(push);
        Ok(())
    })
}

/// Everything but an error that the server answered leaves the connection in doubt.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no answer within {timeout:?}{}", last.as_ref().map(|last| format!("; last: {last}")).unwrap_or_default())]
    Silent { timeout: Duration, last: Option<String> },
    #[error("the server is full (maxmemory), it takes nothing more: {0}")]
    Full(RedisError),
    #[error(transparent)]
    Driver(RedisError),
}

impl Trouble {
    fn of(error: RedisError) -> Self {
        let is_full = error.code() == Some("OOM") || error.detail().is_some_and(|text| text.contains("OOM command"));
        if is_full { Self::Full(error) } else { Self::Driver(error) }
    }
}
