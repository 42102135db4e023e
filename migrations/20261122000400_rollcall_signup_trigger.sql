-- A profile for every signup, from the moment of the signup.
--
-- Makes public.ensure_profile_exists, public.handle_new_user and the trigger on_auth_user_created on auth.users.
-- Whatever goes wrong with the profile, the signup goes through: the reason is kept as an event and the repair
-- finds the user. A function or trigger of the application that had one of these names is kept in
-- rollcall.displaced, and the rollback gives it back; a handle_new_user() that other triggers run, too, stays.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function rollcall.log_signup(p_user_id uuid, p_outcome text, p_sqlstate text, p_constraint text, p_column text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.user_events (user_id, kind, payload)
  select p_user_id, e.kind, e.payload
  from (
    values
      (1, 'auth_user_created', '{"source": "signup"}'::jsonb),
      (2, p_outcome, jsonb_strip_nulls(jsonb_build_object(
        'source', 'signup', 'sqlstate', p_sqlstate,
        'constraint', rollcall.known_constraint(p_constraint), 'column', rollcall.known_column(p_column))))
  ) e (position, kind, payload)
  where e.kind is not null
    and not exists (
      select from public.user_events known
      where known.user_id = p_user_id and known.kind = e.kind and known.payload = e.payload
    )
  order by e.position;
end
$$;
comment on function rollcall.log_signup(uuid, text, text, text, text) is
  'Keeps the events of one signup: auth_user_created and its outcome, profile_bootstrap_ok or profile_bootstrap_error with SQLSTATE, constraint and column (null: no profile is expected). What is known already is not logged again.';

-- "others" leaves out a cancelled query and a failed assertion; inside a signup they must not get through either.
create or replace function rollcall.bootstrap_profile(p_user_id uuid, p_overrides jsonb default '{}') returns void
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
declare
  profile_is_made boolean := false;
  deferred text;
  is_ours_to_check boolean := false;
  code text;
  constraint_name text;
  column_name text;
begin
  begin
    -- of the events; create_profiles looks after its own
    deferred := rollcall.deferred_constraints();
    is_ours_to_check := case when deferred is null then false else rollcall.deferred_constraints_hold(deferred) end;
    profile_is_made := exists (select from rollcall.create_profiles(array[p_user_id], p_overrides));
    if not profile_is_made and exists (select from rollcall.missing_among(array[p_user_id])) then
      raise exception using errcode = 'RC002', message = 'rollcall: a trigger discarded the profile';
    end if;
    perform rollcall.log_signup(p_user_id, case when profile_is_made then 'profile_bootstrap_ok' end, null, null, null);
    if is_ours_to_check then
      perform rollcall.try_deferred_constraints(deferred);
    end if;
    return;
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
  end;

  -- Only the event failed: the profile was taken back with it, so it is made once more, without.
  if profile_is_made then
    begin
      perform rollcall.create_profiles(array[p_user_id], p_overrides);
      raise warning 'rollcall: a signup got its profile, but the event could not be written (SQLSTATE %)', code;
      return;
    exception when others or query_canceled or assert_failure then
      get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
    end;
  end if;

  begin
    perform rollcall.log_signup(p_user_id, 'profile_bootstrap_error', code, constraint_name, column_name);
    if is_ours_to_check then
      perform rollcall.try_deferred_constraints(deferred);
    end if;
  exception when others or query_canceled or assert_failure then
    raise warning 'rollcall: a signup got no profile (SQLSTATE %), and the event could not be written either', code;
  end;
end
$$;
comment on function rollcall.bootstrap_profile(uuid, jsonb) is
  'Creates the profile of one new user and logs it. Never fails, and waits at most 1 s for each lock.';

create or replace function rollcall.on_signup() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform rollcall.bootstrap_profile(new.id);
  return new;
exception when others or query_canceled or assert_failure then
  raise warning 'rollcall: a signup got no profile (SQLSTATE %); is the schema rollcall complete?', sqlstate;
  return new;
end
$$;
comment on function rollcall.on_signup() is
  'Trigger function for signups where the name public.handle_new_user belongs to the application. Never fails.';

create or replace function rollcall.leave_to_later_trigger() returns trigger
language plpgsql set search_path = '' as $$
begin
  return new;
end
$$;
comment on function rollcall.leave_to_later_trigger() is
  'Trigger function of on_auth_user_created where a later trigger of the application may make the profile: it does nothing, and Rollcall''s own comes after all others.';

-- What the application had under our names ------------------------------------------------------------------------

do $$
declare
  own constant text := '%rollcall.bootstrap_profile%';
  theirs record;
begin
  -- the definitions below then name every schema, and can be run under any search_path
  perform set_config('search_path', '', true);
  for theirs in
    select
      p.oid::regprocedure::text as object,
      -- Made anew, a function is open to whom the default privileges say; so its own rights come with it.
      concat_ws(
        '; ',
        rtrim(pg_catalog.pg_get_functiondef(p.oid), E'\n'),
        format('revoke all on function %s from public, anon, authenticated, service_role', p.oid::regprocedure),
        rollcall.grant_sql('function ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner),
        format('comment on function %s is %L', p.oid::regprocedure, pg_catalog.obj_description(p.oid, 'pg_proc'))
      ) as definition
    from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.prosrc not like own
      and (
        (p.proname = 'ensure_profile_exists' and pg_catalog.oidvectortypes(p.proargtypes) = 'uuid, text, text, text, text')
        or (
          p.proname = 'handle_new_user' and p.pronargs = 0
          -- What other triggers run, too, does more than we know of (deletions, changes of an address), and stays.
          and not exists (
            select from pg_catalog.pg_trigger t
            where t.tgfoid = p.oid and not (t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created')
          )
        )
      )
  loop
    -- a later version of theirs replaces an earlier one
    insert into rollcall.displaced (object, definition) values ('function ' || theirs.object, theirs.definition)
    on conflict (object) do update set definition = excluded.definition, displaced_at = now();
    raise warning 'rollcall: your function % is replaced; whatever else it did ends now', theirs.object
      using hint = 'Its text is kept in rollcall.displaced, and the rollback gives it back. Move what it did besides the profile into a trigger of its own.';
  end loop;

  for theirs in
    select pg_catalog.pg_get_triggerdef(t.oid) as definition, p.oid::regprocedure::text as function
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created'
      and p.prosrc not like own and p.oid <> 'rollcall.leave_to_later_trigger()'::regprocedure
  loop
    insert into rollcall.displaced (object, definition)
    values ('trigger on_auth_user_created on auth.users', theirs.definition)
    on conflict (object) do update set definition = excluded.definition, displaced_at = now();
    raise warning 'rollcall: your trigger on_auth_user_created no longer runs %', theirs.function
      using hint = 'Its definition is kept in rollcall.displaced, and the rollback gives it back.';
  end loop;
end
$$;

create or replace function public.ensure_profile_exists(
  p_user_id uuid,
  p_email text default null,
  p_full_name text default null,
  p_msisdn text default null,
  p_profile_type text default null
) returns void
language plpgsql security definer set search_path = '' as $$
declare
  wishes constant jsonb := jsonb_strip_nulls(jsonb_build_object(
    'email', nullif(btrim(p_email), ''), 'full_name', nullif(btrim(p_full_name), ''),
    'msisdn', nullif(btrim(p_msisdn), ''), 'profile_type', nullif(btrim(p_profile_type), '')));
begin
  perform rollcall.bootstrap_profile(
    p_user_id,
    -- a value is used where the definition has a column of that name
    coalesce((select jsonb_object_agg(w.key, w.value) from jsonb_each(wishes) w join rollcall.profile_columns() c on c.column_name = w.key), '{}')
  );
exception when others or query_canceled or assert_failure then
  raise warning 'rollcall: a signup got no profile (SQLSTATE %); is the schema rollcall complete?', sqlstate;
end
$$;
comment on function public.ensure_profile_exists(uuid, text, text, text, text) is
  'Rollcall: creates the profile of a user if it is expected and missing, and logs the event. Never fails, so a signup is never blocked; an existing profile is left alone.';

do $$
declare
  kept_by_the_application constant boolean := exists (
    select from pg_catalog.pg_proc p
    join pg_catalog.pg_trigger t on t.tgfoid = p.oid
    where p.oid = to_regprocedure('public.handle_new_user()')
      and p.prosrc not like '%rollcall.bootstrap_profile%'
      and not (t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created')
  );
begin
  if not kept_by_the_application then
    create or replace function public.handle_new_user() returns trigger
    language plpgsql security definer set search_path = '' as $function$
    begin
      perform rollcall.bootstrap_profile(new.id);
      return new;
    exception when others or query_canceled or assert_failure then
      raise warning 'rollcall: a signup got no profile (SQLSTATE %); is the schema rollcall complete?', sqlstate;
      return new;
    end
    $function$;
    comment on function public.handle_new_user() is
      'Rollcall: trigger function of on_auth_user_created: creates the profile of a new user. Never fails, so a signup is never blocked.';
    revoke all on function public.handle_new_user() from public, anon, authenticated, service_role;
  end if;
end
$$;

do $$
declare
  after_insert constant integer := 1 | 4;  -- for each row, insert; neither before nor instead
  late_name text;
  late record;
  wanted record;
  ours constant regprocedure[] := array_remove(array[
    'rollcall.on_signup()'::regprocedure,
    'rollcall.leave_to_later_trigger()'::regprocedure,
    (select p.oid::regprocedure from pg_catalog.pg_proc p where p.oid = to_regprocedure('public.handle_new_user()') and p.prosrc like '%rollcall.bootstrap_profile%')
  ], null);
  -- public.handle_new_user() where the name is ours, else our private one
  maker constant regprocedure := coalesce(ours[3], 'rollcall.on_signup()'::regprocedure);
  profile_table constant text := (
    select regexp_replace(c.relname, '(\W)', '\\\1', 'g') from pg_catalog.pg_class c where c.oid = rollcall.profile_table()
  );
  inserts_a_profile constant text := format('insert\s+into\s+("?\w+"?\s*\.\s*)?"?%s"?(\W|$)', profile_table);
  -- by its text, which names the table, or a function like ensure_profile_exists
  displaced_made_profiles constant boolean := coalesce(
    (
      select coalesce(
        (select f.definition from rollcall.displaced f where f.object = 'function ' || d.function),
        (select p.prosrc from pg_catalog.pg_proc p where p.oid = to_regprocedure(d.function))
      ) ~* ('profile|' || profile_table)
      from (
        select substring(t.definition from 'EXECUTE FUNCTION ([^(]+)\(') || '()' as function
        from rollcall.displaced t
        where t.object = 'trigger on_auth_user_created on auth.users'
      ) d
    ),
    false
  );
begin
  -- Whoever waits for this lock makes every signup behind it wait, too.
  perform set_config('lock_timeout', '2s', true);

  -- Triggers fire in the order of their names, deferred ones at commit. One of the application's that comes after ours
  -- and inserts the profile itself would meet ours, fail, and take the signup with it; so ours goes last. Where the
  -- application had an on_auth_user_created of its own that made the profile, the later ones need it, or live with it.
  select
    max(t.tgname::text collate "C") as name,
    bool_or(t.tgdeferrable and t.tginitdeferred) as at_commit
  into late
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal
    and t.tgtype::integer & 71 = after_insert and t.tgfoid <> all (ours::oid[])
    and (t.tgname > 'on_auth_user_created' collate "C" or (t.tgdeferrable and t.tginitdeferred))
    and (not displaced_made_profiles or p.prosrc ~* inserts_a_profile);

  -- no letter of ASCII comes after ~
  late_name := case when late.name < 'zzz_rollcall_on_auth_user_created' collate "C" then 'zzz_rollcall_on_auth_user_created' else '~~~_rollcall_on_auth_user_created' end;
  if late.at_commit then
    raise warning 'rollcall: a trigger of yours on auth.users works at commit, after every other; Rollcall leaves new profiles to it'
      using hint = 'Rollcall reports and repairs what it leaves out. To let Rollcall make profiles at signup, drop that trigger and run this migration again.';
  end if;

  -- What stands already is left alone, for the sake of the lock. Hosted Supabase allows no comment on a trigger of
  -- auth.users: the functions have theirs.
  for wanted in
    select w.name, w.function
    from (
      values
        ('on_auth_user_created', case when late.name is null then maker else 'rollcall.leave_to_later_trigger()'::regprocedure end, true),
        (late_name, 'rollcall.on_signup()'::regprocedure, late.name is not null and not late.at_commit)
    ) w (name, function, is_needed)
    where w.is_needed
      and not exists (
        select from pg_catalog.pg_trigger t
        where t.tgrelid = 'auth.users'::regclass and t.tgname = w.name and t.tgfoid = w.function
          and t.tgtype::integer & 71 = after_insert and t.tgenabled in ('O', 'A') and t.tgqual is null and t.tgattr = ''
      )
  loop
    execute format('create or replace trigger %I after insert on auth.users for each row execute function %s', wanted.name, wanted.function);
  end loop;
end
$$;

revoke all on function public.ensure_profile_exists(uuid, text, text, text, text) from public, anon, authenticated;
grant execute on function public.ensure_profile_exists(uuid, text, text, text, text) to service_role;
revoke all on all functions in schema rollcall from public, anon, authenticated;
