//! One connection, and the only ways to use it: each a short transaction with time limits of its own.
//!
//! Supabase's pooler hands every transaction to another server connection, so nothing may depend on the session:
//! statements are unnamed (`query_typed`), settings are `set local`. Results hold no enum and no domain, for which
//! the driver would have to ask with a named statement.

use std::future::poll_fn;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::Severity;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, IsolationLevel, NoTls, Row, Transaction};

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

/// How long asking the server to end a statement may take.
const CANCEL_LIMIT: Duration = Duration::from_millis(400);

/// How many warnings are kept until somebody takes them; a migration has a handful.
const MAX_WARNINGS: usize = 64;

/// How long a kept connection may take to show that it lives.
const ALIVE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection to the database.
#[derive(Debug)]
pub struct Database {
    client: Client,
    driver: JoinHandle<()>,
    transport: Transport,
    warnings: mpsc::Receiver<Warning>,
    /// Nobody waits for an answer that is still to come: whatever comes next on this connection is not ours.
    given_up: bool,
}

/// What becomes of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It cannot write, and looks at one moment.
    Read,
    /// It commits.
    Write,
    /// It is taken back.
    Trial,
}

/// What Rollcall's own SQL warns of while it succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What is the case.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
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
        let (warn, warnings) = mpsc::channel(MAX_WARNINGS);
        let opening = async {
            match &settings.transport {
                Transport::LoopbackPlaintext => {
                    let (client, connection) = settings
                        .driver
                        .connect(NoTls)
                        .await
                        .map_err(|error| Error::connecting(&error))?;
                    Ok::<_, Error>((client, tokio::spawn(drive(connection, warn))))
                }
                Transport::VerifiedTls(ca) => {
                    let (client, connection) = settings
                        .driver
                        .connect(tls::connector(ca)?)
                        .await
                        .map_err(|error| Error::connecting(&error))?;
                    Ok::<_, Error>((client, tokio::spawn(drive(connection, warn))))
                }
            }
        };
        let (client, driver) = timeout(limit, opening)
            .await
            .map_err(|_| Error::Unreachable("no answer in time".to_owned()))??;
        Ok(Self {
            client,
            driver,
            transport: settings.transport.clone(),
            warnings,
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

    /// Asks the server to end a statement whose answer nobody waits for any more, so that it holds no lock longer.
    /// Whether it does is not known.
    pub async fn cancel(&self) {
        let token = self.client.cancel_token();
        let cancelling = async {
            match &self.transport {
                Transport::LoopbackPlaintext => token.cancel_query(NoTls).await.ok(),
                Transport::VerifiedTls(ca) => {
                    token.cancel_query(tls::connector(ca).ok()?).await.ok()
                }
            }
        };
        let _ = timeout(CANCEL_LIMIT, cancelling).await;
    }

    /// What Rollcall's own SQL has warned of since this was last asked.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::iter::from_fn(|| self.warnings.try_recv().ok()).collect()
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
        self.transact(Mode::Read, limit, work).await
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
        self.transact(Mode::Write, limit, work).await
    }

    /// Runs queries in one transaction that is always rolled back.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn try_out<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        self.transact(Mode::Trial, limit, work).await
    }

    async fn transact<T>(
        &mut self,
        mode: Mode,
        limit: Duration,
        work: impl AsyncFnOnce(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        // stays so where the future is dropped on the way
        self.given_up = true;
        let builder = self
            .client
            .build_transaction()
            .read_only(mode == Mode::Read);
        let builder = if mode == Mode::Read {
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
            match mode {
                Mode::Read | Mode::Write => queries.transaction.commit().await?,
                Mode::Trial => queries.transaction.rollback().await?,
            }
            Ok(outcome)
        };
        let outcome = timeout(limit + GRACE, whole).await;
        self.given_up = outcome.is_err();
        outcome.unwrap_or(Err(Error::Timeout))
    }
}

async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, warn: mpsc::Sender<Warning>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // its error reaches whoever waits for an answer as a closed connection; there is nothing to add
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
            // anybody else's may quote a row
            && let Some(text) = notice.message().strip_prefix("rollcall: ")
        {
            let _ = warn.try_send(Warning {
                message: text.to_owned(),
                hint: notice.hint().map(ToOwned::to_owned),
            });
        }
    }
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
