//! Several statements in one session, which happen all or not at all.
//!
//! It reads what others have committed (READ COMMITTED, in MySQL too: no locks between rows) and locks what it writes. What
//! gets in its way ends it with [`Failure::Conflict`]; the caller does it all again.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{Encode, Executor, IntoArguments, Type};
use tokio::time::Instant;

use crate::config::Constant;
use crate::failure::Failure;
use crate::sql::pool::{Driver, Held, Pool};
use crate::sql::server::{Session, Table};

/// A transaction that has begun.
pub(super) struct Transaction<'a, D: Driver> {
    pool: &'a Pool<D>,
    held: Held<D>,
    deadline: Instant,
}

// === impl Transaction ===

impl<'a, D: Driver> Transaction<'a, D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: for<'q> Encode<'q, D> + Type<D>,
    String: for<'q> Encode<'q, D> + Type<D>,
{
    pub(super) async fn begin(pool: &'a Pool<D>, within: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + within;
        let mut held = pool.writer(deadline).await?;
        pool.say(&mut held, D::BEGIN, deadline).await?;
        // From here on only its end makes the session good for others.
        held.clean = false;
        Ok(Self { pool, held, deadline })
    }
}

impl<D: Driver> Session for Transaction<'_, D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: for<'q> Encode<'q, D> + Type<D>,
    String: for<'q> Encode<'q, D> + Type<D>,
{
    fn fetch(&mut self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<Table, Failure>> {
        Box::pin(async move {
            let answer = self.pool.rows_in(&mut self.held, sql, values, self.deadline).await;
            self.held.clean = false;
            answer
        })
    }

    fn execute(&mut self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<u64, Failure>> {
        Box::pin(async move {
            let answer = self.pool.write_in(&mut self.held, sql, values, self.deadline).await;
            self.held.clean = false;
            answer
        })
    }

    fn end(&mut self, keep: bool) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.pool.say(&mut self.held, if keep { "COMMIT" } else { "ROLLBACK" }, self.deadline))
    }
}
