//! `rollcall migrate`

use rollcall::connection_string::ConnectionSettings;
use rollcall::database::Database;
use rollcall::migrations;
use serde_json::json;

use crate::arguments::MigrateArguments;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) async fn run(
    arguments: &MigrateArguments,
    settings: &ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut database = Database::connect(settings).await?;
    let applied = migrations::apply(&mut database, arguments.again).await?;
    for warning in &applied.warnings {
        output.warning(warning);
    }
    let versions: Vec<&str> = applied
        .migrations
        .iter()
        .map(|migration| migration.version)
        .collect();
    output.data(
        &json!({ "applied": versions, "version": migrations::newest(), "warnings": applied.warnings }),
        || {
            if applied.migrations.is_empty() {
                return format!("Up to date at {}.\n", migrations::newest());
            }
            applied
                .migrations
                .iter()
                .map(|m| format!("applied {} {}\n", m.version, m.name))
                .collect()
        },
    )?;
    Ok(Exit::Success)
}
