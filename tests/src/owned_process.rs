//! A child process that lives no longer than the value that owns it, with all of its output.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::time::sleep;

/// How often a process is looked at that is waited for.
const POLL: Duration = Duration::from_millis(10);

/// How much of the output an error message repeats.
const TAIL_LINES: usize = 20;

/// A running child. Its output goes to unnamed temporary files: a child never blocks on a full
/// pipe, what it wrote before it answered can be read once the answer is there, and nothing of it
/// stays on the disk.
#[derive(Debug)]
pub(crate) struct OwnedProcess {
    child: Mutex<Child>,
    stdout: File,
    stderr: File,
}

impl OwnedProcess {
    /// Starts `command` with an empty standard input.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()?;
        Ok(Self {
            child: Mutex::new(child),
            stdout,
            stderr,
        })
    }

    /// `None` while it runs.
    pub(crate) fn exit_status(&self) -> io::Result<Option<ExitStatus>> {
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_wait()
    }

    /// Everything written to standard output so far.
    pub(crate) fn stdout(&self) -> io::Result<String> {
        contents(&self.stdout)
    }

    /// Everything written to standard error so far.
    pub(crate) fn stderr(&self) -> io::Result<String> {
        contents(&self.stderr)
    }

    /// Waits until `find` finds what it looks for in standard error. An error where the process ends before, or `limit`
    /// is over.
    pub(crate) async fn wait_for<T>(
        &self,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = find(&self.stderr()?) {
                return Ok(found);
            }
            if self.exit_status()?.is_some() || started.elapsed() > limit {
                bail!("it does not say what was waited for; {}", self.tail());
            }
            sleep(POLL).await;
        }
    }

    /// Waits until it has ended. An error where that takes longer than `limit`.
    pub(crate) async fn wait_for_end(&self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!("it did not end within {limit:?}; {}", self.tail());
            }
            sleep(POLL).await;
        }
    }

    /// Presses Ctrl-C.
    pub(crate) fn press_ctrl_c(&self) -> Result<()> {
        let id = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .id()
            .to_string();
        Command::new("kill").args(["-INT", &id]).status()?;
        Ok(())
    }

    /// Presses Ctrl-C and waits until it has ended.
    pub(crate) async fn interrupt(&self, limit: Duration) -> Result<ExitStatus> {
        self.press_ctrl_c()?;
        self.wait_for_end(limit).await
    }

    /// The last lines of both outputs, for an error message.
    pub(crate) fn tail(&self) -> String {
        let last_lines = |name: &str, text: io::Result<String>| match text {
            Ok(text) if text.is_empty() => format!("{name}: nothing"),
            Ok(text) => {
                let lines: Vec<&str> = text.lines().collect();
                let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
                format!("{name}, last lines:\n{}", shown.join("\n"))
            }
            Err(error) => format!("{name} cannot be read: {error}"),
        };
        [
            last_lines("stderr", self.stderr()),
            last_lines("stdout", self.stdout()),
        ]
        .join("\n")
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Both fail only for a child that has been waited for already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Reads from the start without moving the offset, which the child's descriptor shares.
fn contents(file: &File) -> io::Result<String> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
