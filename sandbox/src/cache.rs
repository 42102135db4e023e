//! Things that are slow to make and worth keeping between runs.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::account::Account;

/// Returns the cached folder `name`, which `make` fills on first use.
///
/// Processes that ask at the same time wait for each other, and a folder appears under its name
/// only when `make` has succeeded.
///
/// # Errors
/// If there is no place for a cache, or `make` fails.
pub(crate) fn folder(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = location()?;
    let finished = cache.join(name);
    if finished.exists() {
        return Ok(finished);
    }
    let lock = File::create(cache.join(format!("{name}.lock")))
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("{} could not be locked", cache.display()))?;
    if finished.exists() {
        return Ok(finished);
    }
    let prefix = format!("{name}.partial-");
    remove_remains(&cache, &prefix);

    let partial = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(&cache)
        .with_context(|| format!("no folder could be made in {}", cache.display()))?;
    fs::set_permissions(partial.path(), Permissions::from_mode(0o755))?;
    make(partial.path())?;
    fs::rename(partial.keep(), &finished)
        .with_context(|| format!("{} could not be put in place", finished.display()))?;
    drop(lock);
    Ok(finished)
}

/// Whoever left these died while holding the lock that we hold now. What cannot be removed is
/// only wasted space.
fn remove_remains(cache: &Path, prefix: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The cache's own folder, made if need be.
fn location() -> Result<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let location = if Account::for_servers()?.is_some() {
        // Root's home is closed to the user that the server runs as.
        Path::new(if cfg!(target_os = "macos") {
            "/Library/Caches"
        } else {
            "/var/cache"
        })
        .into()
    } else if let Some(cache) = variable("XDG_CACHE_HOME") {
        cache
    } else {
        let home = variable("HOME").context(
            "there is no place to keep PostgreSQL between runs. Set HOME or XDG_CACHE_HOME",
        )?;
        home.join(if cfg!(target_os = "macos") {
            "Library/Caches"
        } else {
            ".cache"
        })
    }
    .join("rollcall");
    fs::create_dir_all(&location)
        .and_then(|()| fs::set_permissions(&location, Permissions::from_mode(0o755)))
        .with_context(|| format!("the cache folder {} could not be made", location.display()))?;
    Ok(location)
}
