//! `rollcall demo`: the whole story on a database of its own, with the same checks, alert, repair and proof that run
//! in production.

mod signups;
mod story;

use clap::Args;
use rollcall_sandbox::{Options, Server};

use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall demo
  rollcall demo --keep")]
pub(crate) struct DemoArguments {
    /// Leave the database running, and say how to connect and how to stop it
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(arguments: &DemoArguments, output: &Output) -> anyhow::Result<Exit> {
    output.say("Starting a PostgreSQL of its own (a machine without one fetches 14 MB, once) ...");
    let server = Server::start(&Options::from_env()?)?;
    let database = server.create_database("demo").await?;
    output.say(&format!(
        "{} listens on 127.0.0.1:{}.",
        server.version(),
        server.port()
    ));

    let verdict = story::tell(&database, output).await?;

    if arguments.keep {
        let kept = server.keep()?;
        output.say(&format!(
            "\nThe database runs on. Every user of this machine may connect, as any role:\n\n  \
             export DATABASE_URL={}\n  {} diagnose\n\nTo stop and remove it:\n\n  {}",
            kept.url("postgres", database.name()),
            program(),
            kept.stop_command()
        ));
    }
    Ok(verdict.into())
}

/// This program as it can be typed.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "rollcall".to_owned())
}
