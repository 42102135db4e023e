//! The operating-system user that a server runs as. PostgreSQL refuses to run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The unprivileged user that root hands its servers to.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` for an ordinary user, whose servers run as that user; for root, `postgres` where
    /// that user exists and `nobody` elsewhere.
    ///
    /// # Errors
    /// If we are root and neither user exists, or `id` cannot be started.
    pub fn for_servers() -> Result<Option<Self>> {
        if id("-u", None)? != Some(0) {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", Some(name))?, id("-g", Some(name))?) {
                return Ok(Some(Self { uid, gid }));
            }
        }
        bail!(
            "PostgreSQL does not run as root, and there is no user postgres or nobody to run it \
             as. Run this as an ordinary user"
        )
    }

    /// Makes `command` run as this user.
    pub fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` itself, not what is below it, to this user.
    pub(crate) fn give(self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("{} could not be given to the server's user", path.display()))
    }
}

/// What `id` prints for a user, or for ourselves; `None` if there is no such user.
fn id(flag: &str, user: Option<&str>) -> Result<Option<u32>> {
    let output = Command::new("id")
        .arg(flag)
        .args(user)
        .output()
        .context("the command `id`, which tells who runs this program, could not be started")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
