//! The probe: a signup of every kind that is tried and taken back.

use anyhow::{Context, Result, ensure};
use rollcall::checks::probe::{ProbeOutcome, ProbeReport};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::lambda::Lambda;
use rollcall_tests::pooler::Pooler;
use rollcall_tests::project::{self, Project};
use rollcall_tests::sql::{catalog, contents, difference, refusal, values};
use serde_json::json;

const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text
    );";

/// The application's function in Rollcall's place.
fn function(options: &str, body: &str) -> String {
    format!(
        "create or replace function public.handle_new_user() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$;"
    )
}

async fn project_with(before: &str, after: &str) -> Result<Project> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(before).await?;
    project.migrate().await?;
    client.batch_execute(after).await?;
    Ok(project)
}

async fn probe(project: &Project) -> Result<ProbeReport> {
    Ok(ProbeReport::take(&mut project.rollcall().await?).await?)
}

/// The outcome, and the SQLSTATE with the columns where there are some, of every kind.
fn outcomes(report: &ProbeReport) -> Vec<(String, ProbeOutcome, String)> {
    let signups = report.signups.iter().flatten();
    signups
        .map(|signup| {
            let mut reason: Vec<String> = signup
                .sqlstate
                .iter()
                .chain(&signup.column)
                .cloned()
                .collect();
            reason.extend(signup.wrong_columns.clone());
            (signup.kind.clone(), signup.outcome, reason.join(" "))
        })
        .collect()
}

fn ids(report: &ProbeReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

/// All kinds but these have one outcome, and these another.
fn assert_outcomes(
    report: &ProbeReport,
    most: (ProbeOutcome, &str),
    others: &[&str],
    other: (ProbeOutcome, &str),
) {
    for (kind, outcome, reason) in outcomes(report) {
        let wanted = if others.contains(&kind.as_str()) {
            other
        } else {
            most
        };
        assert_eq!((outcome, reason.as_str()), wanted, "{kind}: {report:#?}");
    }
}

const RIGHT: (ProbeOutcome, &str) = (ProbeOutcome::RightProfile, "");
const WITHOUT_EMAIL: [&str; 3] = ["phone", "anonymous", "web3"];

async fn sequences(project: &Project) -> Result<Vec<String>> {
    values(
        &project.connect_as_superuser().await?,
        "select schemaname || '.' || sequencename || ' ' || coalesce(last_value, 0) from pg_sequences order by 1",
    )
    .await
}

#[tokio::test]
async fn every_kind_gets_its_profile_and_nothing_stays_behind() -> Result<()> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    project.add_users_without_profile(2).await?;
    let admin = project.connect_as_superuser().await?;
    let (objects, rows, counters) = (
        catalog(&admin).await?,
        contents(&admin).await?,
        sequences(&project).await?,
    );
    let report = probe(&project).await?;
    assert_eq!(report.verdict, Verdict::Consistent, "{report:#?}");
    let kinds: Vec<String> = outcomes(&report)
        .into_iter()
        .map(|(kind, ..)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "email",
            "phone",
            "oauth",
            "sso",
            "anonymous",
            "web3",
            "admin_created",
            "odd_metadata"
        ]
    );
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    assert_eq!(difference(&objects, &catalog(&admin).await?), [""; 0]);
    assert_eq!(difference(&rows, &contents(&admin).await?), [""; 0]);
    // the one exception, which the report names
    let moved = difference(&counters, &sequences(&project).await?);
    ensure!(
        moved.len() == 2
            && moved
                .iter()
                .all(|line| line.contains("public.user_events_id_seq")),
        "{moved:?}"
    );
    ensure!(
        report
            .not_seen
            .iter()
            .any(|item| item.starts_with("sequences advance"))
    );
    Ok(())
}

#[tokio::test]
async fn nothing_stays_behind_either_where_signups_fail() -> Result<()> {
    for (after, what) in [
        (
            function(
                "security definer",
                "insert into profiles (id) values (new.id);",
            ),
            "blocked",
        ),
        (
            "alter table public.profiles add column birthday date not null".to_owned(),
            "no profile",
        ),
    ] {
        let project = project_with(PROFILES, &after).await?;
        let admin = project.connect_as_superuser().await?;
        let (objects, rows) = (catalog(&admin).await?, contents(&admin).await?);
        let report = probe(&project).await?;
        assert_eq!(report.verdict, Verdict::Inconsistent, "{what}");
        assert_eq!(
            difference(&objects, &catalog(&admin).await?),
            [""; 0],
            "{what}"
        );
        assert_eq!(
            difference(&rows, &contents(&admin).await?),
            [""; 0],
            "{what}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_who_commits_keeps_nothing_of_it() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let rows = contents(&client).await?;
    client
        .batch_execute("begin; select rollcall.probe_signup('email'); commit")
        .await?;
    assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);
    assert_eq!(
        refusal(&client, "select rollcall.probe_signup('nobody')")
            .await
            .as_deref(),
        Some("22023")
    );
    Ok(())
}

#[tokio::test]
async fn the_search_path_is_that_of_supabase_auth() -> Result<()> {
    let project = project_with(
        PROFILES,
        &function(
            "security definer",
            "insert into profiles (id, email) values (new.id, new.email);",
        ),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Blocked, "42P01"), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Inconsistent, vec!["signups_blocked"])
    );
    Ok(())
}

#[tokio::test]
async fn only_the_kinds_that_fail_are_named() -> Result<()> {
    let project = project_with(
        PROFILES,
        &(function(
            "security definer set search_path = ''",
            "insert into public.profiles (id, email) values (new.id, new.email);",
        ) + "alter table public.profiles alter column email set not null"),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &WITHOUT_EMAIL,
        (ProbeOutcome::Blocked, "23502 email"),
    );
    ensure!(report.findings[0].summary.ends_with(
        "phone (SQLSTATE 23502, column email), anonymous (SQLSTATE 23502, column email), web3 (SQLSTATE 23502, column email)"
    ), "{report:#?}");

    // Rollcall's own trigger lets them in, and says why they have no profile
    let project = project_with(
        PROFILES,
        "alter table public.profiles alter column email set not null",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &WITHOUT_EMAIL,
        (ProbeOutcome::NoProfile, "23502 email"),
    );
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Inconsistent, vec!["signups_without_profile"])
    );
    Ok(())
}

#[tokio::test]
async fn odd_metadata_finds_the_cast_that_it_breaks() -> Result<()> {
    let project = project_with(
        PROFILES,
        &function("security definer set search_path = ''", "perform (new.raw_user_meta_data->>'birthday')::date; insert into public.profiles (id, email) values (new.id, new.email);"),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &["odd_metadata"],
        (ProbeOutcome::Blocked, "22007"),
    );
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_is_off_is_no_profile_for_anybody() -> Result<()> {
    let project = Project::migrated().await?;
    project.break_signups().await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::NoProfile, ""), &[], RIGHT);
    assert_eq!(report.verdict, Verdict::Inconsistent);
    Ok(())
}

#[tokio::test]
async fn a_profile_that_differs_from_the_definition_is_a_wrong_one() -> Result<()> {
    let project = project_with(
        PROFILES,
        "create function public.mask() returns trigger language plpgsql as $$ begin new.email := 'hidden'; return new; end $$;
         create trigger mask before insert on public.profiles for each row execute function public.mask()",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::WrongProfile, "email"), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Inconsistent, vec!["signups_with_wrong_profile"])
    );

    // a name that is another one at every look is as right as any, and an address may differ in case
    let project = project_with(
        &PROFILES.replace("email text", "email text, nickname text, score numeric(10, 2)"),
        "create or replace view rollcall.expected_profile as
         select u.id as _user_id, u.created_at as _signed_up_at, u.id, upper(u.email::text) as email, gen_random_uuid()::text as nickname, 1 as score
         from auth.users u where u.deleted_at is null;
         create function public.lower_address() returns trigger language plpgsql as $$ begin new.email := lower(new.email); return new; end $$;
         create trigger lower_address before insert on public.profiles for each row execute function public.lower_address()",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    Ok(())
}

#[tokio::test]
async fn a_kind_that_needs_no_profile_is_no_fault() -> Result<()> {
    let project = project_with(
        PROFILES,
        "create or replace view rollcall.expected_profile as
         select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email
         from auth.users u where u.deleted_at is null and not u.is_anonymous",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &["anonymous"],
        (ProbeOutcome::NotExpected, ""),
    );
    assert_eq!(report.verdict, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn a_profile_that_comes_later_in_the_signup_is_seen() -> Result<()> {
    for trigger in [
        "create trigger late after insert on auth.identities for each row execute function public.late()",
        "create trigger late after update of email_confirmed_at, phone_confirmed_at on auth.users for each row execute function public.late()",
        "create constraint trigger late after insert on auth.users deferrable initially deferred for each row execute function public.late()",
    ] {
        let id = if trigger.contains("identities") {
            "user_id"
        } else {
            "id"
        };
        let project = project_with(
            &format!(
                "{PROFILES} create function public.late() returns trigger language plpgsql security definer set search_path = '' as $$
                 begin insert into public.profiles (id, email) select u.id, u.email from auth.users u where u.id = new.{id} on conflict do nothing; return new; end $$;
                 {trigger}"
            ),
            "",
        )
        .await?;
        let report = probe(&project).await?;
        let others: &[&str] = if trigger.contains("constraint") {
            &[]
        } else {
            &["anonymous"]
        };
        let others = if trigger.contains("confirmed") {
            &["anonymous", "web3"][..]
        } else {
            others
        };
        assert_outcomes(&report, RIGHT, others, (ProbeOutcome::NoProfile, ""));
    }
    Ok(())
}

#[tokio::test]
async fn rights_that_the_probe_cannot_miss_are_the_doctors_and_make_it_inconsistent() -> Result<()>
{
    let project = project_with(
        PROFILES,
        &function(
            "set search_path = ''",
            "insert into public.profiles (id, email) values (new.id, new.email);",
        ),
    )
    .await?;
    let report = probe(&project).await?;
    // it runs as postgres, for whom the function works
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (
            Verdict::Inconsistent,
            vec!["signup_function_runs_as_caller"]
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_lock_is_not_known_and_holds_nobody_up() -> Result<()> {
    let project = Project::migrated().await?;
    let holder = project.connect().await?;
    holder
        .batch_execute("begin; lock table public.profiles in share mode")
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Unknown, "55P03"), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Unknown, vec!["probe_without_answer"])
    );
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_taken_back_is_not_begun() -> Result<()> {
    let project = project_with(
        &format!(
            "{PROFILES} create table public.calls (at timestamptz);
             create function public.http_post(text) returns void language sql as 'insert into public.calls values (now())';
             create function public.tell() returns void language sql as $$ select public.http_post('https://example.com') $$;"
        ),
        "create function public.greet() returns trigger language plpgsql security definer as $$ begin perform public.tell(); return new; end $$;
         create trigger a_greeting after insert on auth.users for each row execute function public.greet()",
    )
    .await?;
    let counters = sequences(&project).await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Refused, ""), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Unknown, vec!["probe_refused"])
    );
    assert_eq!(difference(&counters, &sequences(&project).await?), [""; 0]);
    let why: Vec<String> = values(
        &project.connect().await?,
        "select rollcall.beyond_rollback()",
    )
    .await?;
    assert_eq!(why, ["http_post"]);
    Ok(())
}

#[tokio::test]
async fn an_owner_who_may_not_insert_users_says_so() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("revoke insert on auth.users from postgres")
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Unknown, "42501"), &[], RIGHT);
    assert_eq!(report.verdict, Verdict::Unknown);
    ensure!(report.findings[0].next_step.contains("auth.users"));
    Ok(())
}

#[tokio::test]
async fn the_monitors_role_probes_through_a_pooler_and_can_write_nothing_else() -> Result<()> {
    let project = Project::migrated().await?;
    let Some(pooler) = Pooler::start(project::server()?).await? else {
        return Ok(());
    };
    project
        .connect_as_superuser()
        .await?
        .batch_execute("alter role rollcall_monitor login")
        .await?;
    let rows = contents(&project.connect().await?).await?;
    let url = pooler.url_as("rollcall_monitor", &project.database);
    for _ in 0..3 {
        let finished = rollcall(&[("DATABASE_URL", &url)], &["probe", "--format", "json"]).await?;
        assert_eq!(finished.status, Some(0), "{finished}");
        assert_eq!(finished.json()?["signups"][0]["outcome"], "right_profile");
    }
    assert_eq!(
        difference(&rows, &contents(&project.connect().await?).await?),
        [""; 0]
    );
    Ok(())
}

#[tokio::test]
async fn the_command_prints_a_line_for_every_kind() -> Result<()> {
    let project = project_with(
        PROFILES,
        "alter table public.profiles alter column email set not null",
    )
    .await?;
    let finished = rollcall(&[("DATABASE_URL", &project.url())], &["probe"]).await?;
    insta::assert_snapshot!(finished.to_string());
    Ok(())
}

#[tokio::test]
async fn a_role_without_rights_and_a_database_without_the_migrations_are_unknown() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    let finished = rollcall(&[("DATABASE_URL", &project.url())], &["probe"]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    project.migrate().await?;
    let url = project.database.url_as("authenticator");
    let finished = rollcall(&[("DATABASE_URL", &url)], &["probe", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    assert_eq!(finished.json()?["findings"][0]["id"], "not_permitted");
    Ok(())
}

#[tokio::test]
async fn the_hourly_function_probes_only_where_it_is_told_to() -> Result<()> {
    let project = project_with(
        PROFILES,
        // nothing that its text says
        &function(
            "security definer set search_path = ''",
            "execute 'insert into public.profiles (id, emial) values ($1, $2)' using new.id, new.email;",
        ),
    )
    .await?;
    for (setting, verdict) in [
        ("", "consistent"),
        ("false", "consistent"),
        ("true", "inconsistent"),
    ] {
        let counters = sequences(&project).await?;
        let lambda = Lambda::start(
            "health-check",
            &[("DATABASE_URL", &project.url()), ("PROBE", setting)],
        )
        .await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], verdict, "PROBE={setting}: {answer}");
        let findings = answer["findings"].as_array().context("findings")?;
        assert_eq!(
            findings
                .iter()
                .any(|finding| finding["id"] == "signups_blocked"),
            setting == "true",
            "{answer}"
        );
        if setting != "true" {
            let moved = difference(&counters, &sequences(&project).await?);
            ensure!(
                moved.iter().all(|line| line.contains("rollcall.")),
                "{moved:?}"
            );
        }
    }
    Ok(())
}
