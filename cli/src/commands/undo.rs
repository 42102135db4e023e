//! `rollcall undo`

use rollcall::backfill::{self, KeptReason, MAX_KEPT, Undo};
use rollcall::connection_string::ConnectionSettings;
use rollcall::session::Session;
use rollcall::wording::counted;
use serde_json::json;

use super::confirmation;
use crate::arguments::UndoArguments;
use crate::exit::Exit;
use crate::output::Output;
use crate::table;

pub(crate) async fn run(
    arguments: &UndoArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    if !arguments.yes {
        confirmation::require_terminal()?;
        let preview = backfill::undo(&mut session, arguments.run_id, false).await?;
        let settings = session.settings();
        let is_wanted = confirmation::ask(&format!(
            "Delete {} that run {} created in database {} on {}? {} changed since or in use stay.",
            counted(preview.removed, "profile"),
            arguments.run_id,
            settings.database_name(),
            settings.host_name(),
            preview.kept,
        ))?;
        if !is_wanted {
            output.say("Nothing was changed.");
            return Ok(Exit::Failure);
        }
    }
    let done = backfill::undo(&mut session, arguments.run_id, true).await?;
    output.data(&json!({ "run_id": arguments.run_id, "undo": done }), || {
        text(&done)
    })?;
    Ok(Exit::Success)
}

fn text(done: &Undo) -> String {
    const SHOWN: usize = 20;
    let mut text = format!(
        "Took back {}; {} were gone already, {} stay.\n",
        counted(done.removed, "profile"),
        done.gone,
        done.kept
    );
    if done.kept_profiles.is_empty() {
        return text;
    }
    text += &table::with_head(
        ["user", "stays because"],
        done.kept_profiles.iter().take(SHOWN).map(|kept| {
            let reason = match kept.reason {
                KeptReason::Changed => "it was changed since",
                KeptReason::Referenced => "other rows refer to it",
                KeptReason::Refused => "the database refuses to delete it",
            };
            [kept.user_id.to_string(), reason.to_owned()]
        }),
    );
    if done.kept_profiles.len() > SHOWN {
        text += &format!(
            "and {} more: --format json lists up to {MAX_KEPT}\n",
            done.kept_profiles.len() - SHOWN
        );
    }
    text
}
