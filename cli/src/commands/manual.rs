//! `rollcall manual`

use anyhow::Context;
use clap_mangen::Man;

use crate::arguments::ManualArguments;
use crate::examples;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(arguments: &ManualArguments, output: &Output) -> anyhow::Result<Exit> {
    let mut whole = examples::command();
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
