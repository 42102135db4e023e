//! `rollcall rollback`

use rollcall::connection_string::ConnectionSettings;
use rollcall::database::Database;
use rollcall::migrations::{self, Extent};
use serde_json::json;

use super::confirmation;
use crate::arguments::RollbackArguments;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) async fn run(
    arguments: &RollbackArguments,
    settings: &ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let (extent, what) = if arguments.extent.diagnostics {
        (Extent::Diagnostics, "Rollcall's diagnostics")
    } else {
        (Extent::Everything, "all of Rollcall, its events included,")
    };
    let question = format!(
        "Remove {what} from database {} on {}? Profiles stay.",
        settings.database_name(),
        settings.host_name()
    );
    if !arguments.yes && !confirmation::ask(&question)? {
        output.say("Nothing was changed.");
        return Ok(Exit::Failure);
    }
    let mut database = Database::connect(settings).await?;
    migrations::roll_back(&mut database, extent).await?;
    let remaining = migrations::applied(&mut database).await?;
    output.data(&json!({ "remaining": remaining }), || {
        match remaining.last() {
            Some(version) => format!("Removed. Migrations up to {version} remain.\n"),
            None => "Removed. No migration remains.\n".to_owned(),
        }
    })?;
    Ok(Exit::Success)
}
