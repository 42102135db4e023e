//! Every check of the doctor, one test each under the check's own name: content with what is healthy, content with a
//! harmless variant, one finding when it is made wrong, which is true of the next signup, and none once it is fixed. Where
//! the finding has SQL of its own, that is what fixes it, and it takes nothing away that held before.

mod definition;
mod functions;
mod rights;
mod triggers;
mod users;
mod walk;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::doctor::{DoctorReport, check_ids};
use rollcall::checks::health::HealthReport;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Server, SignupKind};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::project::Project;
use uuid::Uuid;

use crate::walk::{
    INSERT, ITS_TRIGGER, PROFILES, WALK, body, examine, function, ids, signup_works, trigger,
};

#[tokio::test]
async fn a_doctor_who_cannot_look_says_so() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute("drop function rollcall.row_facts()")
        .await?;
    let mut database = project.rollcall().await?;
    ensure!(DoctorReport::take(&mut database).await.is_err());
    ensure!(HealthReport::take(&mut database).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_check_that_fails_by_itself_hides_no_other() -> Result<()> {
    let project = WALK.prepared().await?;
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "create or replace function rollcall.audit_log_state() returns text language plpgsql as $$ begin return 1 / 0; end $$; {}",
            body(&INSERT.replace("public.", ""))
        ))
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Inconsistent);
    let of = |id| report.findings.iter().find(|finding| finding.id == id);
    let failed = of("audit_log_not_written").context("it is not said")?;
    assert_eq!(failed.verdict(), Verdict::Unknown);
    ensure!(of("signup_function_search_path").is_some(), "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn whoever_waits_for_a_lock_accuses_nobody() -> Result<()> {
    let project = WALK.prepared().await?;
    let mut admin = project.connect_as_superuser().await?;
    let transaction = admin.transaction().await?;
    transaction
        .batch_execute("lock table auth.users in access exclusive mode")
        .await?;
    let error = DoctorReport::take(&mut project.rollcall().await?)
        .await
        .expect_err("the users are locked");
    ensure!(error.is_retryable(), "{error:?}");
    transaction.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn without_a_definition_the_signup_path_is_examined_all_the_same() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute("create table public.notes (id bigint primary key, body text)")
        .await?;
    project.migrate().await?;
    client
        .batch_execute(&trigger(
            "after insert on auth.users",
            "",
            "insert into public.gone values (new.id);",
        ))
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Inconsistent);
    let ids: Vec<&str> = report.findings.iter().map(|finding| finding.id).collect();
    ensure!(
        ids.contains(&"no_definition") && ids.contains(&"signup_function_names_unknown_object"),
        "{ids:?}"
    );
    client
        .batch_execute("drop function public.further() cascade")
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Unknown);
    assert_eq!(report.findings[0].id, "no_definition");
    Ok(())
}

#[tokio::test]
async fn the_reports_say_what_the_doctor_finds_critical_and_leave_its_warnings_to_it() -> Result<()>
{
    let project = WALK.prepared().await?;
    let client = project.connect().await?;
    // blocks every signup, so that there is no row to count
    client
        .batch_execute(&format!(
            "{} alter table public.profiles add column tenant uuid not null default gen_random_uuid()",
            function("", "insert into profiles (id) values (new.id); perform pg_sleep(0);")
        ))
        .await?;
    ensure!(!signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    assert_eq!(project.count("select count(*) from auth.users").await?, 0);
    let health = HealthReport::take(&mut project.rollcall().await?).await?;
    let diagnosis = Diagnosis::take(&mut project.rollcall().await?).await?;
    let critical = [
        "signup_function_runs_as_caller",
        "signup_function_search_path",
    ];
    for (verdict, findings, others) in [
        (health.verdict, health.findings, &[][..]),
        // nobody who asks by a schedule waits for the log to be read
        (
            diagnosis.verdict,
            diagnosis.findings,
            &["audit_log_not_written"],
        ),
    ] {
        assert_eq!(verdict, Verdict::Inconsistent);
        let ids: Vec<&str> = findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, [&critical[..], others].concat());
    }
    ensure!(ids(&project).await?.contains(&"signup_function_waits"));
    Ok(())
}

#[tokio::test]
async fn the_monitors_role_sees_the_same() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = WALK.prepared_on(&server).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("alter role rollcall_monitor login; alter table public.profiles add constraint is_company check (email like '%@company.example')")
        .await?;
    project.break_signups().await?;
    let owner = project.url();
    let as_owner = rollcall(&[("DATABASE_URL", &owner)], &["doctor", "--format", "json"])
        .await?
        .json()?["findings"]
        .take();
    let url = project.database.url_as("rollcall_monitor");
    let finished = rollcall(&[("DATABASE_URL", &url)], &["doctor", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    let report = finished.json()?;
    assert_eq!(report["verdict"], "inconsistent");
    assert_eq!(report["findings"], as_owner);
    assert_eq!(report["findings"][0]["id"], "signup_trigger_disabled");
    ensure!(
        report["findings"][0]["fix"]
            .as_str()
            .is_some_and(|fix| fix.starts_with("create or replace trigger"))
    );
    Ok(())
}

#[tokio::test]
async fn looking_without_installing_says_the_same() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "{PROFILES} {ITS_TRIGGER} {}",
            body(&INSERT.replace("public.", ""))
        ))
        .await?;
    let url = project.url();
    let finished = rollcall(&[("DATABASE_URL", &url)], &["doctor", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    assert_eq!(
        finished.json()?["findings"][0]["id"],
        "signup_function_search_path"
    );
    assert_eq!(
        project
            .count("select count(*) from pg_namespace where nspname = 'rollcall'")
            .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn the_command_prints_the_findings_with_their_fix() -> Result<()> {
    let project = WALK.prepared().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let mut transcript = rollcall(&env, &["doctor"]).await?.to_string();
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "{} alter table public.profiles drop constraint profiles_id_fkey",
            function("security definer", &INSERT.replace("public.", ""))
        ))
        .await?;
    transcript += &rollcall(&env, &["doctor"]).await?.to_string();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"Database .* UTC", "Database [name], [time]");
    settings.bind(|| insta::assert_snapshot!(transcript));
    Ok(())
}

#[test]
fn a_check_is_a_file_an_id_a_test_and_a_section() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ids: BTreeSet<String> = check_ids().map(ToOwned::to_owned).collect();
    assert_eq!(ids.len(), check_ids().count());

    let mut files = BTreeSet::new();
    for entry in fs::read_dir(root.join("shared/src/checks/doctor"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        files.extend(name.strip_suffix(".sql").map(ToOwned::to_owned));
    }
    assert_eq!(files, ids);

    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(root.join("tests/tests/doctor"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let names = fs::read_to_string(path)?;
            let names = names
                .lines()
                .filter_map(|line| line.strip_prefix("async fn ")?.split('(').next());
            tests.extend(names.map(ToOwned::to_owned));
        }
    }
    assert_eq!(ids.difference(&tests).collect::<Vec<_>>(), [""; 0]);

    let sections: BTreeSet<String> = fs::read_to_string(root.join("docs/doctor.md"))?
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|id| id.trim_matches('`').to_owned())
        .collect();
    assert_eq!(sections, ids);
    Ok(())
}

#[tokio::test]
async fn nothing_that_the_doctor_says_repeats_a_value() -> Result<()> {
    let project = WALK.prepared().await?;
    let client = project.connect().await?;
    let marker = Uuid::new_v4().simple().to_string();
    client
        .batch_execute(&format!(
            "insert into auth.users (id, email, raw_user_meta_data) values (gen_random_uuid(), 'x{marker}@example.com', '{{\"name\": \"{marker}\"}}');
             alter table public.profiles add column col_{0} uuid not null default gen_random_uuid();
             alter table public.profiles alter column col_{0} drop default",
            &marker[..8]
        ))
        .await?;
    let report = serde_json::to_string(&examine(&project).await?)?;
    ensure!(
        report.contains("unfilled_columns") && !report.contains(&marker),
        "{report}"
    );
    Ok(())
}
