//! The command line of Rollcall: data on stdout, talk on stderr, the verdict as exit status.

mod arguments;
mod commands;
mod connection;
mod demo;
mod exit;
mod output;
mod table;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::output::Output;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| discreet(error).exit());
    let output = Output::new(arguments.format, arguments.show_pii);
    let exit = run(&arguments, &output).await.unwrap_or_else(|error| {
        output.error(&error);
        Exit::Failure
    });
    exit.into()
}

async fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<Exit> {
    if let Command::Demo(demo) = &arguments.command {
        return demo::run(demo, output).await;
    }
    let settings = match connection::settings(arguments) {
        Ok(settings) => settings,
        Err(error) => return output.blind(&error),
    };
    match &arguments.command {
        Command::Demo(_) => unreachable!("handled above: the demo brings its own database"),
        Command::Migrate(migrate) => commands::migrate::run(migrate, &settings, output).await,
        Command::Rollback(rollback) => commands::rollback::run(rollback, &settings, output).await,
        Command::Diagnose => commands::diagnose::run(settings, output).await,
        Command::Mismatches(mismatches) => {
            commands::mismatches::run(mismatches, settings, output).await
        }
        Command::Recent => commands::recent::run(settings, output).await,
        Command::Health => commands::health::run(settings, output).await,
        Command::Verify => commands::verify::run(settings, output).await,
        Command::Events(events) => commands::events::run(events, settings, output).await,
        Command::Backfill(backfill) => commands::backfill::run(backfill, settings, output).await,
    }
}

/// An error of usage repeats what was typed, and goes into logs and tickets; not so an address or a
/// connection string in the wrong place.
fn discreet(mut error: clap::Error) -> clap::Error {
    let repeated: Vec<ContextKind> = error
        .context()
        .filter(|(_, value)| {
            matches!(value, ContextValue::String(text) if text.contains('@') || text.contains("://"))
        })
        .map(|(kind, _)| kind)
        .collect();
    for kind in repeated {
        error.insert(kind, ContextValue::String("***".to_owned()));
    }
    error
}
