//! A role that may only read plants whatever it can, named like everything that Rollcall's functions use, and calls
//! them all: nothing of it may run with more rights than its own, and nothing that it may not see may reach it.

use std::future::poll_fn;

use anyhow::{Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{refusal, value, values};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_postgres::{AsyncMessage, Client, NoTls};
use uuid::Uuid;

const READERS: [&str; 2] = ["rollcall_monitor", "rollcall_repairer"];

/// Remembers as whom it ran, and lets the caller go on. A lock of the session outlives the failure of what ran it.
const EVIL: &str = "
    create function pg_temp.evil() returns boolean language plpgsql as $$
    begin
      perform pg_catalog.pg_advisory_lock(4711, (current_user::pg_catalog.regrole)::pg_catalog.oid::pg_catalog.int4);
      return true;
    end $$;";

/// The roles as which it ran since this was asked last.
const RAN_AS: &str = "
    select coalesce(pg_catalog.string_agg(distinct l.objid::pg_catalog.regrole::pg_catalog.text, ','), '')
    from pg_catalog.pg_locks l
    where l.locktype = 'advisory' and l.classid = 4711 and l.pid = pg_catalog.pg_backend_pid()";

/// A domain over every type, each with a check that runs what the reader chose; a view over every relation; functions
/// beside functions, an operator beside a comparison.
const PLANT: &str = "
    do $plant$
    declare
      o record;
    begin
      for o in
        select t.typname::text as name from pg_catalog.pg_type t
        where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b' and t.typelem = 0
      loop
        execute format('create domain pg_temp.%I as pg_catalog.%1$I check (pg_temp.evil())', o.name);
      end loop;
      for o in
        select distinct on (c.relname) c.relname::text as name, format('%I.%I', n.nspname, c.relname) as source, (
          select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') from pg_catalog.pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0 and a.atttypid <> 'pg_catalog.anyarray'::regtype) as columns
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'pg_catalog' and c.relkind in ('r', 'v')
          and pg_catalog.has_table_privilege(c.oid, 'select') and not c.relname in (select t.typname from pg_catalog.pg_type t where t.typtype = 'b')
      loop
        execute format('create view pg_temp.%I as select %s from %s where pg_temp.evil()', o.name, o.columns, o.source);
      end loop;
      for o in
        select distinct c.relname::text as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('rollcall', 'auth', 'public') and c.relkind in ('r', 'v')
      loop
        execute format('create view pg_temp.%I as select 1 as id where pg_temp.evil()', o.name);
      end loop;
      for o in
        select distinct p.proname::text as name, pg_catalog.pg_get_function_identity_arguments(p.oid) as arguments, pg_catalog.format_type(p.prorettype, null) as result
        from pg_catalog.pg_proc p
        where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset and p.pronargs between 1 and 2
          and p.proname in ('lower', 'now', 'quote_ident', 'to_regclass', 'set_config', 'current_setting', 'left', 'btrim')
      loop
        execute format('create function pg_temp.%I(%s) returns %s language plpgsql as $f$ begin perform pg_temp.evil(); return null; end $f$', o.name, o.arguments, o.result);
      end loop;
      create table pg_temp.journal (user_id pg_catalog.uuid check (pg_temp.evil()));
      grant insert on pg_temp.journal to public;
      create function pg_temp.same(pg_catalog.uuid, pg_catalog.uuid) returns pg_catalog.bool language sql as 'select pg_temp.evil()';
      create operator pg_temp.= (leftarg = pg_catalog.uuid, rightarg = pg_catalog.uuid, procedure = pg_temp.same);
    end $plant$;
    set search_path = pg_temp, pg_catalog, public";

/// A call of every function of Rollcall's that this session may run, with values that lead into it.
async fn calls(client: &Client, subject: &Subject) -> Result<Vec<String>> {
    let Subject { missing, run } = subject;
    values(
        client,
        &format!(
            "select pg_catalog.format('select %s(%s)', p.oid::pg_catalog.regproc, (
               select pg_catalog.string_agg(case pg_catalog.format_type(a.type, null)
                 when 'uuid' then case when p.proname = 'undo_batch' then '''{run}''' else '''{missing}''' end || '::pg_catalog.uuid'
                 when 'uuid[]' then 'array[''{missing}'']::pg_catalog.uuid[]'
                 when 'text' then case p.proname when 'start_run' then '''lambda''' when 'repair_users' then '''backfill'''
                   when 'run_reports' then '''''' else '''health''' end || '::pg_catalog.text'
                 when 'text[]' then '''{{}}''::pg_catalog.text[]'
                 when 'jsonb' then case when p.proname = 'incident_record' and a.position = 4 then '''[]''' else '''{{}}''' end || '::pg_catalog.jsonb'
                 when 'interval' then '''1 hour''::pg_catalog.interval'
                 when 'timestamp with time zone' then 'pg_catalog.now()'
                 -- of an undo: do it
                 when 'boolean' then case when p.proname = 'undo_batch' then 'true' else 'false' end
                 when 'integer' then case when p.proname = 'undo_batch' then '0' else '10' end
                 else '10::' || pg_catalog.format_type(a.type, null) end, ', ' order by a.position)
               from pg_catalog.unnest(p.proargtypes::pg_catalog.oid[]) with ordinality a (type, position)))
             from pg_catalog.pg_proc p
             where p.pronamespace in ('rollcall'::pg_catalog.regnamespace, 'public'::pg_catalog.regnamespace)
               and p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
               and pg_catalog.has_function_privilege(p.oid, 'execute')
             order by 1"
        ),
    )
    .await
}

/// The application writes into a table that it names without its schema, and does without where it is not found.
const JOURNAL: &str = "
    create schema app;
    create table app.journal (user_id uuid);
    create function public.write_journal() returns trigger language plpgsql as $$
    begin
      insert into journal values (coalesce(new.id, old.id));
      return null;
    exception when undefined_table then
      return null;
    end $$;
    create trigger write_journal after insert or delete on public.profiles for each row execute function public.write_journal()";

/// Whom and what the calls are about.
struct Subject {
    /// A user without a profile.
    missing: String,
    /// A run that has ended, and created a profile.
    run: String,
}

/// A project with a user who has a profile, one whom a run gave theirs, and one who has none; its readers may log in.
async fn project() -> Result<(Project, Subject)> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.break_signups().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(3))
        .await?;
    let owner = project.connect().await?;
    let run: Uuid = value(
        &owner,
        "select r.run_id from rollcall.start_run('cli', '{}') r",
    )
    .await?;
    for _ in 0..3 {
        owner
            .batch_execute(&format!(
                "select rollcall.advance_run('{run}', '{run}', 10)"
            ))
            .await?;
    }
    owner.batch_execute(JOURNAL).await?;
    let missing = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    let superuser = project.connect_as_superuser().await?;
    superuser
        .batch_execute("update auth.users set encrypted_password = 'hash-of-a-password'")
        .await?;
    project.let_roles_log_in().await?;
    let subject = Subject {
        missing: missing.to_string(),
        run: run.to_string(),
    };
    Ok((project, subject))
}

/// The calls that ran what this reader planted, each with the roles as which it ran.
async fn runs_of_planted_code(
    project: &Project,
    role: &str,
    subject: &Subject,
) -> Result<Vec<(String, String)>> {
    let reader = rollcall_sandbox::connect(&project.database.url_as(role)).await?;
    let calls = calls(&reader, subject).await?;
    ensure!(calls.len() > 20, "{calls:?}");
    reader.batch_execute(EVIL).await?;
    reader.batch_execute(PLANT).await?;
    // what is planted does run, as the reader
    reader
        .batch_execute("select '1'::pg_temp.int4; select from pg_temp.users")
        .await?;
    ensure!(value::<String>(&reader, RAN_AS).await? == role);
    let mut runs = Vec::new();
    for call in calls {
        reader
            .batch_execute("select pg_catalog.pg_advisory_unlock_all()")
            .await?;
        // refused or not, what counts is what ran
        let _ = reader.batch_execute(&call).await;
        let ran_as: String = value(&reader, RAN_AS).await?;
        if !ran_as.is_empty() {
            runs.push((call, ran_as));
        }
    }
    Ok(runs)
}

/// Keeps P15.
#[tokio::test]
async fn nothing_that_a_reader_plants_runs_with_more_rights_than_its_own() -> Result<()> {
    let (project, subject) = project().await?;
    for role in READERS {
        let runs = runs_of_planted_code(&project, role, &subject).await?;
        ensure!(runs.iter().all(|(_, ran_as)| ran_as == role), "{runs:#?}");
    }
    Ok(())
}

/// The test above sees what it looks for: with an empty path, which leaves `pg_temp` first, the reader's code runs.
#[tokio::test]
async fn with_an_empty_search_path_it_would_run_as_the_owner() -> Result<()> {
    let (project, subject) = project().await?;
    project
        .connect()
        .await?
        .batch_execute(
            "do $$ declare f text; begin
               for f in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'rollcall'::regnamespace and p.prosecdef loop
                 execute format('alter function %s set search_path = %L', f, '');
               end loop;
             end $$",
        )
        .await?;
    for role in READERS {
        let runs = runs_of_planted_code(&project, role, &subject).await?;
        let as_owner = runs
            .iter()
            .filter(|(_, ran_as)| ran_as.contains("postgres"))
            .count();
        ensure!(as_owner >= 15, "{as_owner}: {runs:#?}");
    }
    Ok(())
}

/// A connection whose notices are kept, with all that PostgreSQL says about its plans: the values in them included.
async fn listening(url: &str) -> Result<(Client, UnboundedReceiver<String>)> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = sender.send(format!(
                    "{} {}",
                    notice.message(),
                    notice.detail().unwrap_or_default()
                ));
            }
        }
    });
    client
        .batch_execute(
            "set client_min_messages = debug5; set debug_print_parse = on; set debug_print_rewritten = on;
             set debug_print_plan = on; set debug_pretty_print = off",
        )
        .await?;
    Ok((client, receiver))
}

/// The constants in the trees that PostgreSQL printed, as text.
fn constants(notices: &str) -> String {
    let tree = notices.split_whitespace().collect::<Vec<_>>().join(" ");
    tree.split(":constvalue ")
        .skip(1)
        .filter_map(|constant| constant.split_once('[')?.1.split_once(']'))
        .map(|(bytes, _)| {
            let bytes: Vec<u8> = bytes
                .split(' ')
                .filter_map(|byte| byte.parse::<i8>().ok())
                .map(i8::cast_unsigned)
                .collect();
            String::from_utf8_lossy(&bytes).into_owned() + "\n"
        })
        .collect()
}

/// Keeps P10 in the database. What a function holds in a variable becomes a constant of the next statement's plan.
#[tokio::test]
async fn a_reader_sees_no_value_of_a_user_in_an_answer_an_error_or_a_printed_plan() -> Result<()> {
    let (project, subject) = project().await?;
    let mut telling = Vec::new();
    for role in READERS {
        let (reader, mut notices) = listening(&project.database.url_as(role)).await?;
        let mut drain = || {
            let mut all = String::new();
            while let Ok(notice) = notices.try_recv() {
                all += &notice;
            }
            constants(&all)
        };
        // what is printed is seen
        reader
            .batch_execute(
                "select * from (values ('can' || 'ary'), ('other')) v (c) where c = 'canary'",
            )
            .await?;
        ensure!(drain().contains("canary"));
        for call in calls(&reader, &subject).await? {
            // what it answers, or why it does not
            let answer = format!("{:?}", reader.simple_query(&call).await);
            let shown = answer + &drain();
            if ["person2", "hash-of-a-password"]
                .iter()
                .any(|value| shown.contains(value))
            {
                telling.push(format!("{role}: {call}"));
            }
        }
    }
    assert_eq!(telling, [""; 0]);
    Ok(())
}

/// Keeps P15: what the session of a repairer says is no value of a profile.
#[tokio::test]
async fn what_a_repairer_sets_in_its_session_chooses_no_value() -> Result<()> {
    const SETTINGS: &str = "
        set standard_conforming_strings = off; set backslash_quote = on; set escape_string_warning = off;
        select set_config('request.jwt.claims', '{\"sub\": \"00000000-0000-4000-8000-000000000001\", \"role\": \"service_role\"}', false)";
    let (project, Subject { missing, .. }) = project().await?;
    let owner = project.connect().await?;
    owner
        .batch_execute(
            r"alter table public.profiles add column made_by uuid default auth.uid(), add column note text;
              select rollcall.define('public.profiles', $query$
                select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email,
                  case when u.email ~ '^\w+2@' then '\w' else 'no' end as note
                from auth.users u where u.deleted_at is null $query$)",
        )
        .await?;
    let repairer = rollcall_sandbox::connect(&project.database.url_as("rollcall_repairer")).await?;
    repairer.batch_execute(SETTINGS).await?;
    repairer
        .batch_execute(&format!(
            "select rollcall.repair_users(array['{missing}']::uuid[], 'backfill')"
        ))
        .await?;
    let made: Vec<String> = values(
        &owner,
        &format!(
            "select concat_ws(' ', note, made_by) from public.profiles where id = '{missing}'"
        ),
    )
    .await?;
    assert_eq!(made, [r"\w"]);
    Ok(())
}

/// A function of the application's that looks into the session first: as for anything without a schema, where its own
/// path does not say otherwise.
#[tokio::test]
async fn a_definition_runs_nothing_that_a_reader_planted() -> Result<()> {
    let (project, _) = project().await?;
    project
        .connect()
        .await?
        .batch_execute(
            "create table public.members (user_id uuid);
             create function public.is_member(p uuid) returns boolean language sql stable set search_path = public as
               $$ select not exists (select from members m where m.user_id = p) $$;
             select rollcall.define('public.profiles',
               'select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u where public.is_member(u.id)')",
        )
        .await?;
    for role in READERS {
        let reader = rollcall_sandbox::connect(&project.database.url_as(role)).await?;
        let honest: i64 = value(&reader, "select expected from rollcall.user_counts()").await?;
        ensure!(honest > 0);
        reader.batch_execute(EVIL).await?;
        reader
            .batch_execute(
                "create view pg_temp.members as select null::uuid as user_id where pg_temp.evil()",
            )
            .await?;
        for call in [
            "user_counts()",
            "row_facts()",
            "recent_health('1 hour')",
            "mismatches()",
            "definition_fault()",
        ] {
            let refused = refusal(&reader, &format!("select * from rollcall.{call}")).await;
            ensure!(refused.as_deref() == Some("42501"), "{call}: {refused:?}");
        }
        let ran_as: String = value(&reader, RAN_AS).await?;
        ensure!(ran_as.is_empty() || ran_as == role, "{ran_as}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_trigger_says_aloud_reaches_no_reader() -> Result<()> {
    let (project, _) = project().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "create function public.greet() returns trigger language plpgsql as
               $$ begin raise warning 'welcome %', new.email; return new; end $$;
             create trigger greet before insert on public.profiles for each row execute function public.greet();
             create trigger greet after insert on auth.users for each row execute function public.greet()",
        )
        .await?;
    let url = project.database.url_as("rollcall_repairer");
    let (reader, mut notices) = listening(&url).await?;
    reader
        .batch_execute("select rollcall.preview_users(null, 5); select rollcall.probe_signup()")
        .await?;
    let heard: Vec<String> = std::iter::from_fn(|| notices.try_recv().ok()).collect();
    ensure!(!heard.is_empty(), "not even what PostgreSQL plans");
    ensure!(
        heard.iter().all(|notice| !notice.contains('@')),
        "{heard:?}"
    );
    Ok(())
}
