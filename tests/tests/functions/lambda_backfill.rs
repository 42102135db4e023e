//! `backfill` as Lambda runs it: direct calls and HTTP requests, good and bad, in time and killed.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use proptest::{prelude::*, strategy::ValueTree};
use rollcall::backfill::BackfillRequest;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{
    lambda::{DEADLINE, Lambda},
    project::Project,
    random, sql,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// In every bad request, and in no answer.
const CANARY: &str = "hunter2";

/// The sentences a caller may be told; none has room for a value.
const SENTENCES: [&str; 18] = [
    "The body is not JSON.",
    "The body is not a JSON object.",
    "The body is not text.",
    "The body is not valid Base64.",
    "The body gives a field twice.",
    "dry_run must be true or false.",
    "batch_size must be a whole number from 1 to 10000.",
    "max_users must be a whole number from 1 to 1000000000.",
    "user_id must be a UUID.",
    "account_type must be a word of letters, digits, - and _, at most 64 characters.",
    "user_id and max_users exclude each other.",
    "run_id must be a UUID.",
    "throttle must be a number from 0.01 to 1.",
    "note must be text without control characters, at most 200 characters.",
    "allow_outside_calls must be true or false.",
    "source can only be state_machine.",
    "run_id goes with no other selection: a run keeps the bounds and values that it began with.",
    "The body has an unknown field; known are dry_run, batch_size, max_users, user_id, account_type, run_id, note, throttle, allow_outside_calls, source.",
];

async fn start(project: &Project) -> Result<Lambda> {
    Lambda::start("backfill", &[("DATABASE_URL", &project.url())]).await
}

/// An event of an HTTP API, payload format 2.0.
fn http(method: &str, body: Option<&str>, is_base64: bool) -> Value {
    let mut event = json!({
        "version": "2.0", "routeKey": "POST /backfill", "rawPath": "/backfill", "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "stage": "$default",
            "http": {"method": method, "path": "/backfill", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
        },
        "isBase64Encoded": is_base64,
    });
    if let Some(body) = body {
        event["body"] = body.into();
    }
    event
}

/// Status and body of an HTTP answer.
fn read(answer: &Value) -> Result<(u64, Value)> {
    let status = answer["statusCode"].as_u64().context("no status")?;
    assert_eq!(answer["headers"]["content-type"], "application/json");
    assert_eq!(answer["headers"]["cache-control"], "no-store");
    assert_eq!(answer["isBase64Encoded"], false);
    let body = answer["body"].as_str().context("no body")?;
    Ok((status, serde_json::from_str(body)?))
}

async fn post(lambda: &Lambda, body: &str) -> Result<(u64, Value)> {
    read(&lambda.invoke(http("POST", Some(body), false)).await?)
}

/// What a request that changes nothing leaves alone: profiles, events, remembered failures.
async fn state(project: &Project) -> Result<[i64; 3]> {
    // In one statement: a batch that is committed meanwhile counts everywhere or nowhere.
    let row = project
        .connect()
        .await?
        .query_typed_one(
            "select (select count(*) from public.profiles),
               (select count(*) from public.user_events),
               (select count(*) from rollcall.failure)",
            &[],
        )
        .await?;
    Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?])
}

/// Every new profile takes so long from now on.
async fn slow_down(project: &Project, milliseconds: u32) -> Result<()> {
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "create function public.be_slow() returns trigger language plpgsql as $$
             begin perform pg_sleep({milliseconds} / 1000.0); return new; end $$;
             create trigger be_slow before insert on public.profiles
               for each row execute function public.be_slow()"
        ))
        .await?;
    Ok(())
}

async fn a_missing_user(project: &Project) -> Result<Uuid> {
    project.break_signups().await?;
    let mut auth = project.auth().await?;
    let id = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.fix_signups().await?;
    Ok(id)
}

#[tokio::test]
async fn a_dry_run_that_is_too_slow_tries_fewer_users() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(300).await?;
    slow_down(&project, 50).await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;
    let answer = lambda
        .invoke_within(json!({}), Duration::from_secs(28))
        .await?;
    assert_eq!(answer["total_missing"], 300, "{answer}");
    let tried = answer["tried"].as_i64().context("a number")?;
    assert!((1..300).contains(&tried), "{answer}");
    assert_eq!(answer["would_create"], tried);
    assert_eq!(state(&project).await?, before);
    Ok(())
}

#[tokio::test]
async fn nothing_asked_is_a_dry_run_in_every_form_of_a_call() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(3).await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;

    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "inconsistent", "{answer}");
    assert_eq!(answer["dry_run"], true);
    assert_eq!(answer["total_missing"], 3);
    assert_eq!(answer["would_create"], 3);
    assert_eq!(answer["message"], "Would backfill 3 profiles");
    assert_eq!(answer["statusCode"], Value::Null);

    for event in [
        http("POST", None, false),
        http("POST", Some(""), false),
        http("POST", Some(" \n"), false),
        http("POST", Some("{}"), false),
        http("POST", Some("e30="), true),
        http("POST", Some(""), true),
        http("POST", Some("{\"dry_run\":true,\"batch_size\":1}"), false),
    ] {
        let (status, body) = read(&lambda.invoke(event.clone()).await?)?;
        assert_eq!(status, 200, "{event}");
        assert_eq!(body["dry_run"], true, "{event}");
        assert_eq!(body["total_missing"], 3, "{event}");
    }
    assert_eq!(state(&project).await?, before);
    Ok(())
}

#[tokio::test]
async fn applied_it_creates_the_profiles_and_says_so_once() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(7).await?;
    let lambda = start(&project).await?;

    let (status, body) = post(&lambda, r#"{"dry_run":false,"max_users":3,"batch_size":2}"#).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["verdict"], "inconsistent");
    assert_eq!(body["stop_reason"], "max_users");
    assert_eq!(body["total_missing"], 7);
    assert_eq!(body["created"], 3);
    assert_eq!(body["remaining"], 4);
    assert_eq!(state(&project).await?, [3, 3, 0]);

    // {"dry_run":false}, as an HTTP API encodes a body of an unknown content type
    let encoded = http("POST", Some("eyJkcnlfcnVuIjpmYWxzZX0="), true);
    let (_, body) = read(&lambda.invoke(encoded).await?)?;
    assert_eq!(body["verdict"], "consistent", "{body}");
    assert_eq!(body["stop_reason"], "complete");
    assert_eq!(body["created"], 4);
    assert_eq!(body["remaining"], 0);
    assert_eq!(state(&project).await?, [7, 7, 0]);

    let answer = lambda.invoke(json!({"dry_run": false})).await?;
    assert_eq!(answer["created"], 0);
    assert_eq!(answer["verdict"], "consistent");
    assert_eq!(state(&project).await?, [7, 7, 0]);
    assert_eq!(lambda.alerts(), []);
    Ok(())
}

#[tokio::test]
async fn one_user_is_repaired_by_id_and_an_existing_profile_left_alone() -> Result<()> {
    let project = Project::migrated().await?;
    let id = a_missing_user(&project).await?;
    project.add_users_without_profile(2).await?;
    let lambda = start(&project).await?;

    let answer = lambda.invoke(json!({ "user_id": id })).await?;
    assert_eq!(answer["action"], "created", "{answer}");
    assert_eq!(answer["dry_run"], true);
    assert_eq!(state(&project).await?[0], 0);

    let wish = json!({"user_id": id, "dry_run": false, "account_type": "donor"});
    let (status, body) = post(&lambda, &wish.to_string()).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["action"], "created");
    assert_eq!(body["user_id"], id.to_string());
    let donors = "select count(*) from public.profiles where account_type = 'donor'";
    assert_eq!(project.count(donors).await?, 1);

    let again = json!({"user_id": id, "dry_run": false, "account_type": "investor"});
    let answer = lambda.invoke(again).await?;
    assert_eq!(answer["action"], "already_exists");
    assert_eq!(project.count(donors).await?, 1);
    assert_eq!(state(&project).await?[0], 1);

    let all = lambda.process.output()?;
    ensure!(!all.contains("person1"), "{all}");
    Ok(())
}

#[tokio::test]
async fn the_account_type_is_given_to_everyone_or_refused_where_there_is_none() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(4).await?;
    let lambda = start(&project).await?;
    let (_, body) = post(&lambda, r#"{"dry_run":false,"account_type":"partner"}"#).await?;
    assert_eq!(body["created"], 4, "{body}");
    let partners = "select count(*) from public.profiles where account_type = 'partner'";
    assert_eq!(project.count(partners).await?, 4);

    let other = Project::without_rollcall().await?;
    other
        .connect()
        .await?
        .batch_execute("create table public.profiles (id uuid primary key, email text)")
        .await?;
    other.migrate().await?;
    other.add_users_without_profile(1).await?;
    let lambda = start(&other).await?;
    for dry_run in [true, false] {
        let body = json!({"dry_run": dry_run, "account_type": "partner"}).to_string();
        let (status, body) = post(&lambda, &body).await?;
        assert_eq!(status, 400, "{body}");
    }
    assert_eq!(state(&other).await?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn an_account_type_that_the_column_cannot_take_is_refused_and_changes_nothing() -> Result<()>
{
    let project = Project::without_rollcall().await?;
    project
        .connect()
        .await?
        .batch_execute(
            "create type public.account as enum ('sme', 'investor');
             create table public.profiles (
               id uuid primary key references auth.users (id) on delete cascade,
               email text, account_type public.account not null default 'sme')",
        )
        .await?;
    project.migrate().await?;
    project
        .connect()
        .await?
        .batch_execute(
            "select rollcall.define('public.profiles', $$select u.id as _user_id, u.created_at as _signed_up_at,
               u.id, u.email::text as email, 'sme'::text as account_type from auth.users u$$)",
        )
        .await?;
    project.add_users_without_profile(3).await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;
    for dry_run in [true, false] {
        let body = json!({"dry_run": dry_run, "account_type": "canary"}).to_string();
        let (status, answer) = post(&lambda, &body).await?;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(
            answer["error"],
            "account_type is no value that the profiles can have."
        );
    }
    assert_eq!(state(&project).await?, before);
    let (status, answer) = post(&lambda, r#"{"dry_run":false,"account_type":"investor"}"#).await?;
    assert_eq!((status, &answer["created"]), (200, &json!(3)), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_is_cancelled() -> Result<()> {
    let project = Project::migrated().await?;
    let user_id = a_missing_user(&project).await?;
    slow_down(&project, 600_000).await?;
    let lambda = start(&project).await?;
    let answer = lambda
        .invoke_within(
            json!({"user_id": user_id, "dry_run": false}),
            Duration::from_secs(4),
        )
        .await?;
    assert_eq!(answer["statusCode"], 503, "{answer}");
    // the answer is there, and what led to it holds no lock
    let client = project.connect_as_superuser().await?;
    let gone = async {
        while client
            .query_typed_one(
                "select exists (select from pg_stat_activity
                   where datname = current_database() and application_name = 'rollcall' and state = 'active')",
                &[],
            )
            .await?
            .try_get::<_, bool>(0)?
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    // less than the 20 s after which the server would end it by itself
    tokio::time::timeout(Duration::from_secs(15), gone)
        .await
        .context("the statement goes on")??;
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_not_there_or_not_expected_is_not_found() -> Result<()> {
    let project = Project::migrated().await?;
    let deleted = a_missing_user(&project).await?;
    project.auth().await?.soft_delete(deleted).await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;
    for id in [deleted, Uuid::nil(), Uuid::new_v4()] {
        for dry_run in [true, false] {
            let request = json!({"user_id": id, "dry_run": dry_run});
            let (status, body) = post(&lambda, &request.to_string()).await?;
            assert_eq!(status, 404, "{body}");
            let direct = lambda.invoke(request).await?;
            assert_eq!(direct["statusCode"], 404, "{direct}");
        }
    }
    assert_eq!(state(&project).await?, before);
    Ok(())
}

/// Two profiles cannot be made: one breaks a constraint, and a trigger refuses the other in words
/// that quote the row, down to the names that only an error of PostgreSQL's own can be trusted with.
#[tokio::test]
async fn a_failure_is_reported_by_its_code_without_a_value_and_the_others_are_made() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(6).await?;
    let client = project.connect().await?;
    let ids: Vec<Uuid> = sql::values(&client, "select id from auth.users order by id").await?;
    let (first, last) = (ids[0], ids[5]);
    client
        .batch_execute(&format!(
            "alter table public.profiles add constraint not_this_one check (id <> '{first}');
             create function public.refuse() returns trigger language plpgsql as $$
             begin
               if new.id = '{last}' then
                 raise exception '{CANARY} %', new.email
                   using errcode = '23514', constraint = '{CANARY}', column = new.email, detail = new.email;
               end if;
               return new;
             end $$;
             create trigger refuse before insert on public.profiles for each row execute function public.refuse()"
        ))
        .await?;
    let lambda = start(&project).await?;
    let (status, body) = post(&lambda, r#"{"dry_run":false}"#).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["verdict"], "inconsistent");
    assert_eq!(body["created"], 4);
    assert_eq!(body["failed"], 2);
    assert_eq!(body["remaining"], 2);
    let failures = body["failures"].as_array().context("no failures")?;
    let of = |id: Uuid| {
        let id = id.to_string();
        failures
            .iter()
            .find(|failure| failure["user_id"] == id.as_str())
    };
    let (first, last) = (of(first).context("one")?, of(last).context("the other")?);
    assert_eq!(first["sqlstate"], "23514");
    assert_eq!(first["constraint"], "not_this_one");
    assert_eq!(last["sqlstate"], "23514");
    let all = format!("{body}{}", lambda.process.output()?);
    ensure!(!all.contains(CANARY) && !all.contains("@example"), "{all}");
    Ok(())
}

/// Under the longest name that PostgreSQL gives to a constraint.
#[tokio::test]
async fn a_thousand_failures_fit_into_one_answer_and_do_not_pile_up() -> Result<()> {
    const LIMIT: usize = 256 * 1024;
    let project = Project::migrated().await?;
    project.add_users_without_profile(1050).await?;
    let name = "x".repeat(63);
    project
        .connect()
        .await?
        .batch_execute(&format!(
            "alter table public.profiles add constraint {name} check (email is null)"
        ))
        .await?;
    let lambda = start(&project).await?;
    for dry_run in [true, false, false] {
        let answer = lambda.invoke(json!({ "dry_run": dry_run })).await?;
        ensure!(answer["statusCode"].is_null(), "{answer}");
        let failures = answer["failures"].as_array().map(Vec::len);
        if dry_run {
            // where the server is slow, it tries fewer
            assert_eq!(
                failures.map(|number| json!(number)),
                Some(answer["tried"].clone())
            );
        } else {
            assert_eq!(failures, Some(1000));
            assert_eq!(answer["failed"], 1050);
            assert_eq!(state(&project).await?, [0, 1050, 1050]);
        }
        ensure!(
            answer.to_string().len() <= LIMIT,
            "{}",
            answer.to_string().len()
        );
    }
    let log = lambda.process.stdout()?;
    ensure!(!log.is_empty() && log.lines().all(|line| line.len() <= LIMIT));
    Ok(())
}

#[tokio::test]
async fn only_post_is_allowed() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(1).await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;
    for method in [
        "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "post", "",
    ] {
        let event = http(method, Some(r#"{"dry_run":false}"#), false);
        let (status, body) = read(&lambda.invoke(event).await?)?;
        assert_eq!(status, 405, "{method}");
        assert_eq!(body, json!({"error": "Only POST is allowed."}));
    }
    assert_eq!(state(&project).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_is_our_fault_and_worth_another_try() -> Result<()> {
    let url = format!("postgresql://postgres:{CANARY}@127.0.0.1:1/x");
    let lambda = Lambda::start("backfill", &[("DATABASE_URL", &url)]).await?;
    let (status, body) = post(&lambda, r#"{"dry_run":false}"#).await?;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["verdict"], "unknown");
    assert_eq!(body["error_id"], "database_unreachable");
    assert_eq!(body["retryable"], true);

    let bare = Project::without_rollcall().await?;
    let other = start(&bare).await?;
    let (status, body) = post(&other, r#"{"dry_run":false}"#).await?;
    assert_eq!(status, 500, "{body}");
    assert_eq!(body["error_id"], "not_migrated");
    assert_eq!(body["retryable"], false);

    let all = lambda.process.output()? + &body.to_string();
    ensure!(!all.contains(CANARY), "{all}");
    Ok(())
}

// Bad requests ----------------------------------------------------------------------------------

/// Bodies that are the caller's fault, each with the canary where it has room for it.
fn bad_bodies() -> Vec<String> {
    let nested = "[".repeat(100_000);
    let id = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
    [
        // no JSON
        "hunter2",
        "{",
        "}",
        "{hunter2}",
        "{'dry_run':true}",
        "{\"dry_run\":tru",
        "{}{}",
        "{} hunter2",
        "\u{feff}{}",
        "\0",
        "{\"dry_run\":NaN}",
        "dry_run=false&hunter2=1",
        "<dry_run>hunter2</dry_run>",
        "{\"dry_run\":true,}",
        "{\"hunter2",
        "\"\\ud800\"",
        "{\"batch_size\":1e999}",
        "{\"batch_size\":01}",
        &nested,
        // no object
        "null",
        "true",
        "7",
        "\"hunter2\"",
        "[]",
        "[{\"dry_run\":false}]",
        "[\"hunter2\"]",
        // unknown fields
        "{\"hunter2\":1}",
        "{\"\":1}",
        "{\"Dry_Run\":false}",
        "{\"dry_run \":false}",
        "{\"dryRun\":false}",
        "{\"dry_run\":true,\"hunter2\":null}",
        "{\"__proto__\":{\"dry_run\":false}}",
        "{\"email\":\"hunter2@example.com\"}",
        "{\"user_ids\":[\"hunter2\"]}",
        // wrong types
        "{\"dry_run\":\"hunter2\"}",
        "{\"dry_run\":\"false\"}",
        "{\"dry_run\":0}",
        "{\"dry_run\":null}",
        "{\"dry_run\":[]}",
        "{\"batch_size\":\"5\"}",
        "{\"batch_size\":null}",
        "{\"batch_size\":{}}",
        "{\"max_users\":true}",
        "{\"max_users\":\"hunter2\"}",
        "{\"user_id\":7}",
        "{\"user_id\":null}",
        "{\"user_id\":[\"7d444840-9dc0-11d1-b245-5ffdce74fad2\"]}",
        "{\"account_type\":1}",
        "{\"account_type\":null}",
        "{\"account_type\":{\"hunter2\":1}}",
        // out of range
        "{\"batch_size\":0}",
        "{\"batch_size\":-1}",
        "{\"batch_size\":10001}",
        "{\"batch_size\":1.5}",
        "{\"batch_size\":1e3}",
        "{\"batch_size\":4294967297}",
        "{\"max_users\":0}",
        "{\"max_users\":-0}",
        "{\"max_users\":1000000001}",
        "{\"max_users\":18446744073709551616}",
        "{\"max_users\":0.1}",
        "{\"user_id\":\"hunter2\"}",
        "{\"user_id\":\"\"}",
        "{\"user_id\":\"7d4448409dc011d1b2455ffdce74fad2\"}",
        "{\"user_id\":\"{7d444840-9dc0-11d1-b245-5ffdce74fad2}\"}",
        "{\"user_id\":\"urn:uuid:7d444840-9dc0-11d1-b245-5ffdce74fad2\"}",
        "{\"user_id\":\" 7d444840-9dc0-11d1-b245-5ffdce74fad2\"}",
        "{\"account_type\":\"\"}",
        "{\"account_type\":\"hunter2'; drop table profiles --\"}",
        "{\"account_type\":\"a b\"}",
        "{\"account_type\":\"\\u0000\"}",
        "{\"account_type\":\"ä\"}",
        "{\"run_id\":\"hunter2\"}",
        "{\"run_id\":7}",
        "{\"from_user_id\":\"7d444840-9dc0-11d1-b245-5ffdce74fad2\"}",
        "{\"replay\":true}",
        "{\"throttle\":0}",
        "{\"throttle\":1.5}",
        "{\"throttle\":\"hunter2\"}",
        "{\"allow_outside_calls\":\"hunter2\"}",
        "{\"source\":\"cli\"}",
        "{\"source\":\"hunter2\"}",
        "{\"note\":7}",
        "{\"note\":\"\\n\"}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        format!("{{\"account_type\":\"{}\"}}", "a".repeat(65)),
        format!("{{\"user_id\":\"{id}\",\"max_users\":5}}"),
        format!("{{\"run_id\":\"{id}\",\"account_type\":\"sme\"}}"),
        format!("{{\"run_id\":\"{id}\",\"user_id\":\"{id}\"}}"),
        format!("{{\"dry_run\":false,\"user_id\":\"{id}\",\"hunter2\":\"{id}\"}}"),
        format!("{{\"hunter2\":\"{}\"}}", "x".repeat(1_000_000)),
    ])
    .collect()
}

/// JSON of all kinds, with the fields' own names and near misses, right and wrong values.
fn generated_body() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => prop::sample::select(vec![
            "dry_run", "batch_size", "max_users", "user_id", "account_type", "run_id", "note", "throttle",
            "allow_outside_calls", "source",
        ])
            .prop_map(str::to_owned),
        1 => "[a-zA-Z_]{0,12}",
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..20_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_-]{0,70}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string().into()),
        Just(Value::from(CANARY)),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z]{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    let object = prop::collection::vec((name, value.clone()), 0..5)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()).to_string());
    prop_oneof![
        8 => object.clone(),
        1 => value.prop_map(|value| value.to_string()),
        1 => any::<String>(),
        // cut short somewhere
        1 => (object, 0_usize..40).prop_map(|(text, at)| {
            text.char_indices().take_while(|(index, _)| *index < at).map(|(_, c)| c).collect()
        }),
    ]
}

/// What the documentation allows, written a second time, with no look at the parser.
fn is_allowed(body: &str) -> bool {
    if body
        .trim_matches([' ', '\t', '\n', '\r', '\x0c'])
        .is_empty()
    {
        return true;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(body) else {
        return false;
    };
    let within = |value: &Value, maximum| value.as_u64().is_some_and(|n| n >= 1 && n <= maximum);
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let is_uuid = |text: &str| {
        text.len() == 36
            && text.char_indices().all(|(index, c)| match index {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            })
    };
    let fits = |(name, value): (&String, &Value)| match name.as_str() {
        "dry_run" => value.is_boolean(),
        "batch_size" => within(value, 10_000),
        "max_users" => within(value, 1_000_000_000),
        "user_id" => value.as_str().is_some_and(is_uuid),
        "account_type" => value.as_str().is_some_and(is_word),
        "run_id" => value.as_str().is_some_and(is_uuid),
        "throttle" => value
            .as_f64()
            .is_some_and(|share| (0.01..=1.0).contains(&share)),
        "allow_outside_calls" => value.is_boolean(),
        "source" => value == "state_machine",
        "note" => value
            .as_str()
            .is_some_and(|text| text.chars().count() <= 200 && !text.chars().any(char::is_control)),
        _ => false,
    };
    fields.iter().all(fits) && !contradicts_itself(&fields)
}

/// Fields that fit each for itself, and not together.
fn contradicts_itself(fields: &Map<String, Value>) -> bool {
    let has = |name: &str| fields.contains_key(name);
    has("user_id") && has("max_users")
        || has("run_id") && (has("max_users") || has("user_id") || has("account_type"))
}

fn is_fixed_sentence(body: &Value) -> bool {
    body.as_object().is_some_and(|fields| fields.len() == 1)
        && body["error"]
            .as_str()
            .is_some_and(|sentence| SENTENCES.contains(&sentence))
}

#[tokio::test]
async fn a_bad_body_is_refused_with_a_fixed_sentence_and_changes_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(2).await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;
    let bodies = bad_bodies();
    ensure!(bodies.len() >= 40);
    let mut told = BTreeSet::new();
    for body in &bodies {
        let shown: String = body.chars().take(80).collect();
        ensure!(!is_allowed(body), "{shown}");
        let (status, answer) = post(&lambda, body).await.with_context(|| shown.clone())?;
        assert_eq!(status, 400, "{shown}: {answer}");
        ensure!(is_fixed_sentence(&answer), "{shown}: {answer}");
        told.insert(answer["error"].to_string());

        // The same as a direct call, where it can be an event at all.
        if let Ok(event) = serde_json::from_str::<Value>(body) {
            let answer = lambda.invoke(event).await.with_context(|| shown.clone())?;
            assert_eq!(answer["statusCode"], 400, "{shown}: {answer}");
        }
    }
    for event in [
        http("POST", Some("***"), true),
        http("POST", Some("//4="), true),
        http("POST", Some("e30"), true),
        json!({"requestContext": {"http": {"method": "POST"}}, "body": {"hunter2": 1}}),
        json!({"requestContext": {"http": {"method": "POST"}}, "body": 7}),
        // No event of a direct call: JSON's own type would keep the last of the two.
        http("POST", Some("{\"dry_run\":true,\"dry_run\":false}"), false),
        http("POST", Some("{\"max_users\":1,\"max_users\":1}"), false),
    ] {
        let (status, answer) = read(&lambda.invoke(event.clone()).await?)?;
        assert_eq!(status, 400, "{event}");
        ensure!(is_fixed_sentence(&answer), "{event}: {answer}");
        told.insert(answer["error"].to_string());
    }
    assert_eq!(told.len(), SENTENCES.len(), "never told: {told:?}");
    assert_eq!(state(&project).await?, before);
    let all = lambda.process.output()?;
    ensure!(!all.contains(CANARY), "the log repeats a body: {all}");
    Ok(())
}

#[tokio::test]
async fn generated_bodies_are_read_or_refused_as_documented() -> Result<()> {
    /// How many of them go through the process, too.
    const SAMPLE: usize = 100;
    let seed = random::seed();
    let number = random::cases(500, 50_000);
    let mut runner = random::runner(seed, number);
    let strategy = generated_body();
    let mut bodies = Vec::new();
    for _ in 0..number {
        let tree = strategy
            .new_tree(&mut runner)
            .map_err(|reason| anyhow::anyhow!("no body: {reason}"))?;
        bodies.push(tree.current());
    }

    let mut refused = 0;
    for body in &bodies {
        match BackfillRequest::from_json(body.as_bytes()) {
            Ok(_) => ensure!(is_allowed(body), "taken: {body} (ROLLCALL_SEED={seed})"),
            Err(refusal) => {
                refused += 1;
                ensure!(!is_allowed(body), "refused: {body} (ROLLCALL_SEED={seed})");
                ensure!(
                    SENTENCES.contains(&refusal.0),
                    "{refusal} (ROLLCALL_SEED={seed})"
                );
            }
        }
    }
    ensure!(
        refused > number / 2 && refused < number,
        "a useless generator: {refused}"
    );

    // Nobody is there to be repaired, so that what is allowed changes nothing either.
    let project = Project::migrated().await?;
    let before = state(&project).await?;
    let lambda = start(&project).await?;
    for body in bodies.iter().take(SAMPLE) {
        let what = || format!("{body} (ROLLCALL_SEED={seed})");
        let (status, answer) = post(&lambda, body).await.with_context(what)?;
        match status {
            200 | 404 => ensure!(is_allowed(body), "{}", what()),
            400 => ensure!(
                !is_allowed(body) && is_fixed_sentence(&answer),
                "{}: {answer}",
                what()
            ),
            _ => bail!("{status} for {}", what()),
        }
        ensure!(!answer.to_string().contains(CANARY), "{}", what());
    }
    assert_eq!(state(&project).await?, before, "ROLLCALL_SEED={seed}");
    Ok(())
}

// Time -------------------------------------------------------------------------------------------

#[tokio::test]
async fn it_ends_before_the_deadline_says_what_remains_and_the_next_one_finishes() -> Result<()> {
    // Fifteen seconds of work at least, of which a slow machine does one batch.
    const USERS: u32 = 100;
    let project = Project::migrated().await?;
    project.add_users_without_profile(USERS).await?;
    slow_down(&project, 150).await?;
    let lambda = start(&project).await?;
    let request = json!({"dry_run": false, "batch_size": 3});

    let answer = lambda
        .invoke_within(request.clone(), Duration::from_secs(12))
        .await?;
    assert_eq!(answer["stop_reason"], "out_of_time", "{answer}");
    assert_eq!(answer["verdict"], "inconsistent");
    let created = answer["created"].as_i64().context("a number")?;
    let remaining = answer["remaining"].as_i64().context("a number")?;
    ensure!(created >= 3 && remaining > 0, "{answer}");
    assert_eq!(created + remaining, i64::from(USERS));
    assert_eq!(state(&project).await?[0], created);

    let client = project.connect().await?;
    client
        .batch_execute("drop trigger be_slow on public.profiles")
        .await?;
    let answer = lambda.invoke(request).await?;
    assert_eq!(answer["stop_reason"], "complete", "{answer}");
    assert_eq!(answer["created"], remaining);
    assert_eq!(answer["verdict"], "consistent");
    assert_eq!(
        state(&project).await?,
        [i64::from(USERS), i64::from(USERS), 0]
    );
    Ok(())
}

/// The default batch takes longer here than there is time: smaller ones have to do.
#[tokio::test]
async fn a_batch_that_is_too_slow_for_the_time_is_cut_smaller_until_all_is_done() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(60).await?;
    slow_down(&project, 100).await?;
    let lambda = start(&project).await?;
    let mut created = 0;
    for _ in 0..12 {
        let answer = lambda
            .invoke_within(json!({"dry_run": false}), Duration::from_secs(6))
            .await?;
        ensure!(answer["statusCode"].is_null(), "{answer}");
        created += answer["created"].as_i64().context("a number")?;
        assert_eq!(answer["remaining"], 60 - created, "{answer}");
        if answer["stop_reason"] == "complete" {
            break;
        }
        assert_eq!(answer["stop_reason"], "out_of_time", "{answer}");
    }
    assert_eq!(state(&project).await?, [60, 60, 0]);
    Ok(())
}

#[tokio::test]
async fn a_function_killed_in_the_middle_loses_at_most_the_batch_in_hand() -> Result<()> {
    const USERS: i64 = 40;
    const BATCH: i64 = 5;
    let project = Project::migrated().await?;
    project.add_users_without_profile(40).await?;
    slow_down(&project, 40).await?;
    let request = json!({"dry_run": false, "batch_size": BATCH});

    let lambda = start(&project).await?;
    let some_are_created = async {
        loop {
            let created = state(&project).await?[0];
            if created >= 2 * BATCH {
                return anyhow::Ok(created);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::select! {
        seen = some_are_created => seen?,
        outcome = lambda.outcome(request.clone(), DEADLINE) => bail!("it was not killed: {outcome:?}"),
    };
    // Dropped, the process gets SIGKILL.
    drop(lambda);
    let [profiles, events, failures] = state(&project).await?;
    ensure!(profiles >= seen && profiles < USERS, "{profiles}");
    ensure!(
        profiles % BATCH == 0,
        "part of a batch was kept: {profiles}"
    );
    assert_eq!((events, failures), (profiles, 0));

    let lambda = start(&project).await?;
    let answer = lambda.invoke(request).await?;
    assert_eq!(answer["verdict"], "consistent", "{answer}");
    // The killed one's last batch may have been committed after the count above.
    let created = answer["created"].as_i64().context("a number")?;
    ensure!(
        created <= USERS - profiles && created >= USERS - profiles - BATCH,
        "{answer}"
    );
    assert_eq!(state(&project).await?, [USERS, USERS, 0]);
    let twice = "select count(*) from (select from public.user_events group by user_id, kind having count(*) > 1) t";
    assert_eq!(project.count(twice).await?, 0);
    Ok(())
}
