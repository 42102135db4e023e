//! Whatever is written into a request, a connection string, the audit log or a user's own metadata: nothing panics,
//! nothing stops, nothing is taken, nothing secret is repeated.
//!
//! Each target replays its corpus (`tests/corpus`) and goes on with mutations of it: some hundreds in CI,
//! `ROLLCALL_FUZZ_SECONDS` for as long as that. `ROLLCALL_SEED` repeats a run.

mod input;

use std::{
    cell::RefCell,
    env,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use proptest::{collection::vec, test_runner::TestCaseError};
use rollcall::{backfill::BackfillRequest, connection_string::ConnectionSettings};
use rollcall_tests::{lambda::Lambda, project::Project, random, sql};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, config::Host, types::Type};

use input::{corpus, text};

/// Stands where a secret stands, and in no error.
const SECRET: &str = "hunter2";

/// Tries a target: each text of the corpus, and then new ones, `at_once` of them in one try.
fn fuzz(
    target: &str,
    corpus: Vec<String>,
    cases: u32,
    at_once: usize,
    mut is_survived: impl FnMut(&[String]) -> Result<()>,
) -> Result<()> {
    for known in &corpus {
        is_survived(std::slice::from_ref(known)).with_context(|| format!("{target}: {known:?}"))?;
    }
    let seconds = env::var("ROLLCALL_FUZZ_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    let (seed, began) = (random::seed(), Instant::now());
    let tries = cases.div_ceil(u32::try_from(at_once)?);
    let strategy = vec(text(corpus.clone()), 1..=at_once);
    let is_survived = RefCell::new(is_survived);
    let tried = RefCell::new(corpus.len());
    // Each round goes on with another seed, so that this one repeats them all.
    for round in 0.. {
        random::runner(seed.wrapping_add(round), tries)
            .run(&strategy, |texts| {
                *tried.borrow_mut() += texts.len();
                (is_survived.borrow_mut())(&texts)
                    .map_err(|error| TestCaseError::fail(format!("{error:#}")))
            })
            .map_err(|error| anyhow!("{target} (ROLLCALL_SEED={seed}): {error}"))?;
        if seconds.is_none_or(|seconds| began.elapsed() >= seconds) {
            break;
        }
    }
    random::tell(&format!(
        "fuzzed {target}: {} texts in {:.0} s (ROLLCALL_SEED={seed})",
        tried.into_inner(),
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Whatever is read out of `text` does not panic.
fn without_panic<T>(read: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| anyhow!("it panics"))
}

#[test]
fn no_body_of_a_request_is_more_than_read_or_refused() -> Result<()> {
    fuzz(
        "bodies",
        corpus(include_str!("../../corpus/bodies.json"))?,
        5_000,
        1,
        |texts| {
            for text in texts {
                let read = without_panic(|| BackfillRequest::from_json(text.as_bytes()))?;
                match read {
                    Ok(request) => ensure!(
                        (1..=BackfillRequest::MAX_BATCH_SIZE).contains(&request.batch_size),
                        "{request:?}"
                    ),
                    Err(refusal) => ensure!(!refusal.to_string().contains(SECRET), "{refusal}"),
                }
            }
            Ok(())
        },
    )
}

/// A fault of a client is no fault of ours: never a 5xx, never the end of the process.
#[test]
fn no_body_of_a_request_is_a_fault_of_the_function() -> Result<()> {
    let runtime = runtime()?;
    let (_project, lambda) = runtime.block_on(async {
        let project = Project::migrated().await?;
        let lambda = Lambda::start("backfill", &[("DATABASE_URL", &project.url())]).await?;
        anyhow::Ok((project, lambda))
    })?;
    fuzz(
        "HTTP requests",
        corpus(include_str!("../../corpus/bodies.json"))?,
        500,
        1,
        |texts| {
            for text in texts {
                let event = json!({"requestContext": {"http": {"method": "POST"}}, "body": text});
                let answer = runtime.block_on(lambda.invoke(event))?;
                ensure!(
                    matches!(answer["statusCode"].as_u64(), Some(200 | 400 | 404)),
                    "{answer}"
                );
            }
            Ok(())
        },
    )
}

/// Whether everything that a connection string names is this machine, by the driver's own reading of it.
fn stays_here(text: &str, settings: &ConnectionSettings) -> bool {
    let is_here = |name: &str| {
        name.starts_with('/')
            || name.eq_ignore_ascii_case("localhost")
            || name
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    };
    let Ok(driver) = text.parse::<Config>() else {
        return is_here(&settings.host_name());
    };
    driver.get_hostaddrs().iter().all(IpAddr::is_loopback)
        && driver.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_here(name) || !driver.get_hostaddrs().is_empty(),
            Host::Unix(_) => true,
        })
}

#[test]
fn no_connection_string_is_repeated_or_leads_elsewhere_in_plain_text() -> Result<()> {
    let corpus = corpus(include_str!("../../corpus/connection_strings.json"))?;
    fuzz("connection strings", corpus, 5_000, 1, |texts| {
        for text in texts {
            match without_panic(|| ConnectionSettings::parse(&text.clone().into(), None))? {
                Err(error) => {
                    let told = format!("{error} {error:?} {}", error.next_step());
                    ensure!(!told.contains(SECRET), "{told}");
                }
                Ok(settings) => {
                    let shown = format!("{settings:?}");
                    ensure!(
                        !shown.contains("Plaintext") || stays_here(text, &settings),
                        "{shown}"
                    );
                    // the path of a certificate is no secret
                    ensure!(!shown.contains(SECRET) || shown.contains("File"), "{shown}");
                }
            }
        }
        Ok(())
    })
}

/// What Supabase's own statement can store: PostgreSQL refuses the rest before it is there.
async fn store(client: &Client, statement: &str, text: &str) -> Result<bool> {
    let stored = client
        .execute_typed(statement, &[(&text, Type::TEXT)])
        .await;
    match stored {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .code()
                .is_some_and(|code| code.code().starts_with("22")) =>
        {
            Ok(false)
        }
        Err(error) if error.code().is_some_and(|code| code.code() == "54001") => Ok(false),
        // a text with a zero in it never reaches the server
        Err(_) if text.contains('\0') => Ok(false),
        Err(error) => Err(error.into()),
    }
}

const CHECKS: [&str; 6] = [
    "select * from public.signup_audit_summary",
    "select * from public.auth_profile_mismatch",
    "select * from public.diagnose_auth_profile_consistency()",
    "select * from public.get_auth_profile_mismatches(1000)",
    "select * from public.check_recent_signup_issues()",
    "select * from public.monitor_signup_health()",
];

#[test]
fn no_audit_payload_stops_a_check() -> Result<()> {
    let runtime = runtime()?;
    let client = runtime.block_on(async {
        let project = Project::migrated().await?;
        project.connect_as_superuser().await
    })?;
    let corpus = corpus(include_str!("../../corpus/audit_payloads.json"))?;
    fuzz("audit payloads", corpus, 1_000, 25, |texts| {
        runtime.block_on(async {
            client.batch_execute("truncate auth.audit_log_entries").await?;
            for text in texts {
                store(
                    &client,
                    "insert into auth.audit_log_entries (id, payload, created_at) values (gen_random_uuid(), $1::json, now())",
                    text,
                )
                .await?;
            }
            for check in CHECKS {
                client.batch_execute(check).await.context(check)?;
            }
            anyhow::Ok(())
        })
    })
}

/// A table that takes what it can from the metadata, as the migrations draft its definition.
const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text, full_name varchar(60) not null, avatar_url text,
      role text not null default 'member', is_admin boolean not null default false,
      account_type text not null default 'sme', created_at timestamptz not null default now()
    )";

/// P11, and no privilege: signups and repairs alike.
#[test]
fn no_metadata_and_no_address_stops_a_signup_or_a_repair_or_takes_a_privilege() -> Result<()> {
    let runtime = runtime()?;
    let client = runtime.block_on(async {
        let project = Project::without_rollcall().await?;
        let client = project.connect_as_superuser().await?;
        project.connect().await?.batch_execute(PROFILES).await?;
        project.migrate().await?;
        project
            .connect()
            .await?
            .batch_execute("select rollcall.install_signup_trigger()")
            .await?;
        anyhow::Ok(client)
    })?;
    let corpus = corpus(include_str!("../../corpus/metadata.json"))?;
    fuzz("metadata and addresses", corpus, 600, 15, |texts| {
        runtime.block_on(async {
            client.batch_execute("delete from auth.users; delete from rollcall.event; delete from rollcall.failure").await?;
            let mut number = 0;
            for text in texts {
                // As metadata, and, as long as fits, as an address.
                number += i64::from(store(
                    &client,
                    "insert into auth.users (id, email, raw_user_meta_data, created_at) values (gen_random_uuid(), gen_random_uuid() || '@x.example', $1::jsonb, now())",
                    text,
                ).await.context("P11: the signup is blocked")?);
                number += i64::from(store(
                    &client,
                    "insert into auth.users (id, email, is_sso_user, created_at) values (gen_random_uuid(), left($1, 255), true, now())",
                    text,
                ).await.context("P11: the signup is blocked")?);
            }
            for made_by in ["a signup", "a repair"] {
                let row = client
                    .query_typed_one(
                        "select count(*), coalesce(bool_and(role = 'member' and not is_admin and account_type = 'sme' and length(full_name) <= 60), true),
                           (select count(*) from rollcall.event where kind like '%error')
                         from public.profiles",
                        &[],
                    )
                    .await?;
                let (profiles, is_harmless, errors): (i64, bool, i64) = (row.get(0), row.get(1), row.get(2));
                ensure!(profiles == number && errors == 0, "{made_by}: {profiles} of {number}, {errors} errors");
                ensure!(is_harmless, "{made_by} took a privilege");
                client.batch_execute("delete from public.profiles").await?;
                let answer: Value = sql::value(&client, "select public.backfill_all_missing_profiles(1000, false)").await?;
                ensure!(answer["failed"] == 0, "{answer}");
            }
            anyhow::Ok(())
        })
    })
}
