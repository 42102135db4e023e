//! The folder that a server keeps everything in.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::account::Account;

/// For root the folder has to be open to the user that the server runs as, all the way down.
pub(crate) fn create(account: Option<Account>) -> Result<tempfile::TempDir> {
    let mut parent = std::env::temp_dir();
    if account.is_some() {
        let open = |path: &Path| {
            fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        };
        if !parent.ancestors().all(open) {
            parent = PathBuf::from("/tmp");
        }
    }
    let folder = tempfile::Builder::new()
        .prefix("rollcall-server-")
        .tempdir_in(&parent)
        .with_context(|| {
            format!(
                "no folder for the database server could be made in {}. Point TMPDIR to a folder \
                 that can be written to",
                parent.display()
            )
        })?;
    if account.is_some() {
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    }
    Ok(folder)
}
