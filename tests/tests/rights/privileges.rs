//! Who may touch what, from the catalog and by trying.

use anyhow::{Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{acting_as, difference, refusal, value, values};
use uuid::Uuid;

/// What newer projects do before anything else: nothing made in `public` is open to the API roles by itself.
const NEWER_DEFAULTS: &str = "
    alter default privileges for role postgres in schema public
      revoke select, insert, update, delete on tables from anon, authenticated, service_role;
    alter default privileges for role postgres in schema public
      revoke usage, select on sequences from anon, authenticated, service_role;
    alter default privileges for role postgres in schema public
      revoke execute on functions from anon, authenticated, service_role;";

/// Rollcall on a project of either regime of default privileges.
async fn projects() -> Result<[(&'static str, Project); 2]> {
    let newer = Project::without_rollcall().await?;
    let client = newer.connect().await?;
    client.batch_execute(NEWER_DEFAULTS).await?;
    newer.migrate().await?;
    client
        .batch_execute(
            "select rollcall.create_profile_table(); select rollcall.install_signup_trigger()",
        )
        .await?;
    Ok([
        ("older defaults", Project::migrated().await?),
        ("newer defaults", newer),
    ])
}

/// Everything that the migrations make, but for the application's own table of profiles: `class`, `oid`, `name`.
const OURS: &str = "
    select 'schema' as class, n.oid, n.nspname::text as name from pg_namespace n where n.nspname = 'rollcall'
    union all
    select case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'r' then 'table' else c.relkind::text end,
      c.oid, c.oid::regclass::text
    from pg_class c
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
      and (c.relnamespace = 'rollcall'::regnamespace
        or (c.relnamespace = 'public'::regnamespace and c.relname not like 'profiles%'))
    union all
    select 'function', p.oid, p.oid::regprocedure::text from pg_proc p
    where p.pronamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
    union all
    select 'type', t.oid, t.oid::regtype::text from pg_type t join pg_class c on c.oid = t.typrelid
    where c.relkind = 'c' and t.typnamespace = 'rollcall'::regnamespace";

/// Who holds what on everything of ours but the owner, a line each.
async fn matrix(project: &Project) -> Result<Vec<String>> {
    let client = project.connect().await?;
    client.batch_execute("set search_path = ''").await?;
    values(
            &client,
            &format!(
                "select rpad(o.class, 9) || rpad(o.name, 96) || coalesce(held.rights, '-')
                 from ({OURS}) o
                 cross join lateral (
                   select string_agg(by_role.rights, '; ' order by by_role.role) as rights
                   from (
                     select x.role, x.role || ' ' || string_agg(distinct x.privilege_type, ',' order by x.privilege_type) as rights
                     from (
                       select coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC') as role, a.privilege_type
                       from aclexplode(case o.class
                         when 'schema' then (select coalesce(nspacl, acldefault('n', nspowner)) from pg_namespace where oid = o.oid)
                         when 'function' then (select coalesce(proacl, acldefault('f', proowner)) from pg_proc where oid = o.oid)
                         when 'type' then (select coalesce(typacl, acldefault('T', typowner)) from pg_type where oid = o.oid)
                         when 'sequence' then (select coalesce(relacl, acldefault('s', relowner)) from pg_class where oid = o.oid)
                         else (select coalesce(relacl, acldefault('r', relowner)) from pg_class where oid = o.oid) end) a
                       union all
                       select coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC'), a.privilege_type || '(' || c.attname || ')'
                       from pg_attribute c cross join lateral aclexplode(c.attacl) a
                       where c.attrelid = o.oid and o.class in ('table', 'view')
                     ) x
                     where x.role <> 'postgres'
                     group by x.role
                   ) by_role
                 ) held
                 order by o.class collate \"C\", o.name collate \"C\""
            ),
        )
        .await
}

#[tokio::test]
async fn the_matrix_of_objects_and_roles_is_the_same_under_both_defaults() -> Result<()> {
    for (regime, project) in projects().await? {
        let lines = matrix(&project).await?;
        insta::with_settings!({ description => "nobody is listed but who holds a right; the owner, postgres, is left out" }, {
            insta::assert_snapshot!("matrix", lines.join("\n"), regime);
        });
    }
    Ok(())
}

/// A restore or a branch may give them to anybody; a new version may give a function to another role than the one before.
#[tokio::test]
async fn an_upgrade_takes_back_every_right_that_is_not_meant() -> Result<()> {
    for (regime, project) in projects().await? {
        let before = matrix(&project).await?;
        project
            .connect()
            .await?
            .batch_execute(
                "do $$
                 declare
                   kind text;
                   someone constant text := 'public, anon, authenticated, service_role, rollcall_monitor, rollcall_repairer';
                 begin
                   execute format('grant all on schema rollcall to %s', someone);
                   foreach kind in array array['tables', 'sequences', 'functions'] loop
                     execute format('grant all on all %s in schema rollcall to %s', kind, someone);
                   end loop;
                   grant all on all functions in schema public to public, anon, authenticated, service_role;
                   grant all on public.user_events, public.signup_audit_summary, public.auth_profile_mismatch
                     to public, anon, authenticated, service_role;
                 end $$",
            )
            .await?;
        ensure!(matrix(&project).await? != before);
        project.upgrade().await?;
        assert_eq!(
            difference(&before, &matrix(&project).await?),
            [""; 0],
            "{regime}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_signup_trigger_that_comes_and_goes_leaves_nobody_a_right() -> Result<()> {
    let project = Project::watched().await?;
    let before = matrix(&project).await?;
    project
        .connect()
        .await?
        .batch_execute(
            "select rollcall.install_signup_trigger(); select rollcall.remove_signup_trigger()",
        )
        .await?;
    assert_eq!(difference(&before, &matrix(&project).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_browsers_roles_can_reach_nothing_by_any_way_of_holding_a_right() -> Result<()> {
    for (regime, project) in projects().await? {
        let client = project.connect().await?;
        let held: Vec<String> = values(
            &client,
            &format!(
                "select r.role || ' ' || o.class || ' ' || o.name
                 from ({OURS}) o cross join (values ('anon'), ('authenticated')) r (role)
                 where case o.class
                   when 'schema' then has_schema_privilege(r.role, o.oid, 'usage, create')
                   when 'function' then has_function_privilege(r.role, o.oid, 'execute')
                   when 'type' then has_type_privilege(r.role, o.oid, 'usage')
                   when 'sequence' then has_sequence_privilege(r.role, o.oid, 'usage, select, update')
                   else has_table_privilege(r.role, o.oid, 'select, insert, update, delete, truncate, references, trigger')
                     or has_any_column_privilege(r.role, o.oid, 'select, insert, update, references') end"
            ),
        )
        .await?;
        assert_eq!(held, [""; 0], "{regime}");
    }
    Ok(())
}

/// A call of every function and a read of every relation of ours, as SQL.
async fn uses(project: &Project) -> Result<Vec<String>> {
    let client = project.connect().await?;
    client.batch_execute("set search_path = ''").await?;
    values(
        &client,
        &format!(
            "select case when o.class = 'function' then
               (select format('select %s(%s)', p.oid::regproc, (
                  select string_agg(case when n = p.pronargs and p.provariadic <> 0 then 'variadic ' else '' end || 'null::' || format_type(t, null), ', ' order by n)
                  from unnest(p.proargtypes::oid[]) with ordinality as a (t, n)))
                from pg_proc p where p.oid = o.oid)
             else format('select * from %s', o.name) end
             from ({OURS}) o
             where o.class in ('function', 'view', 'table', 'sequence')
               and o.oid not in (select p.oid from pg_proc p where p.prorettype = 'trigger'::regtype)"
        ),
    )
    .await
}

#[tokio::test]
async fn the_browsers_roles_are_refused_whatever_they_try() -> Result<()> {
    for (regime, project) in projects().await? {
        let user = project
            .auth()
            .await?
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let mut attempts = uses(&project).await?;
        ensure!(attempts.len() > 50, "{}", attempts.len());
        attempts.extend(
            [
                "insert into public.user_events (user_id, kind) values (gen_random_uuid(), 'profile_backfilled')",
                "update public.user_events set kind = 'profile_backfilled'",
                "delete from public.user_events",
                "insert into rollcall.event (user_id, kind) values (gen_random_uuid(), 'profile_backfilled')",
                "truncate rollcall.event",
                "select nextval('rollcall.event_id_seq')",
                "create trigger mine after insert on rollcall.event execute function public.handle_new_user()",
            ]
            .map(ToOwned::to_owned),
        );
        for (role, id) in [("anon", None), ("authenticated", Some(user))] {
            let client = acting_as(&project.database, role, id).await?;
            for sql in &attempts {
                assert_eq!(
                    refusal(&client, sql).await.as_deref(),
                    Some("42501"),
                    "{regime}, {role}: {sql}"
                );
            }
        }
    }
    Ok(())
}

/// What a restore or a preview branch can leave behind: every right for everybody.
const EVERY_RIGHT: &str = "
    grant usage on schema rollcall to anon, authenticated;
    grant all on all tables in schema public, rollcall to anon, authenticated;
    grant all on all sequences in schema public, rollcall to anon, authenticated;
    grant all on all functions in schema public, rollcall to anon, authenticated;";

/// Of the functions of the schema `rollcall`, which PostgREST does not expose, those that need not refuse: they are about the
/// catalog, want the id of a lease, or refuse where there is something to read.
const NOTHING_PERSONAL: [&str; 13] = [
    "acknowledge_message",
    "beyond_rollback",
    "candidate_tables",
    "check_history",
    "hold_run",
    "incidents",
    "recent_errors",
    "recent_window",
    "run_failures",
    "run_reports",
    "sample_users",
    "schema_version",
    "unfilled_columns",
];

/// Keeps P12: of the functions above, those that answer with what is on record.
#[tokio::test]
async fn what_is_on_record_is_refused_by_the_functions_themselves() -> Result<()> {
    let project = Project::migrated().await?;
    let owner = project.connect().await?;
    owner
        .batch_execute(
            "select rollcall.start_run('cli', '{}');
             insert into rollcall.failure (user_id, run_id, sqlstate) select gen_random_uuid(), r.run_id, '23514' from rollcall.run r;
             select rollcall.log_guarded_failure(gen_random_uuid(), 'P0001');
             select rollcall.record_check('health', 'consistent', '{}', '{}');
             insert into rollcall.incident (id, check_name, severity, opened_at, seen_at, told_at, finding_ids, missing, told_missing, user_ids)
             values (gen_random_uuid(), 'health', 'alert', now(), now(), now(), '{}', 0, 0, '{}')",
        )
        .await?;
    let run: Uuid = value(&owner, "select run_id from rollcall.run").await?;
    owner.batch_execute(EVERY_RIGHT).await?;
    let client = acting_as(&project.database, "anon", None).await?;
    let mut answered = Vec::new();
    for call in [
        "check_history('health', '-infinity')",
        "incidents('-infinity')",
        "recent_errors()",
        "run_reports(10)",
        &format!("run_failures('{run}', 10)"),
        // and what only the owner and triggers call
        "forget_old()",
        "log_guarded_failure(gen_random_uuid(), 'P0001')",
    ] {
        let sql = format!("select 'an answer' from rollcall.{call}");
        ensure!(
            values::<String>(&owner, &sql).await? == ["an answer"],
            "{call}"
        );
        if refusal(&client, &sql).await.as_deref() != Some("42501") {
            answered.push(sql);
        }
    }
    assert_eq!(answered, [""; 0]);
    Ok(())
}

/// Keeps P12.
#[tokio::test]
async fn the_browsers_roles_are_refused_by_the_functions_themselves_whatever_rights_they_were_given()
-> Result<()> {
    for (regime, project) in projects().await? {
        let user = project
            .auth()
            .await?
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let owner = project.connect().await?;
        owner.batch_execute(EVERY_RIGHT).await?;
        let calls: Vec<String> = values(
            &owner,
            &format!(
                "select format('select * from %s(%s)', p.oid::regproc, (
                   select string_agg(case format_type(t, null)
                     when 'uuid' then case when p.proname <> 'start_run' then quote_literal('{user}') else 'null' end || '::uuid'
                     when 'uuid[]' then quote_literal('{{{user}}}') || '::uuid[]'
                     when 'jsonb' then quote_literal('{{}}')
                     when 'text' then quote_literal(case p.proname when 'repair_users' then 'backfill' else 'person1@example.com' end)
                     else 'null::' || format_type(t, null) end, ', ' order by n)
                   from unnest(p.proargtypes::oid[]) with ordinality as a (t, n)))
                 from pg_proc p
                 where p.prorettype <> 'trigger'::regtype
                   and (p.pronamespace = 'public'::regnamespace
                     or p.pronamespace = 'rollcall'::regnamespace and p.proname <> all ('{{{}}}')
                       and has_function_privilege('rollcall_repairer', p.oid, 'execute'))",
                NOTHING_PERSONAL.join(",")
            ),
        )
        .await?;
        ensure!(calls.len() > 25, "{calls:?}");
        for (role, id) in [("anon", None), ("authenticated", Some(user))] {
            let client = acting_as(&project.database, role, id).await?;
            let views = ["signup_audit_summary", "auth_profile_mismatch"]
                .map(|view| format!("select * from public.{view}"));
            let mut answered = Vec::new();
            for sql in calls.iter().chain(&views) {
                if refusal(&client, sql).await.as_deref() != Some("42501") {
                    answered.push(sql);
                }
            }
            assert_eq!(answered, [""; 0], "{regime}, {role}");
            let events: i64 = value(&client, "select count(*) from public.user_events").await?;
            assert_eq!(events, 0, "{regime}, {role}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_service_role_can_use_the_public_functions_and_views_and_write_nothing_itself()
-> Result<()> {
    for (regime, project) in projects().await? {
        let user = project
            .auth()
            .await?
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let client = acting_as(&project.database, "service_role", None).await?;
        for allowed in [
            "select * from public.signup_audit_summary",
            "select * from public.auth_profile_mismatch",
            "select * from public.diagnose_auth_profile_consistency()",
            "select * from public.get_auth_profile_mismatches()",
            "select * from public.check_recent_signup_issues()",
            "select * from public.monitor_signup_health()",
            "select * from public.verify_profile_completeness()",
            "select public.backfill_all_missing_profiles()",
            "select public.backfill_all_missing_profiles(10, false)",
            "select * from public.user_events",
        ] {
            assert_eq!(refusal(&client, allowed).await, None, "{regime}: {allowed}");
        }
        for allowed in [
            "backfill_user_profile",
            "ensure_profile_exists",
            "get_user_signup_events",
        ] {
            let sql = format!("select public.{allowed}('{user}')");
            assert_eq!(refusal(&client, &sql).await, None, "{regime}: {allowed}");
        }

        // these feed the views, which read as the one who reads them
        let feeding = [
            "rollcall.list_signups()",
            "rollcall.list_users()",
            "rollcall.event",
        ];
        for sql in uses(&project).await? {
            if sql.contains("rollcall.") && !feeding.iter().any(|function| sql.ends_with(function))
            {
                assert_eq!(
                    refusal(&client, &sql).await.as_deref(),
                    Some("42501"),
                    "{regime}: {sql}"
                );
            }
        }
        for write in [
            "insert into public.user_events (user_id, kind) values (gen_random_uuid(), 'profile_backfilled')",
            "update public.user_events set kind = 'profile_backfilled'",
            "delete from public.user_events",
            "truncate rollcall.event",
            "select nextval('rollcall.event_id_seq')",
            "insert into rollcall.failure (user_id, sqlstate) values (gen_random_uuid(), '')",
            "update rollcall.settings set query = 'select 1'",
            "update rollcall.settings set replaced = '{\"api function public.f()\": \"grant postgres to anon\"}'",
            "select rollcall.define('public.profiles', 'select')",
            "select rollcall.install_signup_trigger()",
            "create table rollcall.mine ()",
            "insert into public.auth_profile_mismatch (user_id) values (gen_random_uuid())",
            "delete from public.signup_audit_summary",
        ] {
            ensure!(refusal(&client, write).await.is_some(), "{regime}: {write}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_user_sees_and_changes_nobodys_profile_but_his_own() -> Result<()> {
    for (regime, project) in projects().await? {
        let mut auth = project.auth().await?;
        let me = auth
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let other = auth
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
            .await?;
        let client = acting_as(&project.database, "authenticated", Some(me)).await?;
        assert_eq!(
            values::<Uuid>(&client, "select id from public.profiles").await?,
            [me],
            "{regime}"
        );
        assert_eq!(
            client
                .execute("update public.profiles set email = 'new@example.com'", &[])
                .await?,
            1
        );
        let untouched: String = value(
            &project.connect().await?,
            &format!("select email from public.profiles where id = '{other}'"),
        )
        .await?;
        assert_eq!(untouched, "person2@example.com");
        for refused in [
            "update public.profiles set account_type = 'admin'".to_owned(),
            "update public.profiles set id = gen_random_uuid()".to_owned(),
            "update public.profiles set created_at = now()".to_owned(),
            "delete from public.profiles".to_owned(),
            "truncate public.profiles".to_owned(),
            format!(
                "insert into public.profiles (id, email, account_type) values ('{me}', '', 'admin')"
            ),
            format!(
                "insert into public.profiles (id, email, account_type) values ('{me}', '', 'admin')
                     on conflict (id) do update set account_type = 'admin'"
            ),
            format!(
                "insert into public.profiles (id, email) values ('{other}', 'x') on conflict (id) do update set email = 'x'"
            ),
        ] {
            assert_eq!(
                refusal(&client, &refused).await.as_deref(),
                Some("42501"),
                "{regime}: {refused}"
            );
        }
        let anonymous = acting_as(&project.database, "anon", None).await?;
        assert_eq!(
            refusal(&anonymous, "select * from public.profiles")
                .await
                .as_deref(),
            Some("42501"),
            "{regime}"
        );
        let nobody = acting_as(&project.database, "authenticated", None).await?;
        assert_eq!(
            value::<i64>(&nobody, "select count(*) from public.profiles").await?,
            0,
            "{regime}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_user_whose_profile_is_missing_may_make_it_but_not_choose_what_he_is() -> Result<()> {
    for (regime, project) in projects().await? {
        project.break_signups().await?;
        let me = project
            .auth()
            .await?
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let client = acting_as(&project.database, "authenticated", Some(me)).await?;
        let with_type = format!(
            "insert into public.profiles (id, email, account_type) values ('{me}', 'e', 'admin')"
        );
        assert_eq!(
            refusal(&client, &with_type).await.as_deref(),
            Some("42501"),
            "{regime}"
        );
        let plain = format!(
            "insert into public.profiles (id, email) values ('{me}', 'person1@example.com')"
        );
        assert_eq!(refusal(&client, &plain).await, None, "{regime}");
        assert_eq!(
            values::<String>(&client, "select account_type from public.profiles").await?,
            ["sme"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_applications_server_may_read_and_write_profiles() -> Result<()> {
    for (regime, project) in projects().await? {
        let id = project
            .auth()
            .await?
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let client = acting_as(&project.database, "service_role", None).await?;
        assert_eq!(
            values::<Uuid>(&client, "select id from public.profiles").await?,
            [id],
            "{regime}"
        );
        for sql in [
            "update public.profiles set account_type = 'partner'",
            "delete from public.profiles",
        ] {
            assert_eq!(refusal(&client, sql).await, None, "{regime}: {sql}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_function_fixes_its_search_path() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let loose: Vec<String> = values(
        &client,
        &format!(
            "select o.name from ({OURS}) o join pg_proc p on o.class = 'function' and p.oid = o.oid
             where p.proconfig is null or not 'search_path=pg_catalog, pg_temp' = any (p.proconfig)"
        ),
    )
    .await?;
    assert_eq!(loose, [""; 0]);
    Ok(())
}

/// None of the roles has a right on a row, and a trigger's function runs for everyone who signs up.
#[tokio::test]
async fn what_others_may_call_runs_as_the_owner() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let as_caller: Vec<String> = values(
        &client,
        &format!(
            "select o.name from ({OURS}) o join pg_proc p on o.class = 'function' and p.oid = o.oid
             where not p.prosecdef and (p.prorettype = 'trigger'::regtype or exists (
               select from (values ('service_role'), ('rollcall_repairer')) r (role)
               where has_function_privilege(r.role, p.oid, 'execute')))"
        ),
    )
    .await?;
    assert_eq!(
        as_caller,
        ["rollcall.schema_version()"],
        "it answers with a constant"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_reader_may_call_prints_no_plan_and_reads_strings_in_one_way() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let telling: Vec<String> = values(
        &client,
        "select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace = 'rollcall'::regnamespace and p.prosecdef and has_function_privilege('rollcall_repairer', p.oid, 'execute')
           and not p.proconfig @> '{client_min_messages=error,standard_conforming_strings=on,DateStyle=iso,IntervalStyle=postgres}'",
    )
    .await?;
    assert_eq!(telling, [""; 0]);
    Ok(())
}

/// What Supabase's advisor asks of every schema or of the exposed one: a fault, the query that finds it, and a statement
/// that makes one.
const ADVICE: [(&str, &str, &str); 9] = [
    (
        "a function whose search_path its caller sets",
        "select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
           and not exists (select from unnest(p.proconfig) c where c like 'search_path=%')",
        "alter function rollcall.user_counts() reset search_path",
    ),
    (
        "a view that reads with its owner's rights",
        "select c.oid::regclass::text from pg_class c
         where c.relkind = 'v' and c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
           and not coalesce(c.reloptions && '{security_invoker=true,security_invoker=on}', false)",
        "alter view public.user_events set (security_invoker = false)",
    ),
    (
        "a table in public without row level security",
        "select c.oid::regclass::text from pg_class c
         where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and not c.relrowsecurity",
        "create table public.mine (id integer primary key)",
    ),
    (
        "row level security without a policy, or policies without it",
        "select c.oid::regclass::text from pg_class c
         where c.relkind in ('r', 'p') and c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
           and c.relrowsecurity <> exists (select from pg_policy p where p.polrelid = c.oid)",
        "alter table rollcall.event enable row level security",
    ),
    (
        "a policy that asks auth.uid() for every row",
        "select p.polname::text from pg_policy p
         where concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) ~ 'auth.uid()'
           and not concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) ~* 'select auth.uid()'",
        "create policy mine on public.profiles for delete to authenticated using (auth.uid() = id)",
    ),
    (
        "two policies for one role and command",
        "select p.polrelid::regclass::text from pg_policy p cross join unnest(p.polroles) r (role)
         group by p.polrelid, r.role, p.polcmd having count(*) > 1",
        "create policy mine on public.profiles for select to authenticated using (true)",
    ),
    (
        "a foreign key without an index",
        "select k.conname::text from pg_constraint k join pg_class c on c.oid = k.conrelid
         where k.contype = 'f' and c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
           and not exists (
             select from pg_index i
             where i.indrelid = k.conrelid and i.indisvalid and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)",
        "drop index rollcall.message_incident_idx",
    ),
    (
        "a table without a primary key",
        "select c.oid::regclass::text from pg_class c
         where c.relkind in ('r', 'p') and c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
           and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')",
        "alter table rollcall.check_run drop constraint check_run_pkey",
    ),
    (
        "two indexes on the same columns",
        "select i.indrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid
         where c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
         group by i.indrelid, i.indkey::text, pg_get_expr(i.indpred, i.indrelid) having count(*) > 1",
        "create index again on rollcall.event (user_id, id)",
    ),
];

#[tokio::test]
async fn supabases_advisor_has_nothing_to_say_and_each_question_can_find_something() -> Result<()> {
    for (regime, project) in projects().await? {
        let mut client = project.connect_as_superuser().await?;
        for (fault, found, spoil) in ADVICE {
            assert_eq!(
                values::<String>(&client, found).await?,
                [""; 0],
                "{regime}: {fault}"
            );
            let trial = client.transaction().await?;
            trial.batch_execute(spoil).await?;
            let number = trial
                .query_typed_one(&format!("select count(*) from ({found}) f"), &[])
                .await?;
            ensure!(
                number.get::<_, i64>(0) == 1,
                "{regime}: {fault} is not seen"
            );
            trial.rollback().await?;
        }
    }
    Ok(())
}

/// Everything of Supabase Auth's and the application's.
const THEIRS: &str = "
    create temporary table theirs as
    select 'pg_class'::regclass::oid as class, c.oid from pg_class c
    where c.relnamespace in ('auth'::regnamespace, 'public'::regnamespace)
    union all
    select 'pg_type'::regclass, t.oid from pg_type t where t.typnamespace in ('auth'::regnamespace, 'public'::regnamespace)
    union all
    select 'pg_proc'::regclass, p.oid from pg_proc p where p.pronamespace in ('auth'::regnamespace, 'public'::regnamespace)";

/// What depends on it.
const DEPENDENCIES: &str = "
    select pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on '
      || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
    from pg_depend d
    join pg_temp.theirs t on t.class = d.refclassid and t.oid = d.refobjid
    order by 1";

#[tokio::test]
async fn nothing_depends_on_supabase_auth_or_on_the_application_but_the_trigger() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create table public.profiles (id uuid primary key references auth.users on delete cascade, email text)",
        )
        .await?;
    client.batch_execute(THEIRS).await?;
    let before = values::<String>(&client, DEPENDENCIES).await?;
    ensure!(before.len() > 20, "{before:?}");
    project.migrate().await?;
    assert_eq!(values::<String>(&client, DEPENDENCIES).await?, before);
    client
        .batch_execute("select rollcall.install_signup_trigger()")
        .await?;
    let mut after = values::<String>(&client, DEPENDENCIES).await?;
    after.retain(|line| !before.contains(line));
    assert_eq!(
        after,
        ["trigger on_auth_user_created on table auth.users depends on table auth.users"]
    );
    Ok(())
}

#[tokio::test]
async fn every_object_says_what_it_is_for() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let silent: Vec<String> = values(
        &client,
        &format!(
            "select o.class || ' ' || o.name from ({OURS}) o
             where o.class <> 'sequence' and coalesce(case o.class
               when 'schema' then obj_description(o.oid, 'pg_namespace')
               when 'function' then obj_description(o.oid, 'pg_proc')
               when 'type' then obj_description(o.oid, 'pg_type')
               else obj_description(o.oid, 'pg_class') end, '') = ''
             union all
             select 'index ' || i.indexrelid::regclass from pg_index i join pg_class c on c.oid = i.indrelid
             where c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace)
               and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
               and obj_description(i.indexrelid, 'pg_class') is null
             union all
             select 'policy ' || p.polname from pg_policy p where obj_description(p.oid, 'pg_policy') is null"
        ),
    )
    .await?;
    assert_eq!(silent, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn nothing_of_ours_belongs_to_anyone_but_the_migrations_role() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let strangers: Vec<String> = values(
        &client,
        "select c.oid::regclass::text from pg_class c
         where c.relnamespace in ('rollcall'::regnamespace, 'public'::regnamespace) and c.relowner <> 'postgres'::regrole
         union all
         select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace in ('rollcall'::regnamespace, 'public'::regnamespace) and p.proowner <> 'postgres'::regrole",
    )
    .await?;
    assert_eq!(strangers, [""; 0]);
    Ok(())
}
