//! Asking before something is changed.

use std::io::IsTerminal;

use anyhow::bail;
use dialoguer::Confirm;

/// Elsewhere than on a terminal nobody can answer, so the answer must have come as `--yes`.
pub(super) fn require_terminal() -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        bail!(
            "nothing was changed: there is no terminal to confirm on; to confirm beforehand, add --yes"
        );
    }
    Ok(())
}

/// Asks on a terminal.
pub(super) fn ask(question: &str) -> anyhow::Result<bool> {
    require_terminal()?;
    Ok(Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()?)
}
