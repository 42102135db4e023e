//! What went wrong, step by step.

use anyhow::{Result, bail};

use crate::stage::Stage;

/// The failures of one shape.
pub(crate) struct Journal {
    shape: String,
    /// The steps, and what was found in them.
    failures: Vec<(String, String)>,
}

impl Journal {
    pub(crate) fn new(shape: &str) -> Self {
        Self {
            shape: shape.to_owned(),
            failures: Vec::new(),
        }
    }

    /// Takes down how a step ended, and what it found on the way; whether it came to its end.
    pub(crate) fn step(&mut self, step: &str, end: Result<()>, stage: &mut Stage<'_>) -> bool {
        for complaint in stage.complaints.drain(..) {
            // what one step says again is said once
            match self
                .failures
                .iter_mut()
                .find(|(_, earlier)| *earlier == complaint)
            {
                Some((steps, _)) if steps.ends_with(step) => {}
                Some((steps, _)) => *steps += &format!(", {step}"),
                None => self.failures.push((step.to_owned(), complaint)),
            }
        }
        match end {
            Ok(()) => true,
            Err(error) => {
                self.failures
                    .push((step.to_owned(), format!("did not end: {error:#}")));
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
            .map(|(steps, failure)| {
                format!(
                    "\n- {steps}: {}",
                    failure.trim_end().replace('\n', "\n    ")
                )
            })
            .collect();
        bail!("{}: {} failures{list}", self.shape, self.failures.len())
    }
}
