//! Asking before something is changed.

use std::io::IsTerminal;

use anyhow::bail;
use dialoguer::Confirm;

/// Asks on a terminal. Elsewhere nobody can answer, so the answer must have come as `--yes`.
pub(super) fn ask(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        bail!(
            "nothing was changed: there is no terminal to confirm on; to confirm beforehand, add --yes"
        );
    }
    Ok(Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()?)
}
