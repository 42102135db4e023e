//! What Rollcall's operations cost: each beside the baseline and the physical lower bound, on data that this program makes in
//! a throw-away server.
//!
//! Seconds depend on the machine, so only ratios are judged.

mod backfill;
mod data;
mod goals;
mod operation;
mod report;
mod signup;
mod timing;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use rollcall_sandbox::{Options, Server};

/// Measures Rollcall beside the baseline and the physical lower bound. Exit status 1: a ratio misses its goal.
#[derive(Debug, Parser)]
struct Arguments {
    /// Users of the project that is made
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    users: u32,

    /// Entries of its audit log, at least as many as users
    #[arg(long, default_value_t = 1_000_000)]
    audit: u32,

    /// How often each operation is run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Seconds for which each signup trigger is run, in each round of three
    #[arg(long, default_value_t = 2.0)]
    signup_seconds: f64,

    /// Leave the baseline out where it reads: it takes minutes at a million users
    #[arg(long)]
    no_baseline: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Exit 0 whatever the ratios are
    #[arg(long)]
    no_goals: bool,

    /// Leave the server running, and say how to connect
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut options = Options::from_env()?;
    options
        .settings
        .extend(data::SERVER_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let server = Server::start(&options)?;
    let database = data::create(&server, arguments.users, arguments.audit).await?;

    let mut operations =
        operation::measure(&database, arguments.rounds, !arguments.no_baseline).await?;
    operations.extend(backfill::measure(&database, arguments.rounds, arguments.users).await?);
    operations.extend(signup::measure(&database, arguments.signup_seconds).await?);
    let met = report::print(arguments, server.version(), &operations)?;

    if arguments.keep {
        let url = database.url();
        let kept = server.keep()?;
        report::kept(&url, &kept.stop_command());
    }
    Ok(if met || arguments.no_goals {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
