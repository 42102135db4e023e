//! The guide's examples of tables and definitions.

use anyhow::{Context, Result, bail};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::definition::{self, DefinitionFile};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;

use crate::{GUIDE, blocks, document, section};

/// A project with the table of an example, where its definition is in force and nobody makes profiles.
async fn example(heading: &str) -> Result<Project> {
    let guide = document(GUIDE)?;
    let blocks = blocks(section(&guide, heading)?);
    let [table, file] = blocks.as_slice() else {
        bail!(
            "{heading} has {} blocks, not a table and a definition",
            blocks.len()
        );
    };
    let project = Project::without_rollcall().await?;
    project.connect().await?.batch_execute(&table.text).await?;
    project.migrate().await?;
    let file = DefinitionFile::parse(&file.text);
    definition::set(
        &mut project.rollcall().await?,
        &file.table.context("the file names its table")?,
        &file.query,
    )
    .await?;
    Ok(project)
}

async fn verdict(project: &Project) -> Result<Verdict> {
    Ok(Diagnosis::take(&mut project.rollcall().await?)
        .await?
        .verdict)
}

/// Signups of every kind that leave no profile; a repair; then the trigger, and signups of every kind again.
async fn live(project: &Project, expected: usize) -> Result<()> {
    let mut auth = project.auth().await?;
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    assert_eq!(verdict(project).await?, Verdict::Inconsistent);
    let client = project.connect().await?;
    let row = client
        .query_typed_one(
            "select a ->> 'successful', a ->> 'failed' from public.backfill_all_missing_profiles(1000, false) a",
            &[],
        )
        .await?;
    assert_eq!(
        (row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?),
        (expected.to_string(), "0".to_owned())
    );
    client
        .batch_execute("select rollcall.install_signup_trigger()")
        .await?;
    for (number, kind) in (100..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    assert_eq!(verdict(project).await?, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn a_table_of_another_shape() -> Result<()> {
    let project = example("### Another shape").await?;
    live(&project, SignupKind::ALL.len()).await?;
    // nobody names themselves an administrator
    let mut auth = project.auth().await?;
    let person = Person::numbered(200).with_metadata("role", "admin".into());
    auth.sign_up(SignupKind::EmailAutoconfirm, &person).await?;
    let buyers = "select count(*) from public.profiles where role = 'buyer'";
    assert_eq!(
        usize::try_from(project.count(buyers).await?)?,
        2 * SignupKind::ALL.len() + 1
    );
    Ok(())
}

#[tokio::test]
async fn a_table_of_another_name() -> Result<()> {
    let project = example("### Another table").await?;
    // one of the kinds is anonymous
    live(&project, SignupKind::ALL.len() - 1).await?;
    let profiles = "select count(*) from pg_catalog.pg_class where relname = 'profiles'";
    assert_eq!(project.count(profiles).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_table_with_a_text_key() -> Result<()> {
    let project = example("### A text key").await?;
    live(&project, SignupKind::ALL.len()).await?;
    let fitting = "select count(*) from public.profiles p join auth.users u on u.id::text = p.uid where p.plan = 'free'";
    assert_eq!(
        usize::try_from(project.count(fitting).await?)?,
        2 * SignupKind::ALL.len()
    );
    Ok(())
}

#[tokio::test]
async fn a_table_that_rollcall_creates() -> Result<()> {
    let project = Project::without_rollcall().await?;
    project.migrate().await?;
    assert_eq!(verdict(&project).await?, Verdict::Unknown);
    let guide = document(GUIDE)?;
    for block in blocks(section(&guide, "### No table yet")?) {
        project.connect().await?.batch_execute(&block.text).await?;
    }
    live(&project, SignupKind::ALL.len()).await
}
