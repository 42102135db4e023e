-- Takes all of Rollcall back: diagnostics, repair, signup trigger, events, definition. Functions and triggers of the
-- application whose names were taken stand again as they were. No profile and no table of the application is
-- touched; public.profiles stays, also where the migrations created it, and from now on nothing fills it.
--
-- An edited rollcall.expected_profile goes with the schema: keep its text if you mean to come back.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

do $$
declare
  dependants text;
  riders text[];
  given_back record;
begin
  if to_regnamespace('rollcall') is null then
    return;
  end if;
  -- trigger definitions then name every schema
  perform set_config('search_path', '', true);
  -- Dropping a trigger locks its table: whoever waits for that makes every signup and sign-in behind it wait, too.
  perform set_config('lock_timeout', '2s', true);

  -- Dropping a function takes its triggers along, which a role that does not own auth.users may not drop itself.
  if to_regprocedure('rollcall.on_signup()') is not null then
    drop function rollcall.on_signup() cascade;
    drop function rollcall.leave_to_later_trigger() cascade;
  end if;
  if to_regprocedure('rollcall.keep_audit_entry()') is not null then
    drop function rollcall.keep_audit_entry() cascade;
  end if;
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = to_regprocedure('public.handle_new_user()') and p.prosrc like '%rollcall.bootstrap_profile%'
  ) then
    select coalesce(array_agg(pg_catalog.pg_get_triggerdef(t.oid)), '{}') into riders
    from pg_catalog.pg_trigger t
    where t.tgfoid = to_regprocedure('public.handle_new_user()') and t.tgname <> 'on_auth_user_created';
    drop function public.handle_new_user() cascade;
  end if;
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = to_regprocedure('public.ensure_profile_exists(uuid, text, text, text, text)') and p.prosrc like '%rollcall.bootstrap_profile%'
  ) then
    drop function public.ensure_profile_exists(uuid, text, text, text, text);
  end if;

  -- whatever would be dropped with the schema: views, functions, columns, defaults, policies, triggers
  select string_agg(distinct pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), ', ') into dependants
  from pg_catalog.pg_depend d
  cross join lateral pg_catalog.pg_identify_object_as_address(d.refclassid, d.refobjid, d.refobjsubid) needed
  cross join lateral pg_catalog.pg_identify_object_as_address(d.classid, d.objid, d.objsubid) theirs
  where d.deptype = 'n'
    -- a type is one name with its schema, everything else begins with its schema
    and split_part(needed.object_names[1], '.', 1) = 'rollcall'
    and split_part(theirs.object_names[1], '.', 1) <> 'rollcall'
    and theirs.object_names[1:2] not in (array['public', 'signup_audit_summary'], array['public', 'auth_profile_mismatch']);
  if dependants is not null then
    raise exception 'rollcall: objects of yours use the schema rollcall: %', dependants
      using errcode = 'dependent_objects_still_exist', hint = 'Drop or change them first; nothing was removed.';
  end if;

  -- functions before the triggers that run them; only where no later version of the application's stands
  if to_regclass('rollcall.displaced') is not null then
    for given_back in
      select d.object, d.definition
      from rollcall.displaced d
      where (d.object like 'function %' and to_regprocedure(substr(d.object, length('function ') + 1)) is null)
        or (
          d.object like 'trigger %'
          and not exists (select from pg_catalog.pg_trigger t where t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created')
        )
        or (
          to_regclass('public.user_events') is not null
          and split_part(d.object, ' ', 1) in ('table', 'constraint', 'comment')
        )
        or (d.object like 'rights %' and to_regprocedure(substr(d.object, length('rights on function ') + 1)) is not null)
      order by array_position(array['function', 'trigger', 'table', 'constraint', 'comment', 'rights'], split_part(d.object, ' ', 1)), d.object
    loop
      begin
        execute given_back.definition;
      exception when foreign_key_violation then
        -- events of users who are gone; the constraint holds for whatever comes
        execute given_back.definition || ' not valid';
      end;
    end loop;
  end if;
  if to_regprocedure('public.handle_new_user()') is not null then
    for i in 1 .. coalesce(cardinality(riders), 0) loop
      execute riders[i];
    end loop;
  end if;
end
$$;

drop view if exists public.signup_audit_summary, public.auth_profile_mismatch;
drop function if exists
  public.diagnose_auth_profile_consistency(),
  public.get_auth_profile_mismatches(integer),
  public.check_recent_signup_issues(),
  public.get_user_signup_events(uuid),
  public.monitor_signup_health(),
  public.verify_profile_completeness(),
  public.backfill_user_profile(uuid, text, text),
  public.backfill_all_missing_profiles(integer, boolean);
drop schema if exists rollcall cascade;

do $$
begin
  -- a table of this name that was there before stays
  if pg_catalog.obj_description(to_regclass('public.user_events'), 'pg_class') like 'Rollcall: %' then
    drop table public.user_events;
  end if;
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    delete from supabase_migrations.schema_migrations
    where version in (
      '20261122000100', '20261122000200', '20261122000300', '20261122000400', '20261122000500', '20261122000600',
      '20261122000700', '20261124000100', '20261124000200', '20261124000300', '20261124000400', '20261124000500', '20261124000600', '20261124000610', '20261124000700', '20261125000100', '20261125000200', '20261125000300', '20261125000400'
    );
  end if;
end
$$;

do $$
declare
  role_name text;
begin
  foreach role_name in array array['rollcall_repairer', 'rollcall_monitor'] loop
    begin
      execute format('drop role if exists %I', role_name);
    -- it has rights elsewhere: in another database of the cluster, or what a person granted
    exception when dependent_objects_still_exist or insufficient_privilege then
      null;
    end;
  end loop;
end
$$;
