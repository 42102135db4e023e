//! A fresh data directory.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::cache;

/// No ICU and no system locale, so that every build of PostgreSQL takes them; small WAL segments,
/// because the directory is copied for every server.
const INITDB: [&str; 8] = [
    "--auth=trust",
    "--username=supabase_admin",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--no-instructions",
    "--wal-segsize=1",
    "--pgdata",
];

/// Makes the data directory `data`: a copy of one that `initdb` made for the same programs before,
/// or, where nothing can be cached, one straight from `initdb`.
///
/// # Errors
/// If `initdb` fails or the disk is full.
pub(crate) fn create(binaries: &Binaries, account: Option<Account>, data: &Path) -> Result<()> {
    let cached = cache::folder(&name(binaries)?, |folder| {
        initdb(binaries, account, &folder.join("data"))
    });
    match cached {
        Ok(folder) => copy(&folder.join("data"), data, account).with_context(|| {
            format!(
                "{} could not be copied. Remove that folder, it will be made again",
                folder.display()
            )
        }),
        Err(_) => initdb(binaries, account, data),
    }
}

/// Two builds of one version can differ in what they compiled in, so the path counts as well.
fn name(binaries: &Binaries) -> Result<String> {
    let program = binaries.folder().join("postgres");
    let modified = fs::metadata(&program).and_then(|metadata| metadata.modified());
    let mut hasher = DefaultHasher::new();
    let modified = modified.with_context(|| format!("{} is unreadable", program.display()))?;
    (program, modified, binaries.version(), INITDB).hash(&mut hasher);
    Ok(format!("data-{:016x}", hasher.finish()))
}

fn initdb(binaries: &Binaries, account: Option<Account>, data: &Path) -> Result<()> {
    make_folder(data, account)?;
    let mut command = binaries.command("initdb");
    command.args(INITDB).arg(data).current_dir("/");
    if let Some(account) = account {
        account.apply(&mut command);
    }
    let output = command.output().with_context(|| {
        format!(
            "`initdb` in {} could not be started; as root, that folder has to be open to the \
             users postgres and nobody",
            binaries.folder().display()
        )
    })?;
    ensure!(
        output.status.success(),
        "`initdb` could not make a database server's files: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn copy(from: &Path, to: &Path, account: Option<Account>) -> Result<()> {
    make_folder(to, account)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target)?;
            account.map_or(Ok(()), |account| account.give(&target))?;
        }
    }
    Ok(())
}

/// PostgreSQL refuses a data directory that others can read.
fn make_folder(folder: &Path, account: Option<Account>) -> Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the folder {} could not be made", folder.display()))?;
    account.map_or(Ok(()), |account| account.give(folder))
}
