//! `dashboard` as Lambda runs it: HTTP API, CloudWatch's custom widget, direct invocation.

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{command_line::rollcall, lambda::Lambda, project::Project, sql::value};
use serde_json::{Value, json};

/// Nobody listens there: the port is for the system's own use.
const NOBODY_LISTENS: &str = "postgresql://postgres:hunter2@127.0.0.1:1/postgres";

const HTTP: &str =
    r#"{"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/dashboard"}}}"#;

fn get(headers: Value, query: Value) -> Result<Value> {
    let mut event: Value = serde_json::from_str(HTTP)?;
    event["headers"] = headers;
    event["queryStringParameters"] = query;
    Ok(event)
}

/// What CloudWatch sends, by its documentation.
fn widget(theme: &str) -> Value {
    json!({ "widgetContext": {
        "dashboardName": "rollcall", "widgetId": "widget-16", "accountId": "123456789012", "locale": "en",
        "timezone": { "label": "UTC", "offsetISO": "+00:00", "offsetInMinutes": 0 },
        "period": 300, "isAutoPeriod": true,
        "timeRange": { "mode": "relative", "start": 1_627_236_199_729_i64, "end": 1_627_322_599_729_i64, "relativeStart": 86_400_012 },
        "theme": theme, "linkCharts": true, "title": "Rollcall", "forms": { "all": {} }, "params": {},
        "width": 588, "height": 369,
    } })
}

/// Three users, one of them without a profile since just now, and one repaired.
async fn project() -> Result<(Project, String)> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(
        SignupKind::EmailAutoconfirm,
        &Person::with_email("ada@example.com"),
    )
    .await?;
    project.break_signups().await?;
    auth.sign_up(
        SignupKind::EmailAutoconfirm,
        &Person::with_email("bob@example.com"),
    )
    .await?;
    let mut session = project.session()?;
    rollcall::backfill::apply(
        &mut session,
        &rollcall_tests::backfills::options(100, None, None),
        None,
        |_| std::ops::ControlFlow::Continue(()),
    )
    .await?;
    let id = auth
        .sign_up(
            SignupKind::EmailAutoconfirm,
            &Person::with_email("eve@example.com"),
        )
        .await?;
    Ok((project, id.to_string()))
}

async fn start(url: &str) -> Result<Lambda> {
    Lambda::start("dashboard", &[("DATABASE_URL", url)]).await
}

#[tokio::test]
async fn whoever_invokes_it_gets_everything_as_data() -> Result<()> {
    let (project, id) = project().await?;
    let health = Lambda::start("health-check", &[("DATABASE_URL", &project.url())]).await?;
    health.invoke(json!({})).await?;
    let lambda = start(&project.url()).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "inconsistent", "{answer}");
    assert_eq!(answer["users"]["missing"], 1);
    assert_eq!(answer["recent_signups_count"], 3);
    assert_eq!(answer["signups_missing_profiles"], 1);
    assert_eq!(answer["recent"]["issues_count"], 1);
    assert_eq!(answer["recent"]["issues"][0]["user_id"], id);
    assert_eq!(answer["causes"][0]["id"], "signup_trigger_disabled");
    assert_eq!(answer["repairs"][0]["created"], 1);
    let newest = &answer["history"]["hours"][0];
    assert_eq!(
        (&newest["verdict"], &newest["missing"]),
        (&json!("inconsistent"), &json!(1))
    );
    let ids: Vec<_> = answer["findings"]
        .as_array()
        .context("findings")?
        .iter()
        .map(|f| &f["id"])
        .collect();
    assert_eq!(
        ids,
        [
            "missing_profiles",
            "signup_trigger_disabled",
            "recent_missing_profiles"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_http_api_gets_a_page_that_no_browser_can_be_tricked_with() -> Result<()> {
    let (project, id) = project().await?;
    let lambda = start(&project.url()).await?;
    let answer = lambda
        .invoke(get(json!({ "accept": "text/html" }), Value::Null)?)
        .await?;
    assert_eq!(answer["statusCode"], 200);
    let headers = &answer["headers"];
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    let policy = headers["content-security-policy"]
        .as_str()
        .context("a policy")?;
    ensure!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for word in ["unsafe", "http:", "https:", "*"] {
        ensure!(!policy.contains(word), "{policy}");
    }
    let page = answer["body"].as_str().context("a page")?;
    ensure!(
        page.starts_with("<!DOCTYPE html>") && page.contains(&id),
        "{page}"
    );

    for (accept, query) in [
        (json!({ "accept": "application/json" }), Value::Null),
        (json!({}), json!({ "format": "json" })),
    ] {
        let answer = lambda.invoke(get(accept, query)?).await?;
        assert_eq!(answer["headers"]["content-type"], "application/json");
        let body: Value = serde_json::from_str(answer["body"].as_str().context("a body")?)?;
        assert_eq!(body["verdict"], "inconsistent");
    }
    let mut post: Value = get(json!({}), Value::Null)?;
    post["requestContext"]["http"]["method"] = "POST".into();
    let answer = lambda.invoke(post).await?;
    assert_eq!(
        (&answer["statusCode"], &answer["headers"]["allow"]),
        (&json!(405), &json!("GET, HEAD"))
    );
    let answer = lambda
        .invoke(get(json!({}), json!({ "format": "xml" }))?)
        .await?;
    assert_eq!(answer["statusCode"], 400);
    Ok(())
}

#[tokio::test]
async fn cloudwatch_gets_a_description_and_a_fragment() -> Result<()> {
    let (project, id) = project().await?;
    // what the widget is can be told without a database
    let nowhere = start(NOBODY_LISTENS).await?;
    let description = nowhere.invoke(json!({ "describe": true })).await?;
    ensure!(
        description
            .as_str()
            .is_some_and(|text| text.starts_with("## Rollcall")),
        "{description}"
    );

    let lambda = start(&project.url()).await?;
    for theme in ["light", "dark"] {
        let answer = lambda.invoke(widget(theme)).await?;
        let fragment = answer.as_str().context("HTML")?;
        ensure!(
            fragment.contains(&format!("rollcall widget {theme}")),
            "{fragment}"
        );
        ensure!(
            fragment.contains(r#"data-verdict="inconsistent""#) && fragment.contains(&id),
            "{fragment}"
        );
        ensure!(!fragment.contains("<script"), "{fragment}");
    }
    Ok(())
}

#[tokio::test]
async fn blindness_is_shown_as_unknown_with_cause_and_remedy_in_every_form() -> Result<()> {
    let empty = Project::without_rollcall().await?;
    for (url, cause) in [
        (NOBODY_LISTENS.to_owned(), "database_unreachable"),
        (empty.url(), "not_migrated"),
        (String::new(), "settings"),
    ] {
        let lambda = start(&url).await?;
        let data = lambda.invoke(json!({})).await?;
        assert_eq!(data["verdict"], "unknown", "{data}");
        ensure!(
            data["findings"][0]["id"]
                .as_str()
                .is_some_and(|id| id.contains(cause)),
            "{data}"
        );
        assert_eq!(data["users"], Value::Null);
        let page = lambda.invoke(get(json!({}), Value::Null)?).await?;
        assert_eq!(page["statusCode"], 200);
        let page = page["body"].as_str().context("a page")?.to_owned();
        let fragment = lambda.invoke(widget("light")).await?;
        for html in [page.as_str(), fragment.as_str().context("HTML")?] {
            ensure!(
                html.contains(r#"data-verdict="unknown""#) && html.contains(cause),
                "{html}"
            );
            for claim in [r#"data-verdict="consistent""#, "Rollcall's", "No signup of"] {
                ensure!(!html.contains(claim), "{claim}: {html}");
            }
        }
        ensure!(!lambda.process.output()?.contains("hunter2"));
    }
    Ok(())
}

#[tokio::test]
async fn the_page_names_the_project_and_says_what_is_known_of_the_next_signup() -> Result<()> {
    let project = Project::with_application().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.user_roles (user_id uuid references auth.users on delete cascade, role text);
             create function public.give_role() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.user_roles values (new.id, 'user'); return new; end $$;
             create trigger give_role after insert on auth.users for each row execute function public.give_role()",
        )
        .await?;
    project.migrate().await?;
    let url = project.url();
    let named = [
        ("DATABASE_URL", url.as_str()),
        ("PROJECT_NAME", "my <app>"),
        ("ENVIRONMENT_NAME", "production"),
    ];
    let lambda = Lambda::start("dashboard", &named).await?;
    let page = async || -> Result<String> {
        let answer = lambda.invoke(get(json!({}), Value::Null)?).await?;
        Ok(answer["body"].as_str().context("a page")?.to_owned())
    };
    let database: String = value(&client, "select current_database()::text").await?;
    let before = page().await?;
    for part in [
        "<title>my &lt;app&gt; production: ",
        &format!("Database {database} on 127.0.0.1"),
        "Watches: it changes nothing that happens at a signup.",
        "Every user who must have a profile has one. Nothing has shown yet that the next signup gets one.",
        "None: no signup is known to have got its profile",
        "The profile in <code>public.profiles</code>.",
    ] {
        ensure!(before.contains(part), "{part}: {before}");
    }
    ensure!(!before.contains("As last seen"), "{before}");

    let guarded = rollcall(
        &named[..1],
        &["trigger", "guard", "public.handle_new_user", "--apply"],
    )
    .await?;
    assert_eq!(guarded.status, Some(0), "{guarded}");
    Lambda::start("health-check", &[named[0], ("PROBE", "auto")])
        .await?
        .invoke(json!({}))
        .await?;
    let after = page().await?;
    for part in [
        "Every user who must have a profile has one, and the next signup gets one.",
        "Guards <code>public.handle_new_user()</code>",
        "A signup of every kind was tried just now",
        "As last seen, rows in <code>public.user_roles</code>, too.",
    ] {
        ensure!(after.contains(part), "{part}: {after}");
    }
    let data = lambda.invoke(json!({})).await?;
    assert_eq!(
        data["signup_path"],
        json!({ "makes_profiles": false, "guarded": ["public.handle_new_user()"], "profile_table": "public.profiles" })
    );
    Ok(())
}

/// One section that cannot be read takes nothing from the others, and no good news stays.
#[tokio::test]
async fn a_section_that_cannot_be_read_makes_the_whole_unknown() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .connect()
        .await?
        .batch_execute("drop function rollcall.check_history(text, timestamptz)")
        .await?;
    let answer = start(&project.url()).await?.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "unknown", "{answer}");
    assert_eq!(answer["history"], Value::Null);
    assert_eq!(answer["recent"]["issues_count"], 0);
    assert_eq!(answer["users"]["missing"], 0);
    Ok(())
}

#[tokio::test]
async fn no_address_reaches_page_widget_data_or_log() -> Result<()> {
    let (project, _) = project().await?;
    let lambda = start(&project.url()).await?;
    let mut all = String::new();
    for event in [json!({}), get(json!({}), Value::Null)?, widget("dark")] {
        all += &lambda.invoke(event).await?.to_string();
    }
    all += &lambda.process.output()?;
    for word in ["@", "ada", "bob", "eve@", "example.com", "hunter2"] {
        // a media query is no address
        let all = all.replace("@media", "");
        ensure!(!all.contains(word), "{word}: {all}");
    }
    Ok(())
}

#[tokio::test]
async fn the_role_that_reads_reports_is_enough() -> Result<()> {
    let (project, _) = project().await?;
    project.let_roles_log_in().await?;
    let lambda = start(&project.database.url_as("rollcall_monitor")).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "inconsistent", "{answer}");
    for section in ["users", "recent", "causes", "history", "repairs"] {
        ensure!(!answer[section].is_null(), "{section}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn only_a_panel_that_was_named_may_frame_the_page() -> Result<()> {
    let project = Project::migrated().await?;
    let env = [
        ("DATABASE_URL", project.url()),
        (
            "DASHBOARD_FRAME_ANCESTORS",
            "https://admin.example.com".to_owned(),
        ),
    ];
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let lambda = Lambda::start("dashboard", &env).await?;
    let answer = lambda.invoke(get(json!({}), Value::Null)?).await?;
    let policy = answer["headers"]["content-security-policy"]
        .as_str()
        .context("a policy")?;
    ensure!(
        policy.ends_with("frame-ancestors https://admin.example.com"),
        "{policy}"
    );
    assert_eq!(answer["headers"].get("x-frame-options"), None);
    Ok(())
}
