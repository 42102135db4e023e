//! One connection, and the only ways to use it: each a short transaction with time limits of its own.
//!
//! Supabase's pooler hands every transaction to another server connection, so nothing may depend on the session:
//! statements are unnamed (`query_typed`), settings are `set local`. Results hold no enum and no domain, for which
//! the driver would have to ask with a named statement.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, NoTls, Row, Transaction};

use crate::connection_string::{ConnectionSettings, Transport};
use crate::error::{Error, Result};
use crate::tls;

/// A value for a placeholder, with the type that the server is told.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// How much longer than the server we wait for its answer before we give the connection up.
const GRACE: Duration = Duration::from_secs(2);

/// How long anything here waits for a lock. Whoever waits for a strong lock makes everyone after it wait, too, and a
/// migration waits for `auth.users`, where a signup would be next.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a kept connection may take to show that it lives.
const ALIVE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection to the database.
#[derive(Debug)]
pub struct Database {
    client: Client,
    driver: JoinHandle<()>,
    /// We stopped waiting for an answer: whatever comes next on this connection is not ours.
    given_up: bool,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Database {
    /// Opens a connection.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Tls`], [`Error::Authentication`], [`Error::Refused`], [`Error::CaCertificate`].
    pub async fn connect(settings: &ConnectionSettings) -> Result<Self> {
        let limit = settings
            .driver
            .get_connect_timeout()
            .copied()
            .unwrap_or(Duration::from_secs(10))
            + GRACE;
        let opening = async {
            match &settings.transport {
                Transport::LoopbackPlaintext => {
                    let (client, connection) = settings
                        .driver
                        .connect(NoTls)
                        .await
                        .map_err(|error| Error::connecting(&error))?;
                    Ok::<_, Error>((client, tokio::spawn(drive(connection))))
                }
                Transport::VerifiedTls(ca) => {
                    let (client, connection) = settings
                        .driver
                        .connect(tls::connector(ca)?)
                        .await
                        .map_err(|error| Error::connecting(&error))?;
                    Ok::<_, Error>((client, tokio::spawn(drive(connection))))
                }
            }
        };
        let (client, driver) = timeout(limit, opening)
            .await
            .map_err(|_| Error::Unreachable("no answer in time".to_owned()))??;
        Ok(Self {
            client,
            driver,
            given_up: false,
        })
    }

    /// Whether the connection can still be used.
    pub fn is_usable(&self) -> bool {
        !self.given_up && !self.client.is_closed()
    }

    /// Whether the server still answers on this connection. Between the invocations of a function, a network may
    /// have dropped it without a word.
    pub async fn is_alive(&self) -> bool {
        self.is_usable()
            && matches!(
                timeout(ALIVE_LIMIT, self.client.simple_query("")).await,
                Ok(Ok(_))
            )
    }

    /// Runs queries over one unchanging view of the database, in a transaction that cannot write.
    ///
    /// `limit` bounds each statement on the server, and the whole on our side.
    ///
    /// # Errors
    /// What `work` returns; [`Error::Timeout`], [`Error::ConnectionLost`] and what the server refuses.
    pub async fn read<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        self.transact(true, limit, work).await
    }

    /// Runs queries in one transaction that commits if `work` succeeds.
    ///
    /// # Errors
    /// As [`Self::read`]. After [`Error::ConnectionLost`] and [`Error::Timeout`] the transaction may have committed.
    pub async fn write<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        self.transact(false, limit, work).await
    }

    async fn transact<T>(
        &mut self,
        read_only: bool,
        limit: Duration,
        work: impl AsyncFnOnce(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        let builder = self.client.build_transaction().read_only(read_only);
        let builder = if read_only {
            builder.isolation_level(IsolationLevel::RepeatableRead)
        } else {
            builder
        };
        let whole = async {
            let transaction = builder.start().await?;
            // zero would mean no limit at all
            let milliseconds = |limit: Duration| limit.as_millis().max(1).to_string();
            transaction
                .query_typed(
                    "select set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
                       set_config('search_path', '', true)",
                    &[
                        (&milliseconds(limit), Type::TEXT),
                        (&milliseconds(LOCK_TIMEOUT), Type::TEXT),
                    ],
                )
                .await?;
            let queries = Queries { transaction };
            let outcome = work(&queries).await?;
            queries.transaction.commit().await?;
            Ok(outcome)
        };
        let outcome = timeout(limit + GRACE, whole).await;
        outcome.unwrap_or_else(|_| {
            self.given_up = true;
            Err(Error::Timeout)
        })
    }
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // its error reaches whoever waits for an answer as a closed connection; there is nothing to add
    let _ = connection.await;
}

/// The queries of one transaction.
pub struct Queries<'a> {
    transaction: Transaction<'a>,
}

impl Queries<'_> {
    /// All rows of a query.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn rows(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        Ok(self.transaction.query_typed(sql, parameters).await?)
    }

    /// The one row of a query that always has one.
    ///
    /// # Errors
    /// As [`Self::rows`]; [`Error::UnexpectedAnswer`] if there is no row.
    pub async fn row(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row> {
        self.rows(sql, parameters)
            .await?
            .into_iter()
            .next()
            .ok_or(Error::UnexpectedAnswer)
    }

    /// Runs a script of several statements without parameters.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn script(&self, sql: &str) -> Result<()> {
        Ok(self.transaction.batch_execute(sql).await?)
    }
}

/// A column of a row, by name.
///
/// # Errors
/// [`Error::UnexpectedAnswer`] if it is not there or of another type.
pub(crate) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    name: &str,
) -> Result<T> {
    row.try_get(name).map_err(|_| Error::UnexpectedAnswer)
}
