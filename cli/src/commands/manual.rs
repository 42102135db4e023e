//! `rollcall manual`

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall manual > ~/.local/share/man/man1/rollcall.1
  rollcall manual backfill")]
pub(crate) struct ManualArguments {
    /// Which command
    command: Option<String>,
}

pub(crate) fn run(
    arguments: &ManualArguments,
    mut whole: Command,
    output: &Output,
) -> anyhow::Result<Exit> {
    // names of the subcommands in full, and the options that all of them have
    whole.build();
    let command = match &arguments.command {
        None => whole,
        Some(name) => whole
            .find_subcommand(name)
            .cloned()
            .context("there is no such command; rollcall --help lists them")?,
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    output.document(&page)?;
    Ok(Exit::Success)
}
