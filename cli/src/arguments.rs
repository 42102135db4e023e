//! What can be typed: the options of all commands, and which commands there are. Those of one command stand in its file.

use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use rollcall::migrations;

use crate::commands::{
    backfill, check, completions, dashboard, definition, events, explain, export, manual, migrate,
    mismatches, rollback, runs, sync_emails, trigger, undo,
};
use crate::connection::ConnectionArguments;
use crate::demo;
use crate::output::Format;

/// Program and migrations go together: a database with others is refused.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (migrations {})",
        env!("CARGO_PKG_VERSION"),
        migrations::newest()
    )
});

const AFTER_HELP: &str = "\
Connection: --database-url, else DATABASE_URL, else SUPABASE_DB_URL. Remote connections always use TLS with certificate and \
host-name verification; give Supabase's certificate as sslrootcert in the URL or as DATABASE_CA_CERT.

Exit status: 0 consistent or done, 1 inconsistent, 2 unknown, usage or failure.";

/// Finds every Supabase signup without a profile, says why, and repairs it safely.
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version = VERSION.as_str(),
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,

    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Show e-mail addresses, and whatever else may be a person's, in full
    #[arg(long, global = true)]
    pub(crate) show_pii: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: a database of its own, a broken trigger, alert, repair, proof
    Demo(demo::DemoArguments),
    #[command(flatten)]
    OnDatabase(DatabaseCommand),
    /// Write all migrations as one file, for projects whose migrations `supabase db push` applies
    Export(export::ExportArguments),
    /// Print the JSON Schema of what every command prints with --format json
    #[command(after_help = "Examples:\n  rollcall schema > rollcall.schema.json")]
    Schema,
    /// Print the script that lets a shell complete these commands
    Completions(completions::CompletionsArguments),
    /// Print the manual page, of all or of one command
    Manual(manual::ManualArguments),
}

/// What needs a database.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Install or update Rollcall; prints its plan first, and changes nothing of the application's
    Migrate(migrate::MigrateArguments),
    /// Remove Rollcall; profiles and everything of the application's stay
    Rollback(rollback::RollbackArguments),
    /// Who must have a profile, and what a new one contains: show, draft, check or set it
    Definition(definition::DefinitionArguments),
    /// Rollcall's own signup trigger, and guards around the application's; each asked for on purpose
    Trigger(trigger::TriggerArguments),
    /// The whole report: verdict, findings with next steps, counts, recent errors
    #[command(after_help = "Examples:\n  rollcall diagnose\n  rollcall diagnose --format json")]
    Diagnose,
    /// Why profiles go missing, or will: every check, each finding with its fix
    #[command(after_help = "Examples:\n  rollcall doctor\n  rollcall doctor --format json")]
    Doctor,
    /// Try a signup of every kind of user and roll it back: does it get its profile?
    #[command(after_help = "Examples:\n  rollcall probe\n  rollcall probe --format json")]
    Probe,
    /// The doctor's report for a deployment: always tries a signup, and annotates a run of GitHub Actions
    #[command(after_help = "Examples:\n  rollcall ci\n  rollcall ci --format json")]
    Ci,
    /// Users without a profile, and users of the audit log who are gone
    Mismatches(mismatches::MismatchesArguments),
    /// Signups of the last 10 minutes without a profile
    #[command(after_help = "Examples:\n  rollcall recent")]
    Recent,
    /// The last hour's signups, and everyone's profile
    #[command(after_help = "Examples:\n  rollcall health\n  rollcall health --format json")]
    Health,
    /// Verify that every user has a profile, every profile a user, and both the same e-mail
    #[command(after_help = "Examples:\n  rollcall verify")]
    Verify,
    /// What is on record between a user's signup and profile
    Events(events::EventsArguments),
    /// One user's timeline from every source, why there is no profile, and what to do
    Explain(explain::ExplainArguments),
    /// Serve a page of all this on 127.0.0.1 until Ctrl-C; with --format json its data, once
    Dashboard(dashboard::DashboardArguments),
    /// The scheduled checks again and again, published to a webhook until Ctrl-C
    Watch(check::WatchArguments),
    /// The scheduled checks once, published to a webhook: for cron and the like
    Check(check::CheckArguments),
    /// Create the missing profiles; a dry run unless --apply is given
    Backfill(backfill::BackfillArguments),
    /// Copy changed e-mail addresses to their profiles; a dry run unless --apply is given
    SyncEmails(sync_emails::SyncEmailsArguments),
    /// Earlier backfills and e-mail syncs, and those under way; pause, resume or cancel one
    Runs(runs::RunsArguments),
    /// Undo a run: its profiles, or e-mails, that are still as it left them
    Undo(undo::UndoArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        for subcommand in Arguments::command().get_subcommands() {
            let name = subcommand.get_name();
            let help = subcommand
                .get_after_help()
                .unwrap_or_else(|| panic!("{name} has no examples"))
                .to_string();
            let lines = help.strip_prefix("Examples:\n").expect("only examples");
            for line in lines.lines() {
                let typed = line.split(" > ").next().expect("a command");
                let understood = Arguments::try_parse_from(typed.split_whitespace());
                assert!(understood.is_ok(), "{line}: {understood:?}");
                assert_eq!(line.split_whitespace().nth(1), Some(name), "{line}");
            }
        }
    }
}
