//! A role that may only read plants whatever it can, named like everything that Rollcall's functions use, and calls
//! them all: nothing of it may run with more rights than its own.

use anyhow::{Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio_postgres::Client;

const READERS: [&str; 2] = ["rollcall_monitor", "rollcall_repairer"];

/// Remembers as whom it ran, and lets the caller go on.
const EVIL: &str = "
    create function pg_temp.evil() returns boolean language plpgsql as $$
    begin
      perform pg_catalog.set_config('test.ran_as', pg_catalog.concat_ws(',', pg_catalog.current_setting('test.ran_as', true), current_user::pg_catalog.text), false);
      return true;
    end $$;
    create function pg_temp.evil_output(anyelement) returns boolean language sql as 'select pg_temp.evil()';";

/// A domain over every type, each with a check that runs what the reader chose; a view over every relation; a function
/// beside every function; an operator beside every comparison.
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
        select distinct on (c.relname) c.relname::text as name, format('%I.%I', n.nspname, c.relname) as source
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'pg_catalog' and c.relkind in ('r', 'v')
          and pg_catalog.has_table_privilege(c.oid, 'select') and not c.relname in (select t.typname from pg_catalog.pg_type t where t.typtype = 'b')
      loop
        begin
          execute format('create view pg_temp.%I as select * from %s where pg_temp.evil()', o.name, o.source);
        exception when others then
          null;
        end;
      end loop;
      foreach o.name in array array['users', 'settings', 'event', 'run', 'receipt', 'failure', 'incident', 'message', 'check_run', 'migration', 'profiles'] loop
        execute format('create view pg_temp.%I as select 1 as id where pg_temp.evil()', o.name);
      end loop;
      for o in
        select distinct p.proname::text as name, pg_catalog.pg_get_function_identity_arguments(p.oid) as arguments, pg_catalog.format_type(p.prorettype, null) as result
        from pg_catalog.pg_proc p
        where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset and p.pronargs between 1 and 2
          and p.proname in ('lower', 'coalesce', 'now', 'format', 'quote_ident', 'to_jsonb', 'to_regclass', 'set_config', 'current_setting', 'left', 'btrim')
      loop
        begin
          execute format('create function pg_temp.%I(%s) returns %s language plpgsql as $f$ begin perform pg_temp.evil(); return null; end $f$', o.name, o.arguments, o.result);
        exception when others then
          null;
        end;
      end loop;
      begin
        create function pg_temp.same(pg_catalog.uuid, pg_catalog.uuid) returns pg_catalog.bool language sql as 'select pg_temp.evil()';
        create operator pg_temp.= (leftarg = pg_catalog.uuid, rightarg = pg_catalog.uuid, procedure = pg_temp.same);
      exception when others then
        null;
      end;
    end $plant$";

/// A call of every function of Rollcall's that this session may run, with values that lead into it.
async fn calls(client: &Client, user: &str) -> Result<Vec<String>> {
    values(
        client,
        &format!(
            "select pg_catalog.format('select %s(%s)', p.oid::pg_catalog.regproc, (
               select pg_catalog.string_agg(case pg_catalog.format_type(a.type, null)
                 when 'uuid' then '''{user}''::pg_catalog.uuid'
                 when 'uuid[]' then 'array[''{user}'']::pg_catalog.uuid[]'
                 when 'text' then case when p.proname = 'probe_signup' then '''email''' else '''health''' end || '::pg_catalog.text'
                 when 'text[]' then '''{{}}''::pg_catalog.text[]'
                 when 'jsonb' then case when p.proname = 'incident_record' and a.position = 4 then '''[]''' else '''{{}}''' end || '::pg_catalog.jsonb'
                 when 'interval' then '''1 hour''::pg_catalog.interval'
                 when 'timestamp with time zone' then 'pg_catalog.now()'
                 when 'boolean' then 'true'
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

#[tokio::test]
async fn nothing_that_a_reader_plants_runs_with_more_rights_than_its_own() -> Result<()> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.break_signups().await?;
    let missing = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    let superuser = project.connect_as_superuser().await?;
    for role in READERS {
        superuser
            .batch_execute(&format!("alter role {role} login"))
            .await?;
        let reader = rollcall_sandbox::connect(&project.database.url_as(role)).await?;
        let calls = calls(&reader, &missing.to_string()).await?;
        ensure!(calls.len() > 20, "{calls:?}");
        reader.batch_execute(EVIL).await?;
        reader.batch_execute(PLANT).await?;
        // what is planted does run, as the reader
        reader
            .batch_execute("select '1'::pg_temp.int4; select from pg_temp.users")
            .await?;
        let ran_as = "select pg_catalog.current_setting('test.ran_as')";
        ensure!(value::<String>(&reader, ran_as).await?.contains(role));
        for call in calls {
            // refused or not, what counts is what ran
            let _ = reader.batch_execute(&call).await;
            let _ = reader.batch_execute("rollback").await;
            let seen: String = value(&reader, ran_as).await?;
            ensure!(
                seen.split(',').all(|name| name.is_empty() || name == role),
                "{role}: {call} ran the reader's code as {seen}"
            );
        }
    }
    Ok(())
}
