-- Stance "make": a trigger of Rollcall's own on auth.users, asked for on purpose, after everybody else's. Nothing in this
-- file touches auth.users until rollcall.install_signup_trigger() is called. The trigger makes the profile if it is
-- expected and missing, keeps an event, catches everything, and changes nothing that the application's own triggers do.

create or replace function rollcall.checked_at_commit(p_table text) returns setof text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return query select format('%I on %s', c.conname, c.conrelid::regclass)
  from pg_constraint c
  where (
      c.condeferred and (c.conrelid in (to_regclass(p_table), to_regclass('rollcall.event'))
        or c.conrelid in (select r.relid from pg_partition_tree(to_regclass(p_table)) r)))
    -- what a trigger or a default of the table writes may be checked at commit, too
    or (
      c.condeferrable and (
        exists (select from pg_trigger g where g.tgrelid = to_regclass(p_table) and not g.tgisinternal and g.tgtype::integer & 4 = 4)
        or exists (
          select from pg_attrdef d
          join pg_depend e on e.classid = 'pg_attrdef'::regclass and e.objid = d.oid and e.refclassid = 'pg_proc'::regclass
          join pg_proc p on p.oid = e.refobjid join pg_language l on l.oid = p.prolang and l.lanname not in ('c', 'internal')
          where d.adrelid = to_regclass(p_table))))
  order by 1;
end
$$;
comment on function rollcall.checked_at_commit(text) is
  'The constraints that an insert into the profile table, and the event of it, may leave to be checked at commit, constraint triggers among them.';

create or replace function rollcall.on_signup() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
-- less than PostgreSQL takes to call a deadlock, so that nobody else is its victim
set lock_timeout = '500ms' as $$
declare
  -- no type of ours: without the schema the function could not even begin
  s record;
  made uuid[];
  code text;
  reason jsonb;
begin
  select x.* into s from rollcall.settings x;
  -- A constraint that is checked at commit would fail after the handler below, and take the signup with it.
  if s.target_table is null or exists (select from rollcall.checked_at_commit(s.target_table)) then
    return new;
  end if;
  execute s.insert_query into made using array[new.id], '{}'::jsonb, rollcall.application_path();
  if made = array[new.id] then
    insert into rollcall.event (user_id, kind, payload)
    values (new.id, 'auth_user_created', '{"source": "trigger"}'), (new.id, 'profile_bootstrap_ok', '{"source": "trigger"}');
  elsif exists (select from rollcall.missing_among(array[new.id])) then
    raise exception using errcode = 'RC002';
  end if;
  return new;
exception when others or query_canceled or assert_failure then
  begin
    get stacked diagnostics code = pg_exception_context;
    reason := jsonb_build_object('functions', rollcall.known_functions(code));
    get stacked diagnostics code = constraint_name;
    reason := reason || jsonb_build_object('source', 'trigger', 'sqlstate', sqlstate, 'constraint', rollcall.known_name(code));
    get stacked diagnostics code = column_name;
    insert into rollcall.event (user_id, kind, payload)
    values (new.id, 'profile_bootstrap_error', jsonb_strip_nulls(reason || jsonb_build_object('column', rollcall.known_name(code))));
  exception when others or query_canceled or assert_failure then null;
  end;
  return new;
end
$$;
comment on function rollcall.on_signup() is
  'Rollcall: trigger function that makes the profile of a new user if it is expected and missing. Never fails, so a signup is never blocked.';

create or replace function rollcall.signup_trigger_plan(out trigger_name name, out function_name text, out plan text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  target constant regclass := to_regclass(s.target_table);
  hint constant text := 'Let the application go on as it does; Rollcall watches and repairs without a trigger of its own.';
  obstacle text;
  is_filled_by_others boolean;
  last_of_theirs text;
begin
  select string_agg(c, ', ') into obstacle from rollcall.checked_at_commit(s.target_table) c;
  if obstacle is not null then
    raise exception 'rollcall: % is checked at commit, where nothing can catch its failure', obstacle
      using errcode = 'object_not_in_prerequisite_state',
        detail = format('If it fails for a profile in %s that the trigger made, the signup fails.', s.target_table), hint = hint;
  end if;
  -- A trigger that fires after the insert of the user and makes the same profile by a plain insert would meet ours.
  with recursive code (trigger_id, function_id, source) as (
    select t.oid, p.oid, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join pg_proc p on p.oid = t.tgfoid
    where c.relnamespace = to_regnamespace('auth') and not t.tgisinternal and t.tgenabled in ('O', 'A')
      and t.tgtype::integer & 20 <> 0  -- insert or update
      -- but for each row after the insert of a user, at once; what also follows updates may tell them apart
      and (t.tgrelid <> 'auth.users'::regclass or t.tgtype::integer & 5 <> 5 or t.tginitdeferred
        or (t.tgtype::integer & 16 = 16 and p.prosrc !~* '\mtg_op\M'))
      and not rollcall.is_ours(p.oid)
    union
    select code.trigger_id, p.oid, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
    from code
    join pg_proc p on p.pronamespace = any ((select rollcall.application_schemas())::oid[]) and strpos(lower(code.source), lower(p.proname)) > 0
  )
  select string_agg(distinct format('%I on %s', t.tgname, t.tgrelid::regclass), ', ') into obstacle
  from code
  join pg_trigger t on t.oid = code.trigger_id
  join pg_class x on x.oid = target
  where code.source ~* '\mexecute\M'
    or exists (
      select from regexp_matches(code.source, '\minto\s+' || rollcall.name_pattern(x.relname) || '([^;]*)', 'gi') m
      -- an upsert that fires after ours would find our row, and its own values would be lost
      where m[1] !~* '\mon\s+conflict\M' or t.tgtype::integer & 6 = 4
    );
  if obstacle is not null then
    raise exception 'rollcall: the application may make profiles after the signup''s insert, by its trigger %', obstacle
      using errcode = 'object_not_in_prerequisite_state',
        detail = 'A profile that is there already could make that trigger fail, and the signup or the confirmation with it.', hint = hint;
  end if;
  -- Profiles that neither a trigger nor Rollcall made, in a table that people may insert into, are made by the client.
  if exists (
      select from pg_policy p
      where p.polrelid = target and p.polcmd in ('a', '*') and p.polroles && array[0, to_regrole('authenticated')::oid]
    )
    and not exists (
      select from pg_proc p
      where p.prorettype = 'trigger'::regtype and p.pronamespace = any ((select rollcall.application_schemas())::oid[]) and not rollcall.is_ours(p.oid)
        and p.prosrc ~* ('\minto\s+' || (select rollcall.name_pattern(x.relname) from pg_class x where x.oid = target))
    )
  then
    execute
      'select exists (
         select from (' || s.actual_query || ') a
         where not exists (
           select from rollcall.event v where v.user_id = a._user_id and v.kind in (''profile_bootstrap_ok'', ''profile_backfilled'')))'
      into is_filled_by_others;
    if is_filled_by_others then
      raise exception 'rollcall: the application makes profiles in % by itself, without a trigger', s.target_table
        using errcode = 'object_not_in_prerequisite_state',
          detail = 'A plain insert of its clients would fail on a profile that is there already.', hint = hint;
    end if;
  end if;
  if exists (select from rollcall.unfilled_columns()) then
    raise exception 'rollcall: the definition gives no value to %', (select string_agg(quote_ident(c), ', ') from rollcall.unfilled_columns() c)
      using errcode = 'object_not_in_prerequisite_state', detail = 'Every profile that the trigger made would fail on it.',
        hint = 'Add the columns to the definition: rollcall definition set FILE.';
  end if;

  select max(t.tgname::text collate "C") into last_of_theirs
  from pg_trigger t join pg_proc p on p.oid = t.tgfoid
  where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal and t.tgtype::integer & 7 = 5  -- for each row, after, insert
    and not rollcall.is_ours(p.oid);
  -- Triggers fire in the order of their names.
  if coalesce(last_of_theirs < 'on_auth_user_created' collate "C", true)
    and not exists (
      select from pg_proc p
      where p.proname = 'handle_new_user' and p.pronamespace = 'public'::regnamespace
        and not rollcall.is_ours(p.oid))
    and not exists (
      select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created'
        and not rollcall.is_ours(p.oid))
  then
    trigger_name := 'on_auth_user_created';
    function_name := 'public.handle_new_user()';
  else
    trigger_name := 'zz_rollcall_on_signup';
    function_name := 'rollcall.on_signup()';
  end if;
  if last_of_theirs >= trigger_name::text collate "C" then
    raise exception 'rollcall: the application''s trigger % fires after Rollcall''s would', quote_ident(last_of_theirs)
      using errcode = 'object_not_in_prerequisite_state',
        detail = 'If it makes the same profile by a plain insert, it would fail on Rollcall''s, and the signup with it.', hint = hint;
  end if;
  plan := format('create the trigger %I on auth.users, after insert for each row, after all others; it runs %s, which makes a profile in %s where one is expected and missing',
    trigger_name, function_name, s.target_table);
end
$$;
comment on function rollcall.signup_trigger_plan() is
  'Under which names Rollcall''s trigger would be made, and a sentence about it. Raises an error with the reason where it could harm.';

create or replace function rollcall.remove_signup_trigger() returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  theirs text;
  ours record;
  removed text[] := '{}';
begin
  select string_agg(format('%I on %s', t.tgname, t.tgrelid::regclass), ', ') into theirs
  from pg_trigger t join pg_proc p on p.oid = t.tgfoid
  where rollcall.is_ours(p.oid)
    and (t.tgrelid <> 'auth.users'::regclass or t.tgname not in ('on_auth_user_created', 'zz_rollcall_on_signup'));
  if theirs is not null then
    raise exception 'rollcall: other triggers run Rollcall''s function: %', theirs
      using errcode = 'dependent_objects_still_exist', hint = 'Drop them first; nothing was changed.';
  end if;
  for ours in
    -- as text: of a function that is gone only the number is left
    select t.tgname, p.oid::regprocedure::text as function, pg_get_functiondef(p.oid) as definition, obj_description(p.oid, 'pg_proc') as comment
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = 'auth.users'::regclass and rollcall.is_ours(p.oid)
  loop
    -- A trigger can be dropped by the owner of its table alone; it goes with its function.
    execute format('drop function %s cascade', ours.function);
    if ours.function = 'rollcall.on_signup()' then
      execute ours.definition;
      execute format('comment on function rollcall.on_signup() is %L', ours.comment);
      revoke all on function rollcall.on_signup() from public;
    end if;
    removed := removed || format('the trigger %I on auth.users', ours.tgname);
  end loop;
  return case when removed = '{}' then 'there was no trigger of Rollcall''s' else 'removed ' || array_to_string(removed, ', ') end;
end
$$;
comment on function rollcall.remove_signup_trigger() is
  'Takes Rollcall''s trigger off auth.users, with the public function that it runs. Nothing of the application''s is touched.';

-- It locks auth.users: whoever waited for that would make every signup behind it wait, too.
create or replace function rollcall.install_signup_trigger() returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  wanted constant record := rollcall.signup_trigger_plan();
begin
  perform rollcall.remove_signup_trigger();
  if wanted.function_name = 'public.handle_new_user()' then
    execute replace(pg_get_functiondef('rollcall.on_signup()'::regprocedure), 'FUNCTION rollcall.on_signup()', 'FUNCTION public.handle_new_user()');
    execute format('comment on function public.handle_new_user() is %L', obj_description('rollcall.on_signup()'::regprocedure, 'pg_proc'));
    revoke all on function public.handle_new_user() from public, anon, authenticated, service_role;
  end if;
  execute format('create trigger %I after insert on auth.users for each row execute function %s', wanted.trigger_name, wanted.function_name);
  return format('created the trigger %I on auth.users, which runs %s', wanted.trigger_name, wanted.function_name);
end
$$;
comment on function rollcall.install_signup_trigger() is
  'Adds Rollcall''s trigger to auth.users, after everybody else''s; refuses where it could harm. Returns what was done.';

-- An installed trigger keeps up with an upgrade; nothing is locked for that.
do $$
begin
  if rollcall.is_ours(to_regprocedure('public.handle_new_user()')) then
    execute replace(pg_get_functiondef('rollcall.on_signup()'::regprocedure), 'FUNCTION rollcall.on_signup()', 'FUNCTION public.handle_new_user()');
    revoke all on function public.handle_new_user() from public, anon, authenticated, service_role;
  end if;
end
$$;

-- A guard is put into a function of the application's by the program, on request (rollcall trigger guard).
create or replace function rollcall.log_guarded_failure(p_user_id uuid, p_sqlstate text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into rollcall.event (user_id, kind, payload)
  select p_user_id, 'profile_bootstrap_error', jsonb_build_object('source', 'guard', 'sqlstate', left(p_sqlstate, 5)) from rollcall.refuse_api_roles()
$$;
comment on function rollcall.log_guarded_failure(uuid, text) is 'Keeps the failure of a guarded signup trigger as an event.';
