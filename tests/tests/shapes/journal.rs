//! What went wrong, step by step.

use anyhow::{Result, bail};

use crate::stage::Stage;

/// The failures of one shape.
pub(crate) struct Journal {
    shape: &'static str,
    failures: Vec<String>,
}

impl Journal {
    pub(crate) fn new(shape: &'static str) -> Self {
        Self {
            shape,
            failures: Vec::new(),
        }
    }

    /// Takes down how a step ended, and what it found on the way; whether it came to its end.
    pub(crate) fn step(&mut self, step: &str, end: Result<()>, stage: &mut Stage<'_>) -> bool {
        let found = stage
            .complaints
            .drain(..)
            .map(|complaint| format!("{step}: {complaint}"));
        self.failures.extend(found);
        match end {
            Ok(()) => true,
            Err(error) => {
                self.failures.push(format!("{step} did not end: {error:#}"));
                false
            }
        }
    }

    /// All failures in one message.
    pub(crate) fn verdict(self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let list: String = self
            .failures
            .iter()
            .map(|failure| format!("\n- {}", failure.trim_end().replace('\n', "\n    ")))
            .collect();
        bail!("{}: {} failures{list}", self.shape, self.failures.len())
    }
}
