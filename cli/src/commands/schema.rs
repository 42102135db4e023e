//! `rollcall schema`

use crate::exit::Exit;
use crate::output::Output;
use crate::report;

pub(crate) fn run(output: &Output) -> anyhow::Result<Exit> {
    let text = serde_json::to_string_pretty(&report::schema())? + "\n";
    output.document(text.as_bytes())?;
    Ok(Exit::Success)
}
