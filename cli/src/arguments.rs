//! What can be typed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use rollcall::backfill::BackfillRequest;
use secrecy::SecretString;
use uuid::Uuid;

const AFTER_HELP: &str = "\
Connection: --database-url, else DATABASE_URL, else SUPABASE_DB_URL. Another machine is reached by
verified TLS only; give Supabase's certificate as sslrootcert in the URL or as DATABASE_CA_CERT.

Exit status: 0 consistent or done, 1 inconsistent, 2 unknown, usage or failure.";

/// Finds every Supabase signup without a profile, says why, and repairs it safely.
#[derive(Debug, Parser)]
#[command(name = "rollcall", after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Connection string of the database; better given as a variable, since others see arguments
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<SecretString>,

    /// CA certificate of the database server: a path or PEM text [env: DATABASE_CA_CERT]
    #[arg(long, global = true, value_name = "PEM")]
    pub(crate) ca_cert: Option<String>,

    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Show e-mail addresses, and whatever else may be a person's, in full
    #[arg(long, global = true)]
    pub(crate) show_pii: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: a database of its own, a broken trigger, alert, repair, proof
    Demo(DemoArguments),
    #[command(flatten)]
    OnDatabase(DatabaseCommand),
    /// Write all migrations as one file, for projects whose migrations `supabase db push` applies
    Export(ExportArguments),
    /// Print the JSON Schema of what every command prints with --format json
    Schema,
    /// Print the script that lets a shell complete these commands
    Completions(CompletionsArguments),
    /// Print the manual page, of all or of one command
    Manual(ManualArguments),
}

/// What needs a database.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Install or update Rollcall; prints its plan first, and changes nothing of the application's
    Migrate(MigrateArguments),
    /// Remove Rollcall; profiles and everything of the application's stay
    Rollback(RollbackArguments),
    /// Who must have a profile, and what a new one contains: show, draft, check or set it
    Definition(DefinitionArguments),
    /// Rollcall's own signup trigger, and guards around the application's; each asked for on purpose
    Trigger(TriggerArguments),
    /// The whole report: verdict, findings with next steps, counts, recent errors
    Diagnose,
    /// Why profiles go missing, or will: every check, each finding with its fix
    Doctor,
    /// Try a signup of every kind of user and roll it back: does it get its profile?
    Probe,
    /// The doctor's report for a deployment: always tries a signup, and annotates a run of GitHub Actions
    Ci,
    /// Users without a profile, and users of the audit log who are gone
    Mismatches(MismatchesArguments),
    /// Signups of the last 10 minutes without a profile
    Recent,
    /// The last hour's signups, and everyone's profile
    Health,
    /// Verify that every user has a profile, every profile a user, and both the same e-mail
    Verify,
    /// What is on record between a user's signup and profile
    Events(EventsArguments),
    /// One user's timeline from every source, why there is no profile, and what to do
    Explain(ExplainArguments),
    /// Serve a page of all this on 127.0.0.1 until Ctrl-C; with --format json its data, once
    Dashboard(DashboardArguments),
    /// The scheduled checks again and again, published to a webhook until Ctrl-C
    Watch(WatchArguments),
    /// The scheduled checks once, published to a webhook: for cron and the like
    Check(CheckArguments),
    /// Create the missing profiles; a dry run unless --apply is given
    Backfill(BackfillArguments),
    /// Copy changed e-mail addresses to their profiles; a dry run unless --apply is given
    SyncEmails(SyncEmailsArguments),
    /// Earlier backfills and e-mail syncs, and those under way; pause, resume or cancel one
    Runs(RunsArguments),
    /// Undo a run: its profiles, or e-mails, that are still as it left them
    Undo(UndoArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Leave the database running, and say how to connect and how to stop it
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManualArguments {
    /// Which command
    pub(crate) command: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// Only print the plan
    #[arg(long, conflicts_with = "yes")]
    pub(crate) plan: bool,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,

    /// Take over names of the public API that the application uses; a rollback gives them back
    #[arg(long)]
    pub(crate) replace_api: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Where the file is written
    #[arg(value_name = "DIR", default_value = "supabase/migrations")]
    pub(crate) folder: PathBuf,

    /// Only what is new since the exports that are there
    #[arg(long)]
    pub(crate) upgrade: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    /// Only the functions and views that count and list
    #[arg(long)]
    pub(crate) diagnostics: bool,

    /// Only print the plan
    #[arg(long, conflicts_with = "yes")]
    pub(crate) plan: bool,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DefinitionArguments {
    #[command(subcommand)]
    pub(crate) action: DefinitionAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionAction {
    /// Print the definition in force
    Show,
    /// Print a definition drafted from a table's columns and rows
    Draft {
        /// The profile table; without it, the best candidate
        table: Option<String>,
    },
    /// Compare the definition with the profiles there are: counts by column and kind of user
    Check,
    /// Put a definition in force
    Set {
        /// A file as `draft` prints it; - reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// The profile table, where the file does not name it
        #[arg(long)]
        table: Option<String>,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TriggerArguments {
    #[command(subcommand)]
    pub(crate) action: TriggerAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerAction {
    /// List the triggers on the tables of Supabase Auth
    Status,
    /// Add Rollcall's trigger to auth.users, after all others; prints the plan unless --apply is given
    Install(ApplyArguments),
    /// Take Rollcall's trigger off auth.users; prints the plan unless --apply is given
    Remove(ApplyArguments),
    /// Let a trigger function of the application's fail without blocking the signup; prints the plan unless --apply is given
    Guard(GuardArguments),
    /// Give a guarded function its own body back; prints the plan unless --apply is given
    Unguard(GuardArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// Do it
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArguments {
    /// The function, as public.handle_new_user
    #[arg(value_name = "FUNCTION")]
    pub(crate) function: String,

    #[command(flatten)]
    pub(crate) apply: ApplyArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MismatchesArguments {
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// Id, e-mail address or phone number of the user
    #[arg(value_name = "USER")]
    pub(crate) user: UserName,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// Id, e-mail address or phone number of the user
    #[arg(value_name = "USER")]
    pub(crate) user: UserName,
}

/// How a person names a user.
#[derive(Clone)]
pub(crate) enum UserName {
    Id(Uuid),
    /// An e-mail address or a phone number.
    Contact(String),
}

impl FromStr for UserName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.parse() {
            Ok(user_id) => Ok(Self::Id(user_id)),
            Err(_) if name.contains('@') || is_phone_number(name) => {
                Ok(Self::Contact(name.to_owned()))
            }
            Err(_) => Err("neither a user's id nor an e-mail address nor a phone number"),
        }
    }
}

/// Seven digits at least, however they are written.
fn is_phone_number(text: &str) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() >= 7
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-. ()/".contains(&byte))
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserName")
    }
}

#[derive(Debug, Args)]
pub(crate) struct DashboardArguments {
    /// Port to listen on; 0 takes one that is free
    #[arg(long, default_value_t = 7655)]
    pub(crate) port: u16,

    /// Seconds after which the page asks again
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) refresh: u16,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Webhook that gets the messages; better given as a variable, since others see arguments [env: WEBHOOK_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<SecretString>,

    /// What the webhook takes; without it, slack for hooks.slack.com, else json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) message: Option<MessageForm>,

    /// Address that is called after each completed check, of a service that notices when they stop [env: PING_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) ping: Option<SecretString>,

    /// Name that stands in every message [env: PROJECT_NAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
}

/// What a webhook takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageForm {
    /// Slack's markdown, as its incoming webhooks and those of others take it
    Slack,
    /// JSON for programs; signed where WEBHOOK_SECRET is set
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// How often recent signups are checked, as 30s, 5m or 1h; everyone is checked hourly
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = interval)]
    pub(crate) every: Duration,

    #[command(flatten)]
    pub(crate) check: CheckArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BackfillArguments {
    /// Really create profiles; asks for confirmation on a terminal
    #[arg(long)]
    pub(crate) apply: bool,

    /// Do not ask
    #[arg(long, requires = "apply")]
    pub(crate) yes: bool,

    /// Users in one transaction
    #[arg(
        long,
        default_value_t = BackfillRequest::DEFAULT_BATCH_SIZE,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(BackfillRequest::MAX_BATCH_SIZE)),
    )]
    pub(crate) batch_size: u32,

    /// Stop after so many users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=BackfillRequest::MAX_USERS))]
    pub(crate) max_users: Option<u64>,

    /// Only this user: an id, e-mail address or phone number
    #[arg(long, value_name = "USER", conflicts_with = "max_users")]
    pub(crate) user: Option<UserName>,

    /// Account type of every created profile, instead of the definition's
    #[arg(long, value_name = "TYPE")]
    pub(crate) account_type: Option<String>,

    /// Let the application's own signup triggers make the profiles, and what else they make
    #[arg(long, conflicts_with_all = ["user", "account_type", "run"])]
    pub(crate) replay: bool,

    /// Go on where that sends what no rollback takes back (calls to other servers)
    #[arg(long, requires = "apply")]
    pub(crate) allow_outside_calls: bool,

    /// Continue this run
    #[arg(
        long,
        value_name = "RUN",
        requires = "apply",
        conflicts_with_all = ["user", "max_users", "account_type", "note"],
    )]
    pub(crate) run: Option<RunId>,

    /// Why, for the list of runs; no personal data
    #[arg(long, value_name = "TEXT", requires = "apply", conflicts_with = "user")]
    pub(crate) note: Option<String>,

    /// Share of the time to work, from 0.01 to 1; the rest is pause
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub(crate) throttle: f32,
}

#[derive(Debug, Args)]
pub(crate) struct SyncEmailsArguments {
    /// Really change profiles; asks for confirmation on a terminal
    #[arg(long)]
    pub(crate) apply: bool,

    /// Do not ask
    #[arg(long, requires = "apply")]
    pub(crate) yes: bool,

    /// Also where the profile's address is not known to have been the user's: a person may have chosen it
    #[arg(long)]
    pub(crate) all: bool,

    /// Profiles in one transaction
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch_size: u32,

    /// Go on where a trigger of the profile table calls other servers
    #[arg(long, requires = "apply")]
    pub(crate) allow_outside_calls: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    #[command(subcommand)]
    pub(crate) action: Option<RunsAction>,

    /// How many at most, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Everything that is known of one
    Show(RunArguments),
    /// Stop it after the batch in hand
    Pause(RunArguments),
    /// Let it continue: the next repair does it, or `backfill --apply --run RUN`
    Resume(RunArguments),
    /// End it after the batch in hand; what it created stays
    Cancel(RunArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Id of the run, or how it begins
    #[arg(value_name = "RUN")]
    pub(crate) run: RunId,
}

#[derive(Debug, Args)]
pub(crate) struct UndoArguments {
    /// Id of the run, or how it begins
    #[arg(value_name = "RUN")]
    pub(crate) run: RunId,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// The id of a run, or its first characters.
#[derive(Clone, Debug)]
pub(crate) struct RunId(String);

impl RunId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for RunId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = (4..=36).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_id {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("must be the id of a run, or at least its first four characters")
        }
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|length| Duration::try_from(length).ok())
        .filter(|length| (1..=3600).contains(&length.as_secs()))
        .ok_or("must be a time from 1s to 1h")
}

fn share(text: &str) -> Result<f32, String> {
    text.parse::<f32>()
        .ok()
        .filter(|share| (0.01..=1.0).contains(share))
        .ok_or_else(|| "must be a number from 0.01 to 1".to_owned())
}
