//! The real Supabase CLI (npm's package `supabase`), on a folder with a project's migrations, against a test's database.
//!
//! It needs no Docker for what is used here. What does need it (`db diff` against migrations, `db pull` into one,
//! `migration squash`) starts a second PostgreSQL of Supabase's, and ends with words about Docker where there is none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::command_line::{self, Finished};
use crate::missing;

/// A folder with `supabase/migrations`, as a developer has it.
#[derive(Debug)]
pub struct SupabaseCli {
    program: PathBuf,
    folder: TempDir,
}

impl SupabaseCli {
    /// A project without a migration; none, and a word about it, where the program is not installed. In CI that is an error.
    pub fn find() -> Result<Option<Self>> {
        let Some(program) = env::var_os("ROLLCALL_TEST_SUPABASE").map(PathBuf::from) else {
            missing::skip(
                "skipped: what needs the Supabase CLI (tests/run installs it, where npm is)",
            )?;
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("supabase/migrations"))?;
        fs::write(
            folder.path().join("supabase/config.toml"),
            "project_id = \"app\"\n[db]\nmajor_version = 15\n",
        )?;
        Ok(Some(Self { program, folder }))
    }

    /// The folder of the project.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of its migrations.
    pub fn migrations(&self) -> PathBuf {
        self.folder().join("supabase/migrations")
    }

    /// Writes a migration.
    pub fn add(&self, file_name: &str, sql: &str) -> Result<()> {
        fs::write(self.migrations().join(file_name), sql)?;
        Ok(())
    }

    /// The file that `rollcall export` has written last.
    pub fn exported(&self) -> Result<PathBuf> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.migrations())? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("_rollcall.sql") {
                files.push(path);
            }
        }
        files.sort();
        files
            .pop()
            .ok_or_else(|| anyhow::anyhow!("nothing was exported"))
    }

    /// Runs a command to its end, with every question answered by yes.
    pub async fn run(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--yes")
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .env("SUPABASE_TELEMETRY_DISABLED", "1");
        command_line::run(command, &format!("(supabase) {}", arguments.join(" "))).await
    }

    /// The same of one that must succeed.
    pub async fn succeed(&self, arguments: &[&str]) -> Result<Finished> {
        let finished = self.run(arguments).await?;
        ensure!(finished.status == Some(0), "{finished}");
        Ok(finished)
    }

    /// What pg-delta, which Supabase's declarative schemas use, finds to do to bring one database to the state of another.
    pub async fn difference(&self, from: &str, to: &str) -> Result<String> {
        let file = self.folder().join("difference.sql");
        let _ = fs::remove_file(&file);
        let output = file.to_string_lossy().into_owned();
        self.succeed(&[
            "db",
            "diff",
            "--use-pg-delta",
            "--from",
            from,
            "--to",
            to,
            "-o",
            &output,
        ])
        .await?;
        Ok(fs::read_to_string(&file)
            .unwrap_or_default()
            .trim()
            .to_owned())
    }
}
