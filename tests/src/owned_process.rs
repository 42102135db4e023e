//! A child process that lives no longer than the value that owns it, with all of its output.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
};

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

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .id()
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
