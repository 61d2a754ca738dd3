//! A shard's own connection: reopened when it broke, with change announcements switched on again.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::sync::Notify;

use super::script::Script;

/// See the module.
pub(crate) struct Link {
    client: Client,
    timeout: Duration,
    wake: Arc<Notify>,
    open: Option<MultiplexedConnection>,
}

impl Link {
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, wake: Arc::new(Notify::new()), open: None }
    }

    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Runs a script. After any error of the connection the next call opens a new one: an answer that comes late must
    /// not be taken for the next call's.
    pub(crate) async fn run(&mut self, script: &Script, cmd: &Cmd) -> RedisResult<Value> {
        let mut connection = self.connection().await?;
        let answer = script.run(cmd, &mut connection).await;
        if answer.as_ref().is_err_and(is_broken) {
            self.open = None;
        }
        answer
    }

    /// Runs a plain command.
    pub(crate) async fn ask(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let mut connection = self.connection().await?;
        let answer = connection.req_packed_command(cmd).await.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(is_broken) {
            self.open = None;
        }
        answer
    }

    async fn connection(&mut self) -> RedisResult<MultiplexedConnection> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let wake = Arc::clone(&self.wake);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout))
            .set_push_sender(move |push: PushInfo| -> Result<(), std::convert::Infallible> {
                if matches!(push.kind, PushKind::Invalidate | PushKind::Disconnection) {
                    wake.notify_one();
                }
                Ok(())
            });
        let mut open = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
        open.req_packed_command(&tracking).await.and_then(Value::extract_error)?;
        // What changed while there was no connection was not announced.
        self.wake.notify_one();
        self.open = Some(open.clone());
        Ok(open)
    }
}

/// Everything but an error that the server answered leaves the connection in doubt.
fn is_broken(error: &redis::RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || error.is_unrecoverable_error()
}
