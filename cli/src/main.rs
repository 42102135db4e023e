//! The command line of Rollcall: data on stdout, talk on stderr, the verdict as exit status.

mod arguments;
mod commands;
mod connection;
mod demo;
mod exit;
mod http_client;
mod misuse;
mod output;
mod report;
mod table;
mod terminal;
mod webhook;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command, DatabaseCommand};
use crate::exit::Exit;
use crate::output::Output;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| misuse::end(error));
    // what goes on between a command and its result: a connection lost, a batch put off
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(console::colors_enabled_stderr())
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_target(false)
        .without_time()
        .init();
    let output = Output::new(arguments.format, arguments.show_pii);
    let exit = run(&arguments, &output).await.unwrap_or_else(|error| {
        output.failure(&error);
        Exit::Failure
    });
    exit.into()
}

async fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<Exit> {
    let command = match &arguments.command {
        Command::Demo(demo) => return demo::run(demo, output).await,
        Command::Completions(completions) => {
            return commands::completions::run(completions, Arguments::command(), output);
        }
        Command::Manual(manual) => {
            return commands::manual::run(manual, Arguments::command(), output);
        }
        Command::Schema => return commands::schema::run(output),
        Command::Export(export) => return commands::export::run(export, output),
        Command::OnDatabase(command) => command,
    };
    let settings = match connection::settings(&arguments.connection) {
        Ok(settings) => settings,
        Err(error) => return output.blind(&error),
    };
    output.is_about(&settings);
    match command {
        DatabaseCommand::Migrate(migrate) => {
            commands::migrate::run(migrate, &settings, output).await
        }
        DatabaseCommand::Rollback(rollback) => {
            commands::rollback::run(rollback, &settings, output).await
        }
        DatabaseCommand::Definition(definition) => {
            commands::definition::run(definition, settings, output).await
        }
        DatabaseCommand::Trigger(trigger) => {
            commands::trigger::run(trigger, settings, output).await
        }
        DatabaseCommand::Diagnose => commands::diagnose::run(settings, output).await,
        DatabaseCommand::Doctor => commands::doctor::run(settings, output).await,
        DatabaseCommand::Ci => commands::ci::run(settings, output).await,
        DatabaseCommand::Probe => commands::probe::run(settings, output).await,
        DatabaseCommand::Mismatches(mismatches) => {
            commands::mismatches::run(mismatches, settings, output).await
        }
        DatabaseCommand::Recent => commands::recent::run(settings, output).await,
        DatabaseCommand::Health => commands::health::run(settings, output).await,
        DatabaseCommand::Verify => commands::verify::run(settings, output).await,
        DatabaseCommand::Watch(watch) => commands::check::run(watch, settings, output).await,
        DatabaseCommand::Check(check) => commands::check::run_once(check, settings, output).await,
        DatabaseCommand::Events(events) => commands::events::run(events, settings, output).await,
        DatabaseCommand::Explain(explain) => {
            commands::explain::run(explain, settings, output).await
        }
        DatabaseCommand::Dashboard(dashboard) => {
            commands::dashboard::run(dashboard, settings, output).await
        }
        DatabaseCommand::Backfill(backfill) => {
            commands::backfill::run(backfill, settings, output).await
        }
        DatabaseCommand::SyncEmails(sync) => {
            commands::sync_emails::run(sync, settings, output).await
        }
        DatabaseCommand::Runs(runs) => commands::runs::run(runs, settings, output).await,
        DatabaseCommand::Undo(undo) => commands::undo::run(undo, settings, output).await,
    }
}
