-- What a signup costs.
--
-- On its way the trigger function asks the catalog nothing any more: whether its statements may be used is looked up when
-- PostgreSQL plans them, which it does once in a connection and again after every change of what they name.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- The statement ---------------------------------------------------------------------------------------------------

create or replace function rollcall.key_is_uuid() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = rollcall.profile_table() and a.attname = rollcall.profile_key() and a.atttypid = 'uuid'::regtype
  );
end
$$;
comment on function rollcall.key_is_uuid() is
  'Whether the key of the profile table is a uuid, so that its index has the order of the users''.';

-- Not stable: each of these functions then has a snapshot of its own, and sees what was committed until its lock was
-- granted; the one of the signup's own statement is older.
create or replace function rollcall.signup_insert_sql(p_condition text) returns text
language plpgsql set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  key constant name := rollcall.profile_key();
  key_is_uuid constant boolean := rollcall.key_is_uuid();
  column_list text;
  value_list text;
  is_fitting boolean;
begin
  select
    string_agg(quote_ident(c.column_name), ', '),
    string_agg(format('e.%I::%s', c.column_name, c.target_type), ', '),
    coalesce(bool_and(c.target_type is not null), false)
    into column_list, value_list, is_fitting
  from rollcall.profile_columns() c;
  if key is null or not is_fitting then
    return null;
  end if;

  return format(
    $sql$insert into %1$s (%2$s)
      select %3$s
      from rollcall.expected_profile e
      where e._user_id = new.id%4$s
        and %5$s
      on conflict (%6$I) do nothing
      returning %6$I%7$s into made;$sql$,
    target, column_list, value_list,
    case when key_is_uuid then '' else format(' and not exists (select from %s t where %s)', target, rollcall.key_match_sql('t', 'e._user_id')) end,
    p_condition, key,
    case when key_is_uuid then '' else '::text::uuid' end
  );
end
$$;
comment on function rollcall.signup_insert_sql(text) is
  'The PL/pgSQL statement that makes the profile of a new user, for the definition and the profile table as they are now, under a condition of the caller''s; null where they do not fit each other.';

-- PostgreSQL's own functions and operators have no entry in pg_depend.
create or replace function rollcall.insert_runs_code(p_relation regclass) returns boolean
language plpgsql set search_path = '' as $$
begin
  return coalesce(
    (
      select
        -- the definition is read; a view that is inserted into has tables and rules behind it
        c.relkind <> 'r' and (c.relkind <> 'v' or c.oid is distinct from to_regclass('rollcall.expected_profile'))
        or c.relkind = 'r' and (c.relhasrules or row_security_active(p_relation))
        or exists (
          select from pg_catalog.pg_trigger t
          where t.tgrelid = c.oid and t.tgtype & 4 = 4 and not t.tgisinternal  -- insert
        )
        or exists (select from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.condeferrable)
        or exists (
          select
          from (
            select 'pg_catalog.pg_rewrite'::regclass::oid as classid, r.oid as objid from pg_catalog.pg_rewrite r where r.ev_class = c.oid
            union all
            select 'pg_catalog.pg_attrdef'::regclass, d.oid from pg_catalog.pg_attrdef d where d.adrelid = c.oid
            union all
            select 'pg_catalog.pg_constraint'::regclass, k.oid from pg_catalog.pg_constraint k where k.conrelid = c.oid
            union all
            select 'pg_catalog.pg_class'::regclass, i.indexrelid from pg_catalog.pg_index i where i.indrelid = c.oid
            union all
            -- a domain may stand anywhere inside the type of a column
            select 'pg_catalog.pg_constraint'::regclass, k.oid from pg_catalog.pg_constraint k where k.contypid <> 0
          ) part
          join pg_catalog.pg_depend d on d.classid = part.classid and d.objid = part.objid
          left join pg_catalog.pg_class read on d.refclassid = 'pg_catalog.pg_class'::regclass and read.oid = d.refobjid
          where d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
            -- a view that is read may have functions of its own
            or read.oid <> c.oid and read.relkind not in ('r', 'p', 'i', 'S')
            or read.relkind in ('r', 'p') and row_security_active(read.oid)
        )
        or exists (
          select from pg_catalog.pg_cast x
          join pg_catalog.pg_proc p on p.oid = x.castfunc
          join pg_catalog.pg_language l on l.oid = p.prolang
          where x.oid >= 16384 and l.lanname not in ('internal', 'c')  -- no cast of PostgreSQL's
        )
      from pg_catalog.pg_class c
      where c.oid = p_relation
    ),
    true
  );
end
$$;
comment on function rollcall.insert_runs_code(regclass) is
  'Whether a row that is inserted into this table, or read from this view for it, may run code of the application (triggers, rules, functions in defaults, constraints, indexes, domains, casts, views) or leave something to be checked at commit. In doubt it may.';

-- Declared immutable, which they are not, so that PostgreSQL asks them when it plans, and not again while the plan holds. The
-- statement names the relations that the answer hangs on, so a change of one has it planned anew; and it holds their locks
-- by then, so that no change comes between. They fail instead of saying no, since an insert of no row fires triggers, too.
create or replace function rollcall.require_signup_insert(p_fingerprint text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  -- any other level has an old snapshot, and the answer would outlive its transaction
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted')
    or md5(rollcall.signup_insert_sql('')) is distinct from p_fingerprint then
    raise exception using errcode = 'RC009', message = 'rollcall: the signup was planned for another definition';
  end if;
  return true;
end
$$;
comment on function rollcall.require_signup_insert(text) is
  'True, or error RC009 where a trigger function''s statement is not the one that fits the definition and the profile table. To be asked only within that statement: it is answered when it is planned.';

create or replace function rollcall.require_plain_insert(p_relation regclass) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') or rollcall.insert_runs_code(p_relation) then
    raise exception using errcode = 'RC009', message = 'rollcall: the signup was planned without code of the application';
  end if;
  return true;
end
$$;
comment on function rollcall.require_plain_insert(regclass) is
  'True, or error RC009 where rollcall.insert_runs_code(). To be asked only within a statement that names the relation: it is answered when that is planned.';

-- The trigger functions -------------------------------------------------------------------------------------------

create or replace function rollcall.signup_function_sql(p_function text) returns text
language plpgsql set search_path = '' as $$
declare
  fingerprint constant text := md5(rollcall.signup_insert_sql(''));
  is_planned_for constant text := format('rollcall.require_signup_insert(%L)', fingerprint);
  is_plain constant boolean := fingerprint is not null and not exists (
    select from unnest(array[
      to_regclass('rollcall.expected_profile'), rollcall.profile_table(), to_regclass('public.user_events')
    ]) r
    where rollcall.insert_runs_code(r)
  );
  -- Most projects: nothing but our own statements runs.
  plain_way constant text := $block$
  begin
    %1$s
    if made = new.id then
      profile_is_made := true;
      %2$s
    end if;
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
  end;
$block$;
  careful_way constant text := $block$
  if %3$s then
    code := null;
    profile_is_made := false;
    begin
      -- a constraint that is checked at commit, of whichever table, has to be tried: the general way does
      if not exists (select from pg_catalog.pg_constraint c where c.condeferrable and c.connamespace <> 'auth'::regnamespace) then
        -- the application's own triggers may name their tables without a schema
        perform set_config('search_path', 'pg_catalog, public, extensions, pg_temp', true);
        %1$s
        if made = new.id then
          profile_is_made := true;
          %2$s
        elsif made is not null then
          raise exception using errcode = 'RC002', message = 'rollcall: a trigger on the profile table changed the key of the row';
        end if;
      end if;
    exception when others or query_canceled or assert_failure then
      get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
    end;
  end if;
$block$;
  events constant text := $sql$insert into public.user_events (user_id, kind, payload, created_at)
      select new.id, e.kind, '{"source": "signup"}', clock_timestamp()
      from (values ('auth_user_created'), ('profile_bootstrap_ok')) e (kind)
      where not exists (select from public.user_events known where known.user_id = new.id)%s;
      if found then
        return new;
      end if;
      -- a user who was there before: the general way knows which events are known
      raise exception using errcode = 'RC002', message = 'rollcall: this user has events already';$sql$;
begin
  return format(
    $function$
create or replace function %1$s returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '1s'%4$s as $body$
declare
  made uuid;
  profile_is_made boolean := false;
  code text;
  constraint_name text;
  column_name text;
begin
%2$s%3$s
  begin
    if code is null or code in ('RC002', 'RC009') or (left(code, 2) in ('0A', '42') and not profile_is_made) then
      perform rollcall.bootstrap_profile(new.id);
    else
      perform rollcall.end_bootstrap(new.id, '{}', profile_is_made, null, code, constraint_name, column_name);
    end if;
  exception when others or query_canceled or assert_failure then
    raise warning 'rollcall: a signup got no profile (SQLSTATE %%); is the schema rollcall complete?', sqlstate;
  end;
  return new;
end
$body$
    $function$,
    p_function,
    case when is_plain then format(
      plain_way,
      rollcall.signup_insert_sql(format(
        '%s and rollcall.require_plain_insert(''rollcall.expected_profile'') and rollcall.require_plain_insert(%L)',
        is_planned_for, rollcall.profile_table())),
      format(events, ' and rollcall.require_plain_insert(''public.user_events'')')) end,
    case when fingerprint is not null then format(
      careful_way,
      rollcall.signup_insert_sql(is_planned_for),
      format(events, ''),
      case when is_plain then 'code = ''RC009''' else 'true' end) end,
    -- else PostgreSQL plans, and asks, at each of the first five signups of a connection
    case when is_plain then ' set plan_cache_mode = force_generic_plan' end
  );
end
$$;
comment on function rollcall.signup_function_sql(text) is
  'SQL text that makes a trigger function for signups, with the insert for the present definition in it. The function it makes never fails.';

create or replace function rollcall.plan_signup() returns void
language plpgsql set search_path = '' as $$
begin
  execute rollcall.signup_function_sql('rollcall.on_signup()');
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = to_regprocedure('public.handle_new_user()') and p.prosrc like '%rollcall.bootstrap_profile%'
  ) then
    execute rollcall.signup_function_sql('public.handle_new_user()');
  end if;
end
$$;
comment on function rollcall.plan_signup() is
  'Makes the trigger functions for signups anew for the definition as it is now. Until it is called after other columns were given to rollcall.expected_profile or to the profile table, a signup takes a slower way to the same profile.';

do $$
begin
  perform rollcall.plan_signup();
  -- What the trigger functions were made for stands in themselves now. A signup that began before may still read this.
  perform set_config('lock_timeout', '2s', true);
  drop table if exists rollcall.signup_plan;
end
$$;

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261125000100' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
