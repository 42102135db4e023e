//! `rollcall export`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use rollcall::migrations::{self, export};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Judged, Report};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall export
  rollcall export --upgrade
  rollcall export db/migrations")]
pub(crate) struct ExportArguments {
    /// Where the file is written
    #[arg(value_name = "DIR", default_value = "supabase/migrations")]
    folder: PathBuf,

    /// Only what is new since the exports that are there
    #[arg(long)]
    upgrade: bool,
}

/// A file of all migrations.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ExportReport<'a> {
    /// Where it is.
    file: &'a Path,
    /// Whether it is new; false: it was there, and nothing is missing.
    is_written: bool,
    /// The newest migration of this program.
    version: &'a str,
}

pub(crate) fn run(arguments: &ExportArguments, output: &Output) -> anyhow::Result<Exit> {
    let folder = &arguments.folder;
    let done = export::write(folder, arguments.upgrade, Timestamp::now()).with_context(|| {
        format!(
            "nothing was written to {}: run this where the project's folder supabase is, or name the folder of the migrations",
            folder.display()
        )
    })?;
    let (path, is_written) = match &done {
        export::Export::Written(path) => (path, true),
        export::Export::UpToDate(path) => (path, false),
    };
    let report = Judged::done(ExportReport {
        file: path,
        is_written,
        version: migrations::newest(),
    });
    output.data(&Report::Export(report), || {
        if is_written {
            format!(
                "Wrote {}: Rollcall {}.\nApply it as you do your own: supabase db push\n",
                path.display(),
                migrations::newest()
            )
        } else {
            format!(
                "Up to date: {} is the newest, and nothing is missing.\n",
                path.display()
            )
        }
    })?;
    Ok(Exit::Success)
}
