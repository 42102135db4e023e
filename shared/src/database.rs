//! One connection, and the only ways to use it: each a short transaction with time limits of its own.
//!
//! Supabase's pooler hands every transaction to another server connection, so nothing may depend on the session:
//! statements are unnamed (`query_typed`), settings are `set local`. Results hold no enum and no domain, for which
//! the driver would have to ask with a named statement.
//!
//! A function waits for round trips more than for anything else. So what begins a transaction is not waited for before its
//! first queries are sent, and [`Queries::end_with`] sends the end of it right behind its last ones.

mod connecting;
pub(crate) mod lock_holders;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tokio::{join, select};
use tokio_postgres::error::Severity;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, Row};

use self::lock_holders::LockHolder;
use crate::connection_string::{ConnectionSettings, Transport};
use crate::error::{Error, LookObstacle, Result};
use crate::{migrations, schema_version, tls};

/// A value for a placeholder, with the type that the server is told.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// How much longer than the server we wait for its answer before we give the connection up.
const GRACE: Duration = Duration::from_secs(2);

/// How long anything here waits for a lock. Whoever waits for a strong lock makes everyone after it wait, too, and a
/// migration waits for `auth.users`, where a signup would be next.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long asking the server to end a statement may take.
const CANCEL_LIMIT: Duration = Duration::from_millis(400);

/// How many warnings, and how many notices, are kept until somebody takes them; a migration has a handful.
const MAX_NOTICES: usize = 128;

/// How long an installation, a rollback or a look waits for another one to end.
const INSTALL_WAIT: Duration = Duration::from_secs(30);

/// How long a look may take to make its copy; it takes less than a second.
const COPY_LIMIT: Duration = Duration::from_secs(20);

/// How long a connection may be idle before it has to show that it lives: less than poolers and network address
/// translation allow.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// How long it may take to show that. Beginning a transaction takes no time; what it asks may.
const ALIVE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection to the database.
#[derive(Debug)]
pub struct Database {
    client: Client,
    driver: JoinHandle<()>,
    transport: Transport,
    warnings: mpsc::Receiver<Warning>,
    notices: mpsc::Receiver<String>,
    /// Rollcall is not installed: each transaction makes a copy for itself, and leaves nothing.
    looks: bool,
    /// Nobody waits for an answer that is still to come: whatever comes next on this connection is not ours.
    given_up: bool,
    /// When the server last answered.
    last_used: Instant,
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
        let (warn, warnings) = mpsc::channel(MAX_NOTICES);
        let (note, notices) = mpsc::channel(MAX_NOTICES);
        let opening = async {
            match &settings.transport {
                Transport::LoopbackPlaintext => {
                    let (client, connection) = settings
                        .driver
                        .connect(NoTls)
                        .await
                        .map_err(|error| connecting::error(&error))?;
                    Ok::<_, Error>((client, tokio::spawn(drive(connection, warn, note))))
                }
                Transport::VerifiedTls(ca) => {
                    let (client, connection) = settings
                        .driver
                        .connect(tls::connector(ca)?)
                        .await
                        .map_err(|error| connecting::error(&error))?;
                    Ok::<_, Error>((client, tokio::spawn(drive(connection, warn, note))))
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
            notices,
            looks: false,
            given_up: false,
            last_used: Instant::now(),
        })
    }

    /// Whether the connection can still be used.
    pub fn is_usable(&self) -> bool {
        !self.given_up && !self.client.is_closed()
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

    /// What Rollcall's own SQL has said of its work since this was last asked.
    pub(crate) fn take_notices(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }

    /// Whether every transaction makes a copy of Rollcall's functions for itself.
    pub(crate) fn looks(&self) -> bool {
        self.looks
    }

    /// From now on every transaction makes a copy of Rollcall's functions for itself and is rolled back;
    /// [`Self::write`] refuses.
    pub(crate) fn look(&mut self) {
        self.looks = true;
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
        if self.looks && mode == Mode::Write {
            return Err(Error::NotMigrated);
        }
        // stays so where the future is dropped on the way
        self.given_up = true;
        let outcome = if self.looks {
            let begun = self.begin_looking(mode, limit);
            match timeout(INSTALL_WAIT + COPY_LIMIT + GRACE, begun).await {
                Ok(Ok(())) => {
                    let is_kept = !self.looks && mode != Mode::Trial;
                    self.work(async { Ok(()) }, limit, is_kept, work).await
                }
                Ok(Err(error)) => Ok(Err(error)),
                Err(elapsed) => Err(elapsed),
            }
        } else {
            let begin = self.begin(mode, limit);
            self.work(begin, limit, mode != Mode::Trial, work).await
        };
        self.given_up = matches!(outcome, Err(_) | Ok(Err(Error::ConnectionLost)));
        self.last_used = Instant::now();
        match outcome.unwrap_or(Err(Error::Timeout)) {
            // one with a hint is known already
            Err(error @ Error::Statement { hint: None, .. }) if error.is_lock() => Err(
                lock_holders::locked_by(&self.lock_holders().await, Timestamp::now()),
            ),
            outcome => outcome,
        }
    }

    /// Who may have the lock that was waited for in vain; nobody where that cannot be told.
    pub(crate) async fn lock_holders(&mut self) -> Vec<LockHolder> {
        let asked = self.client.query_typed(lock_holders::QUERY, &[]);
        let rows = match timeout(GRACE, asked).await {
            Ok(rows) => rows.unwrap_or_default(),
            Err(_) => {
                self.given_up = true;
                Vec::new()
            }
        };
        rows.iter()
            .filter_map(|row| LockHolder::read(row).ok())
            .collect()
    }

    /// Begins a transaction. A connection that was idle for long is lost unless it answers soon.
    async fn begin(&self, mode: Mode, limit: Duration) -> Result<()> {
        let begin = match mode {
            Mode::Read => "begin isolation level repeatable read read only",
            Mode::Write | Mode::Trial => "begin",
        };
        let begin = format!("{begin}; {}", settings(limit));
        let begun = self.client.batch_execute(&begin);
        if self.last_used.elapsed() < TRUSTED_IDLE {
            return Ok(begun.await?);
        }
        Ok(timeout(ALIVE_LIMIT, begun)
            .await
            .map_err(|_| Error::ConnectionLost)??)
    }

    /// Begins a transaction, does its work, and ends it. The first queries are sent behind what begins it; a pooler may let
    /// that wait, so the time for the work counts from then on.
    async fn work<T>(
        &self,
        begin: impl Future<Output = Result<()>>,
        limit: Duration,
        is_kept: bool,
        work: impl AsyncFnOnce(&Queries<'_>) -> Result<T>,
    ) -> Result<Result<T>, Elapsed> {
        let queries = Queries {
            client: &self.client,
            end: if is_kept { "commit" } else { "rollback" },
            has_ended: AtomicBool::new(false),
        };
        let work = async {
            let outcome = work(&queries).await;
            match &outcome {
                // the connection is given up
                Err(Error::ConnectionLost) => {}
                _ if queries.has_ended() => {}
                Ok(_) if is_kept => queries.script("commit").await?,
                Ok(_) => self.roll_back(true).await?,
                Err(_) => self.roll_back(false).await?,
            }
            outcome
        };
        let (mut begin, mut work) = (pin!(begin), pin!(work));
        let begun = timeout(limit + GRACE, async {
            select! {
                biased;
                begun = &mut begin => begun.map(|()| None),
                outcome = &mut work => outcome.map(Some),
            }
        })
        .await?;
        match begun {
            Ok(None) => timeout(limit + GRACE, work).await,
            Ok(Some(value)) => Ok(Ok(value)),
            Err(error) => {
                if !matches!(error, Error::ConnectionLost) {
                    timeout(GRACE, self.roll_back(false)).await?.ok();
                }
                Ok(Err(error))
            }
        }
    }

    /// Rolls back. Where something else has failed already, that is the news.
    async fn roll_back(&self, is_news: bool) -> Result<()> {
        match self.client.batch_execute("rollback").await {
            Err(error) if is_news => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Begins a transaction by a batch of statements; where one of them fails, no transaction is left open.
    async fn open(&self, batch: &str) -> Result<()> {
        if let Err(error) = self.client.batch_execute(batch).await {
            self.roll_back(false).await?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Opens a transaction that has a copy of Rollcall's functions for itself. One transaction at a time does that in a
    /// database, and none beside an installation. Where Rollcall was installed meanwhile, opens an ordinary one.
    async fn begin_looking(&mut self, mode: Mode, limit: Duration) -> Result<()> {
        let until = Instant::now() + INSTALL_WAIT;
        loop {
            self.open(&format!(
                "begin isolation level repeatable read; {}",
                settings(COPY_LIMIT)
            ))
            .await?;
            let outcome = self.copy(mode, limit).await;
            if let Ok(Copied::Done) = outcome {
                return Ok(());
            }
            self.roll_back(outcome.is_ok()).await?;
            match outcome {
                Ok(Copied::Installed) => {
                    self.looks = false;
                    let begin = self.begin(Mode::Read, COPY_LIMIT);
                    self.work(begin, COPY_LIMIT, true, schema_version::require_in)
                        .await
                        .unwrap_or(Err(Error::Timeout))?;
                    return self.begin(mode, limit).await;
                }
                Ok(Copied::Busy) => self.wait_for_install(until).await?,
                // an installation has ended between the snapshot and the lock
                Err(Error::Statement { sqlstate, .. })
                    if matches!(sqlstate.as_str(), "40001" | "23505") && Instant::now() < until => {
                }
                Err(Error::NotPermitted(_)) => {
                    return Err(Error::LookNotPossible(LookObstacle::MissingPrivilege));
                }
                Err(Error::Statement { sqlstate, .. }) if sqlstate == "25006" => {
                    return Err(Error::LookNotPossible(LookObstacle::ReadOnly));
                }
                Err(error) => return Err(error),
                Ok(Copied::Done) => {}
            }
        }
    }

    async fn copy(&self, mode: Mode, limit: Duration) -> Result<Copied> {
        let queries = Queries {
            client: &self.client,
            end: "",
            has_ended: AtomicBool::new(false),
        };
        let row = queries.row(include_str!("look.sql"), &[]).await?;
        if !column::<bool>(&row, "is_free")? {
            return Ok(Copied::Busy);
        }
        if column(&row, "is_installed")? {
            return Ok(Copied::Installed);
        }
        let access = match mode {
            Mode::Read => "set transaction read only",
            Mode::Write | Mode::Trial => "",
        };
        // what the files warn of is about what they would leave
        queries
            .script(&format!(
                "set local client_min_messages = error; set local rollcall.stance = 'look'; {} {}; set local client_min_messages = warning; {access}",
                migrations::look_sql(),
                settings(limit),
            ))
            .await?;
        Ok(Copied::Done)
    }

    /// Waits until nobody installs, rolls back or looks.
    async fn wait_for_install(&self, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::InstallInProgress);
        }
        let begin = self.begin(Mode::Write, INSTALL_WAIT);
        self.work(begin, INSTALL_WAIT, false, async |queries| {
            lock_install(queries, left).await
        })
        .await
        .unwrap_or(Err(Error::Timeout))
    }
}

/// What came of the attempt to copy Rollcall's functions into a transaction.
enum Copied {
    /// They are there.
    Done,
    /// Another transaction installs, rolls back or looks.
    Busy,
    /// They are not needed any more.
    Installed,
}

/// Waits until nobody else installs, rolls back or looks, and keeps all others waiting until the transaction ends.
///
/// # Errors
/// [`Error::InstallInProgress`] where that takes longer than `limit`.
async fn lock_install(queries: &Queries<'_>, limit: Duration) -> Result<()> {
    queries
        .script(&format!(
            "set local lock_timeout = {}; select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('rollcall.install')); set local lock_timeout = {}",
            milliseconds(limit),
            milliseconds(LOCK_TIMEOUT)
        ))
        .await
        .map_err(|error| match error {
            Error::Statement { sqlstate, .. } if sqlstate == "55P03" => Error::InstallInProgress,
            error => error,
        })
}

/// What every transaction sets.
fn settings(limit: Duration) -> String {
    format!(
        "set local statement_timeout = {}; set local lock_timeout = {}; set local search_path = ''; set local jit = off",
        milliseconds(limit),
        milliseconds(LOCK_TIMEOUT)
    )
}

/// At least one: zero would mean no limit at all.
fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().max(1)
}

async fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    warn: mpsc::Sender<Warning>,
    note: mpsc::Sender<String>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // its error reaches whoever waits for an answer as a closed connection; there is nothing to add
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message
            // anybody else's may quote a row
            && let Some(text) = notice.message().strip_prefix("rollcall: ")
        {
            match notice.parsed_severity() {
                Some(Severity::Warning) => {
                    let _ = warn.try_send(Warning {
                        message: text.to_owned(),
                        hint: notice.hint().map(ToOwned::to_owned),
                    });
                }
                Some(Severity::Notice) => {
                    let _ = note.try_send(text.to_owned());
                }
                _ => {}
            }
        }
    }
}

/// The queries of one transaction.
pub struct Queries<'a> {
    client: &'a Client,
    /// The statement that ends the transaction.
    end: &'static str,
    /// It was sent: what comes now would be outside.
    has_ended: AtomicBool,
}

impl Queries<'_> {
    /// All rows of a query.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn rows(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        self.require_open()?;
        Ok(self.client.query_typed(sql, parameters).await?)
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
        self.require_open()?;
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Sends all that `work` asks, and right behind it the end of the transaction: one round trip. `work` must ask
    /// everything before it waits for an answer; whatever it asks later is refused.
    ///
    /// # Errors
    /// What `work` returns, and what ending the transaction does.
    pub(crate) async fn end_with<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        // a future of the driver's sends when it is first asked
        let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        self.has_ended.store(true, Ordering::Relaxed);
        let end = match &begun {
            Poll::Ready(Err(_)) => "rollback",
            _ => self.end,
        };
        let end = self.client.batch_execute(end);
        let (outcome, ended) = match begun {
            Poll::Ready(outcome) => (outcome, end.await),
            Poll::Pending => join!(work, end),
        };
        let value = outcome?;
        ended?;
        Ok(value)
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    fn require_open(&self) -> Result<()> {
        if self.has_ended() {
            return Err(Error::UnexpectedAnswer);
        }
        Ok(())
    }

    /// Lets this transaction be the only one that installs, rolls back or looks, until it ends.
    ///
    /// # Errors
    /// [`Error::InstallInProgress`] where another one takes too long.
    pub(crate) async fn lock_install(&self) -> Result<()> {
        lock_install(self, INSTALL_WAIT).await
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
