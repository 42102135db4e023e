//! `rollcall completions`

use clap::{Args, Command};

use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall completions bash > ~/.local/share/bash-completion/completions/rollcall
  rollcall completions zsh > ~/.zfunc/_rollcall")]
pub(crate) struct CompletionsArguments {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(crate) fn run(
    arguments: &CompletionsArguments,
    mut command: Command,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "rollcall", &mut script);
    output.document(&script)?;
    Ok(Exit::Success)
}
