//! Shapes of real applications. Each is played twice: on a project that meets Rollcall and on a twin that never does. A
//! look leaves nothing, an install changes nothing that was there, the same signups give the same rows and the same
//! refusals, a repair makes what the application would have made, and a rollback leaves what the twin has.
//!
//! The corpus is in `tests/shapes`: a file for each shape, as the application's own migrations would be, with what is
//! expected of it in its head (see `shape`). `generated` makes others at random.

mod generated;
mod install;
mod journal;
mod later;
mod look;
mod people;
mod repair;
mod report;
mod shape;
mod stage;
mod trigger;

use std::{collections::BTreeSet, fs};

use anyhow::{Result, ensure};

use journal::Journal;
use shape::Shape;
use stage::Stage;

/// Plays a shape from the first look to the rollback; a step that fails hides no later one that can still be taken.
async fn play(name: &str, sql: &str) -> Result<()> {
    let shape = Shape::parse(name, sql)?;
    let mut journal = Journal::new(name);
    let mut stage = Stage::new(&shape).await?;
    journal.step(
        "before",
        people::before_rollcall(&mut stage).await,
        &mut stage,
    );
    journal.step("look", look::look(&mut stage).await, &mut stage);
    if journal.step("migrate", install::install(&mut stage).await, &mut stage) {
        journal.step(
            "signups",
            people::with_rollcall(&mut stage).await,
            &mut stage,
        );
        journal.step("reports", report::reports(&mut stage).await, &mut stage);
        journal.step(
            "trigger",
            trigger::make_and_remove(&mut stage).await,
            &mut stage,
        );
        journal.step("repair", repair::repair(&mut stage).await, &mut stage);
        journal.step("later", later::alter_and_drop(&mut stage).await, &mut stage);
        journal.step("rollback", install::roll_back(&mut stage).await, &mut stage);
    }
    journal.verdict()
}

/// One test for each shape, so that they run side by side.
macro_rules! shapes {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                play(stringify!($name), include_str!(concat!("../../shapes/", stringify!($name), ".sql"))).await
            }
        )*
        const PLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

shapes![
    accounts_with_own_key,
    anonymous_left_out,
    before_anonymous_users,
    camel_case_text_key,
    careful_form,
    chosen_username,
    claimed_by_email,
    composite_key,
    deferred_on_the_profile,
    domain_types,
    email_required,
    first_user_is_admin,
    follows_updates_and_deletions,
    gate_before_the_insert,
    gate_in_the_function,
    gate_with_its_own_code,
    generated_with_roles,
    hidden_cast,
    hidden_schema,
    key_without_reference,
    made_at_commit,
    made_at_confirmation,
    made_by_the_client,
    made_by_the_client_and_followed,
    made_with_the_identity,
    metadata_copied_on_update,
    names_taken,
    names_with_spaces,
    no_profile_table,
    odd_types,
    optional_table,
    our_own_names,
    partitioned_profiles,
    plan_and_credits,
    quota_and_web_hook,
    seven_required_columns,
    statement_trigger,
    statement_trigger_that_bears_a_row,
    subscriptions,
    table_behind_a_view,
    team_chat,
    teams_and_memberships,
    tenant_per_signup,
    trigger_to_a_missing_table,
    unqualified_names,
    user_management,
    username_from_the_address,
    users_filled_by_the_server,
    wallet_before_the_profile,
];

#[test]
fn every_file_of_the_corpus_is_played() -> Result<()> {
    let files: BTreeSet<String> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/shapes"))?
        .map(|entry| {
            Ok(entry?
                .path()
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned())
        })
        .collect::<Result<_>>()?;
    let played: BTreeSet<String> = PLAYED.iter().map(|name| (*name).to_owned()).collect();
    ensure!(
        files == played,
        "not both a file and a test: {:?}",
        files.symmetric_difference(&played)
    );
    Ok(())
}
