//! `rollcall completions`

use crate::arguments::CompletionsArguments;
use crate::examples;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(arguments: &CompletionsArguments, output: &Output) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut examples::command(),
        "rollcall",
        &mut script,
    );
    output.document(&script)?;
    Ok(Exit::Success)
}
