//! Reports where Rollcall is not installed: they answer, and leave nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall::checks::verification::Verification;
use rollcall::error::Error;
use rollcall::migrations::{self, Extent};
use rollcall::session::Session;
use rollcall::stance::Stance;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, contents, difference, value, values};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use uuid::Uuid;

const APPLICATION: &str = include_str!("../../src/project/application.sql");

/// Something of the application's that has numbers of its own, filled at the signup, too.
const SIDE_TABLE: &str = "
    create table public.members (number bigserial primary key, user_id uuid not null);
    create function public.count_member() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
      insert into public.members (user_id) values (new.id);
      return new;
    end $$;
    create trigger on_auth_user_counted after insert on auth.users for each row execute function public.count_member();";

/// A project with users of several kinds, one of them without a profile, in which Rollcall was never heard of.
async fn project() -> Result<(Project, Uuid)> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(APPLICATION).await?;
    client.batch_execute(SIDE_TABLE).await?;
    let mut auth = project.auth().await?;
    let missing = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    for (number, kind) in (2..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    client
        .batch_execute(&format!(
            "delete from public.profiles where id = '{missing}'"
        ))
        .await?;
    Ok((project, missing))
}

/// All that a report could leave: objects, rows, and where the sequences stand.
async fn state(project: &Project) -> Result<Vec<String>> {
    let client = project.connect_as_superuser().await?;
    let mut lines = catalog(&client).await?;
    lines.extend(contents(&client).await?);
    lines.extend(
        values::<String>(
            &client,
            "select format('sequence %I.%I %s', schemaname, sequencename, last_value) from pg_sequences order by 1",
        )
        .await?,
    );
    Ok(lines)
}

async fn run(project: &Project, arguments: &[&str]) -> Result<Finished> {
    rollcall(&[("DATABASE_URL", &project.url())], arguments).await
}

/// The reports of a look, with what each of them needs.
fn reports(user: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["diagnose"],
        vec!["mismatches"],
        vec!["recent"],
        vec!["health"],
        vec!["verify"],
        vec!["doctor"],
        vec!["explain", user],
        vec!["events", user],
        vec!["definition", "show"],
        vec!["definition", "check"],
        vec!["probe"],
        vec!["definition", "draft"],
        vec!["backfill"],
    ]
}

/// Reports that try what a signup or a repair would do, in a transaction that is rolled back: they lock what a signup locks.
const TRIES: [&str; 4] = ["probe", "draft", "backfill", "explain"];

fn tries(report: &[&str]) -> bool {
    report.iter().any(|word| TRIES.contains(word))
}

#[tokio::test]
async fn every_report_answers_and_leaves_nothing() -> Result<()> {
    let (project, missing) = project().await?;
    let user = missing.to_string();
    let before = state(&project).await?;
    for report in reports(&user) {
        let finished = run(&project, &report).await?;
        ensure!(
            finished.stderr.contains("Rollcall is not installed here"),
            "{finished}"
        );
        ensure!(
            !finished.stdout.contains("not_migrated") && !finished.stderr.contains("error:"),
            "{finished}"
        );
        let left = difference(&before, &state(&project).await?);
        assert_eq!(left, [""; 0], "{finished}");
    }
    Ok(())
}

#[tokio::test]
async fn the_missing_user_is_seen_and_the_head_says_how() -> Result<()> {
    let (project, missing) = project().await?;
    let finished = run(&project, &["mismatches", "--format", "json"]).await?;
    let json = finished.json()?;
    assert_eq!(finished.status, Some(1), "{finished}");
    assert_eq!(json["stance"], "look", "{finished}");
    assert_eq!(json["verdict"], "inconsistent", "{finished}");
    assert_eq!(json["database"]["name"], project.database.name());
    ensure!(json["taken_at"].is_string(), "{finished}");
    ensure!(
        json["mismatches"]
            .to_string()
            .contains(&missing.to_string()),
        "{finished}"
    );
    Ok(())
}

/// Whatever takes more than ACCESS SHARE on a table waits for these locks, and gives up after a second.
async fn hold_all_tables(project: &Project) -> Result<Client> {
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "begin;
             do $$
             declare held regclass;
             begin
               for held in
                 select c.oid from pg_class c
                 where c.relkind in ('r', 'p') and c.relnamespace in ('auth'::regnamespace, 'public'::regnamespace)
               loop
                 execute format('lock table %s in exclusive mode', held);
               end loop;
             end $$",
        )
        .await?;
    Ok(client)
}

#[tokio::test]
async fn reading_takes_no_lock_that_a_signup_could_meet() -> Result<()> {
    let (project, missing) = project().await?;
    let user = missing.to_string();
    let mut free = Vec::new();
    for report in reports(&user).into_iter().filter(|report| !tries(report)) {
        free.push((run(&project, &report).await?, report));
    }
    let holder = hold_all_tables(&project).await?;
    for (answer, report) in free {
        let held = run(&project, &report).await?;
        assert_eq!(held.status, answer.status, "{held}\n{answer}");
        // these also try a signup where nothing has shown that one works, and that waits for a lock
        let looks_ahead = ["diagnose", "health", "recent", "doctor"].contains(&report[0]);
        ensure!(looks_ahead || !held.stdout.contains("(SQLSTATE"), "{held}");
    }
    holder.batch_execute("rollback").await?;
    Ok(())
}

#[tokio::test]
async fn a_repair_needs_an_installation() -> Result<()> {
    let (project, missing) = project().await?;
    let user = missing.to_string();
    let before = state(&project).await?;
    for command in [
        vec!["backfill", "--apply", "--yes"],
        vec!["backfill", "--apply", "--yes", "--user", &user],
        vec!["runs"],
        vec!["undo", &user, "--yes"],
        vec!["trigger", "install", "--apply"],
    ] {
        let finished = run(&project, &command).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        ensure!(
            said.contains("Rollcall is not installed") && said.contains("rollcall migrate"),
            "{finished}"
        );
    }
    assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    Ok(())
}

/// The one finding of a report that could not look.
async fn obstacle(url: &str, report: &str) -> Result<(String, String)> {
    let finished = rollcall(&[("DATABASE_URL", url)], &[report, "--format", "json"]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    let json = finished.json()?;
    assert_eq!(json["verdict"], "unknown", "{finished}");
    assert_eq!(json["findings"][0]["id"], "look_not_possible", "{finished}");
    let text = |field: &str| {
        let text = json["findings"][0][field].as_str();
        text.map(ToOwned::to_owned).context("text")
    };
    Ok((text("summary")?, text("next_step")?))
}

#[tokio::test]
async fn a_role_that_may_not_create_a_schema_is_told_what_it_needs() -> Result<()> {
    let (project, _) = project().await?;
    let role = format!("reader_of_{}", project.database.name());
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "create role {role} login; grant pg_read_all_data to {role}"
        ))
        .await?;
    for report in ["diagnose", "recent", "doctor"] {
        let (summary, next_step) = obstacle(&project.database.url_as(&role), report).await?;
        ensure!(summary.contains("CREATE on the database"), "{summary}");
        ensure!(next_step.contains("postgres"), "{next_step}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_where_nothing_can_be_written_is_named_as_that() -> Result<()> {
    let (project, _) = project().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "alter database {} set default_transaction_read_only = on",
            project.database.name()
        ))
        .await?;
    for report in ["diagnose", "recent", "doctor"] {
        let (summary, _) = obstacle(&project.url(), report).await?;
        ensure!(
            summary.contains("default_transaction_read_only"),
            "{summary}"
        );
    }
    Ok(())
}

async fn verify(project: &Project) -> Result<(Verification, Option<Stance>)> {
    let (tell, told) = std::sync::mpsc::channel();
    let mut session = Session::of_any_stance(project.settings()?, move |stance| {
        // nobody waits for it
        let _ = tell.send(stance);
    });
    let report = session
        .run(async |database| Verification::take(database).await)
        .await?;
    Ok((report, told.try_recv().ok()))
}

#[tokio::test]
async fn several_people_look_at_once() -> Result<()> {
    let (project, _) = project().await?;
    let (a, b, c, d) = tokio::join!(
        verify(&project),
        verify(&project),
        verify(&project),
        verify(&project)
    );
    for looked in [a, b, c, d] {
        let (report, stance) = looked?;
        assert_eq!(report.verdict, rollcall::verdict::Verdict::Inconsistent);
        assert_eq!(stance, Some(Stance::Look));
    }
    Ok(())
}

#[tokio::test]
async fn a_look_beside_an_installation_answers_and_so_does_the_installation() -> Result<()> {
    let (project, _) = project().await?;
    let mut stances = Vec::new();
    for milliseconds in [0, 5, 20, 50, 100, 200, 400] {
        let migrate = async {
            let mut database = project.rollcall().await?;
            anyhow::Ok(migrations::apply(&mut database, false).await?)
        };
        let look = async {
            sleep(Duration::from_millis(milliseconds)).await;
            verify(&project).await
        };
        let (migrated, looked) = tokio::join!(migrate, look);
        migrated?;
        let (report, stance) = looked?;
        assert_eq!(report.verdict, rollcall::verdict::Verdict::Inconsistent);
        stances.push(stance);
        migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
    }
    ensure!(stances.contains(&Some(Stance::Look)), "{stances:?}");
    Ok(())
}

#[tokio::test]
async fn a_look_waits_for_an_installation_that_takes_its_time_and_then_asks_it() -> Result<()> {
    let (project, _) = project().await?;
    let client = project.connect().await?;
    client
        .batch_execute("begin; select pg_advisory_xact_lock(hashtext('rollcall.install'))")
        .await?;
    let installing = async {
        // the look has begun by now
        sleep(Duration::from_millis(700)).await;
        for file in migrations::ALL {
            client.batch_execute(file.sql).await?;
        }
        client.batch_execute("commit").await?;
        anyhow::Ok(())
    };
    let (installed, looked) = tokio::join!(installing, verify(&project));
    installed?;
    let (report, stance) = looked?;
    assert_eq!(stance, Some(Stance::Look), "when it connected");
    assert_eq!(report.verdict, rollcall::verdict::Verdict::Inconsistent);
    Ok(())
}

#[tokio::test]
async fn a_look_costs_less_than_a_second() -> Result<()> {
    let (project, _) = project().await?;
    let mut session = Session::of_any_stance(project.settings()?, |_| ());
    let mut best = Duration::MAX;
    // other tests run beside this one: one quiet moment is enough
    for _ in 0..30 {
        let started = Instant::now();
        session
            .run(async |database| {
                database
                    .read(Duration::from_secs(10), async |queries| {
                        queries.rows("select", &[]).await
                    })
                    .await
            })
            .await?;
        best = best.min(started.elapsed());
        if best < Duration::from_secs(1) {
            break;
        }
    }
    ensure!(best < Duration::from_secs(1), "{best:?}");
    Ok(())
}

#[tokio::test]
async fn a_look_cannot_write_and_an_interrupted_one_leaves_nothing() -> Result<()> {
    let (project, _) = project().await?;
    let before = state(&project).await?;
    let mut session = Session::of_any_stance(project.settings()?, |_| ());
    let refused = session
        .run(async |database| {
            database
                .read(Duration::from_secs(10), async |queries| {
                    queries.script("delete from public.profiles").await
                })
                .await
        })
        .await;
    ensure!(
        matches!(&refused, Err(Error::Statement { sqlstate, .. }) if sqlstate == "25006"),
        "{refused:?}"
    );
    let slow = session.run(async |database| {
        database
            .try_out(Duration::from_secs(30), async |queries| {
                queries
                    .script("delete from public.profiles; select pg_catalog.pg_sleep(20)")
                    .await
            })
            .await
    });
    ensure!(
        tokio::time::timeout(Duration::from_secs(2), slow)
            .await
            .is_err()
    );
    session.give_up().await;
    let client = project.connect().await?;
    let mut left = 1;
    for _ in 0..200 {
        left = value::<i64>(
            &client,
            "select count(*) from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()
               and backend_type = 'client backend'",
        )
        .await?;
        if left == 0 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left, 0, "the statement goes on");
    assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_schema_of_that_name_that_is_somebody_elses_is_left_alone() -> Result<()> {
    let (project, _) = project().await?;
    project
        .connect()
        .await?
        .batch_execute("create schema rollcall; create table rollcall.settings (pupil text)")
        .await?;
    let before = state(&project).await?;
    for command in [
        vec!["diagnose"],
        vec!["migrate", "--yes"],
        vec!["rollback", "--yes"],
    ] {
        let finished = run(&project, &command).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        ensure!(
            said.contains("schema named rollcall that is not Rollcall's"),
            "{finished}"
        );
    }
    assert_eq!(difference(&before, &state(&project).await?), [""; 0]);
    Ok(())
}
