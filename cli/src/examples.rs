//! The command line with examples in the help of every command, and the version that it tells.

use std::sync::LazyLock;

use clap::error::Error;
use clap::{Command, CommandFactory, FromArgMatches};
use rollcall::migrations;

use crate::arguments::Arguments;

/// Program and migrations go together: a database with others is refused.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (migrations {})",
        env!("CARGO_PKG_VERSION"),
        migrations::newest()
    )
});

/// Examples by command, each line a whole command.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("schema", &["rollcall schema > rollcall.schema.json"]),
    ("demo", &["rollcall demo", "rollcall demo --keep"]),
    (
        "migrate",
        &[
            "rollcall migrate",
            "rollcall migrate --plan",
            "rollcall migrate --yes --replace-api",
        ],
    ),
    (
        "export",
        &[
            "rollcall export",
            "rollcall export --upgrade",
            "rollcall export db/migrations",
        ],
    ),
    (
        "rollback",
        &[
            "rollcall rollback",
            "rollcall rollback --diagnostics --plan",
            "rollcall rollback --yes",
        ],
    ),
    (
        "definition",
        &[
            "rollcall definition show",
            "rollcall definition draft public.members > members.sql",
            "rollcall definition set members.sql",
            "rollcall definition check",
        ],
    ),
    (
        "trigger",
        &[
            "rollcall trigger status",
            "rollcall trigger install",
            "rollcall trigger install --apply",
            "rollcall trigger guard public.handle_new_user --apply",
        ],
    ),
    (
        "diagnose",
        &["rollcall diagnose", "rollcall diagnose --format json"],
    ),
    (
        "mismatches",
        &[
            "rollcall mismatches --limit 20",
            "rollcall mismatches --show-pii --format json",
        ],
    ),
    ("recent", &["rollcall recent"]),
    (
        "health",
        &["rollcall health", "rollcall health --format json"],
    ),
    ("verify", &["rollcall verify"]),
    (
        "events",
        &["rollcall events 7d444840-9dc0-11d1-b245-5ffdce74fad2"],
    ),
    (
        "explain",
        &[
            "rollcall explain 7d444840-9dc0-11d1-b245-5ffdce74fad2",
            "rollcall explain ada@example.com",
        ],
    ),
    (
        "doctor",
        &["rollcall doctor", "rollcall doctor --format json"],
    ),
    ("ci", &["rollcall ci", "rollcall ci --format json"]),
    ("probe", &["rollcall probe", "rollcall probe --format json"]),
    (
        "dashboard",
        &[
            "rollcall dashboard",
            "rollcall dashboard --port 8080 --refresh 10",
            "rollcall dashboard --format json",
        ],
    ),
    (
        "watch",
        &[
            "rollcall watch",
            "rollcall watch --every 1m --to https://example.com/hook --project myapp",
        ],
    ),
    (
        "check",
        &[
            "rollcall check",
            "rollcall check --to https://example.com/hook --message slack",
            "rollcall check --ping https://hc-ping.com/7d444840-9dc0-11d1-b245-5ffdce74fad2",
        ],
    ),
    (
        "backfill",
        &[
            "rollcall backfill",
            "rollcall backfill --apply",
            "rollcall backfill --apply --yes --batch-size 200 --max-users 1000",
            "rollcall backfill --apply --user 7d444840-9dc0-11d1-b245-5ffdce74fad2",
            "rollcall backfill --replay",
        ],
    ),
    (
        "sync-emails",
        &[
            "rollcall sync-emails",
            "rollcall sync-emails --apply",
            "rollcall sync-emails --all --apply --yes",
        ],
    ),
    ("runs", &["rollcall runs", "rollcall runs --format json"]),
    ("undo", &["rollcall undo 7d444840"]),
    (
        "completions",
        &[
            "rollcall completions bash > ~/.local/share/bash-completion/completions/rollcall",
            "rollcall completions zsh > ~/.zfunc/_rollcall",
        ],
    ),
    (
        "manual",
        &[
            "rollcall manual > ~/.local/share/man/man1/rollcall.1",
            "rollcall manual backfill",
        ],
    ),
];

/// Everything that can be typed.
pub(crate) fn command() -> Command {
    let mut command = Arguments::command().version(VERSION.as_str());
    for (name, lines) in EXAMPLES {
        if command.find_subcommand(name).is_some() {
            let examples = format!("Examples:\n  {}", lines.join("\n  "));
            command = command.mut_subcommand(name, |subcommand| subcommand.after_help(examples));
        }
    }
    command
}

/// What was typed.
///
/// # Errors
/// What clap has to say, help and version included.
pub(crate) fn parse() -> Result<Arguments, Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        for subcommand in command().get_subcommands() {
            let name = subcommand.get_name();
            let lines = EXAMPLES
                .iter()
                .find_map(|(command, lines)| (*command == name).then_some(*lines))
                .unwrap_or_else(|| panic!("{name} has no examples"));
            for line in lines {
                let typed = line.split(" > ").next().expect("a command").split(' ');
                let understood = Arguments::try_parse_from(typed);
                assert!(understood.is_ok(), "{line}: {understood:?}");
                assert_eq!(line.split(' ').nth(1), Some(name), "{line}");
            }
        }
    }
}
