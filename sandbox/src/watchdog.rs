//! Stops a server and removes its files when the process that started it is gone, however it went.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// A shell that waits for the end of a pipe whose other end only we hold. The kernel closes that
/// end when we exit, crash or are killed, so nothing has to run for the clean-up to begin.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over `folder`, in a process group of its own, so that Ctrl-C does not reach it.
    ///
    /// # Errors
    /// If there is no `sh`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh"), "rollcall-watchdog"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("`sh`, which cleans up after the database server, could not be started")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// From now on the server is process `pid`, or there is none.
    pub(crate) fn watch(&mut self, pid: Option<u32>) -> Result<()> {
        self.tell(&pid.map_or_else(|| "none".to_owned(), |pid| pid.to_string()))
    }

    /// Leaves the server and its files alone for good.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.tell("keep")?;
        self.finish(|| ());
        Ok(())
    }

    /// Stops the server and removes its files, once. `reap` waits for the server, which does not
    /// go away until its parent has done so.
    pub(crate) fn finish(&mut self, reap: impl FnOnce()) {
        if self.pipe.take().is_some() {
            reap();
            // Fails only if it was waited for before.
            let _ = self.shell.wait();
        }
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let pipe = self
            .pipe
            .as_mut()
            .context("the database server is already being stopped")?;
        writeln!(pipe, "{word}").context(
            "the shell that cleans up after the database server has ended. Stop the server by \
             hand if it still runs",
        )
    }
}
