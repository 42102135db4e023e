//! stub
use crate::{arguments::DemoArguments, exit::Exit, output::Output};
pub(crate) async fn run(_: &DemoArguments, _: &Output) -> anyhow::Result<Exit> {
    Ok(Exit::Success)
}
