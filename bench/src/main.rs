//! What Rollcall's operations cost: each beside a baseline, a lower bound and its goal, on data that this program makes in a
//! throw-away server.
//!
//! Milliseconds depend on the machine, so only ratios and counts are judged.

mod backfill;
mod comparison;
mod data;
mod figure;
mod footprint;
mod look;
mod memory;
mod reader;
mod reports;
mod row;
mod scale;
mod scheduled;
mod signup;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use rollcall_sandbox::{Options, Server};

use crate::comparison::Condition;
use crate::reader::Reader;
use crate::row::Row;
use crate::scale::Size;

/// Measures Rollcall beside the baseline and the lower bound. Exit status 1: a ratio or a count misses its goal.
#[derive(Debug, Parser)]
struct Arguments {
    /// How large the project is that is made
    #[arg(long, value_enum, default_value_t = Size::S)]
    size: Size,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print a table in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let scale = arguments.size.scale();
    let mut options = Options::from_env()?;
    options
        .settings
        .extend(data::SERVER_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let server = Server::start(&options)?;
    let empty = data::project(&server, "empty").await?;
    let database = data::create(&server, &scale).await?;
    let mut reader = Reader::new(&database, &empty).await?;

    let unvacuumed = comparison::measure(&mut reader, Condition::Unanalyzed, scale.rounds).await?;
    data::vacuum(&database).await?;
    let mut rows = comparison::measure(&mut reader, Condition::Vacuumed, scale.rounds).await?;
    rows.extend(unvacuumed);
    rows.extend(reports::measure(&mut reader, scale.rounds).await?);
    rows.extend(scheduled::measure(&server, &database, scale.rounds).await?);
    rows.extend(backfill::measure(&database, &scale).await?);
    rows.extend(signup::measure(&database, &scale).await?);
    rows.extend(footprint::measure(&database, &scale).await?);
    data::update_everybody_twice(&database).await?;
    rows.extend(comparison::measure(&mut reader, Condition::Bloated, scale.rounds).await?);
    data::vacuum(&database).await?;
    rows.extend(look::measure(&database, scale.rounds).await?);

    table::print(arguments, &scale, server.version(), &rows)?;
    Ok(if rows.iter().all(Row::is_good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
