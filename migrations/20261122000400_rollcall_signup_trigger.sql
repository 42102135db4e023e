-- A profile for every signup, from the moment of the signup.
--
-- Makes public.ensure_profile_exists, public.handle_new_user and the trigger on_auth_user_created on auth.users.
-- Whatever goes wrong with the profile, the signup goes through: the reason is kept as an event and the repair
-- finds the user. A function or trigger of the application that had one of these names is kept in
-- rollcall.displaced, and the rollback gives it back; a handle_new_user() that other triggers run, too, stays, and so
-- does a signup trigger of the application that fills columns which the definition leaves empty.
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
    and exists (select from auth.users u where u.id = p_user_id)
    and not exists (
      select from public.user_events known
      where known.user_id = p_user_id and known.kind = e.kind and known.payload = e.payload
    )
  order by e.position;
end
$$;
comment on function rollcall.log_signup(uuid, text, text, text, text) is
  'Keeps the events of one signup: auth_user_created and its outcome, profile_bootstrap_ok or profile_bootstrap_error with SQLSTATE, constraint and column (null: no profile is expected). What is known already is not logged again, nor is anything of an id that is no user.';

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

-- What the application has ----------------------------------------------------------------------------------------

create or replace function rollcall.without_comments(p_code text) returns text
language sql immutable set search_path = '' as $$
  select regexp_replace(regexp_replace(p_code, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g')
$$;
comment on function rollcall.without_comments(text) is
  'SQL or PL/pgSQL text without its comments.';

-- By the text of the code and of whatever it calls, which is all that can be known without running it; so it errs on the
-- side of yes. Our own functions make profiles, too, where the application's code calls them.
create or replace function rollcall.may_make_profiles(p_code text) returns boolean
language sql stable set search_path = '' as $$
  with recursive code (source) as (
    select rollcall.without_comments(p_code) collate "C"
    union
    select rollcall.without_comments(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)) collate "C"
    from code
    join pg_catalog.pg_proc p on code.source ~* ('\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(')
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^(pg_.*|information_schema|auth|extensions|rollcall)$'
  )
  select exists (
    select from code
    where code.source ~* '\mrollcall\.bootstrap_profile\M|\mexecute\M.*\minsert\M'
      or code.source ~* format(
        '\m(insert|merge)\s+into\s+("?\w+"?\s*\.\s*)?"?%s"?(\W|$)',
        (select regexp_replace(c.relname, '(\W)', '\\\1', 'g') from pg_catalog.pg_class c where c.oid = rollcall.profile_table())
      )
  )
$$;
comment on function rollcall.may_make_profiles(text) is
  'Whether code of the application, or a function that it calls, seems to insert into the profile table.';

-- While the definition leaves a required column empty, ours would fail where theirs may well work: then theirs stays.
create or replace function rollcall.application_keeps_signup() returns boolean
language sql stable set search_path = '' as $$
  select exists (select from rollcall.unfilled_columns())
    and exists (
      select from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created'
        and p.prosrc not like '%rollcall.bootstrap_profile%' and p.oid <> 'rollcall.leave_to_later_trigger()'::regprocedure
    )
$$;
comment on function rollcall.application_keeps_signup() is
  'Whether the application has an on_auth_user_created of its own, and Rollcall''s cannot take its place: the definition gives no value for a column that must have one.';

-- What the application had under our names ------------------------------------------------------------------------

do $$
declare
  own constant text := '%rollcall.bootstrap_profile%';
  theirs record;
begin
  if rollcall.application_keeps_signup() then
    raise warning 'rollcall: your own signup functions stay, since Rollcall''s could not fill every required column'
      using hint = 'Give these columns a default or add them to rollcall.expected_profile (select rollcall.unfilled_columns()); then run this migration again.';
    return;
  end if;
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

do $$
begin
  if rollcall.application_keeps_signup() and to_regprocedure('public.ensure_profile_exists(uuid, text, text, text, text)') is not null then
    return;
  end if;
  create or replace function public.ensure_profile_exists(
    p_user_id uuid,
    p_email text default null,
    p_full_name text default null,
    p_msisdn text default null,
    p_profile_type text default null
  ) returns void
  language plpgsql security definer set search_path = '' as $function$
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
  $function$;
  comment on function public.ensure_profile_exists(uuid, text, text, text, text) is
    'Rollcall: creates the profile of a user if it is expected and missing, and logs the event. Never fails, so a signup is never blocked; an existing profile is left alone.';
  revoke all on function public.ensure_profile_exists(uuid, text, text, text, text) from public, anon, authenticated;
  grant execute on function public.ensure_profile_exists(uuid, text, text, text, text) to service_role;
end
$$;

do $$
declare
  kept_by_the_application constant boolean := (
    rollcall.application_keeps_signup() and exists (
      select from pg_catalog.pg_proc p
      where p.oid = to_regprocedure('public.handle_new_user()') and p.prosrc not like '%rollcall.bootstrap_profile%'
    )
  ) or exists (
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
  users constant regclass := 'auth.users';
  after_insert constant integer := 1 | 4;  -- for each row, insert; neither before nor instead
  insert_or_update constant integer := 4 | 16;
  ours constant regprocedure[] := array_remove(array[
    'rollcall.on_signup()'::regprocedure,
    'rollcall.leave_to_later_trigger()'::regprocedure,
    (select p.oid::regprocedure from pg_catalog.pg_proc p where p.oid = to_regprocedure('public.handle_new_user()') and p.prosrc like '%rollcall.bootstrap_profile%')
  ], null);
  -- public.handle_new_user() where the name is ours, else our private one
  maker constant regprocedure := coalesce(ours[3], 'rollcall.on_signup()'::regprocedure);
  theirs_stays constant boolean := rollcall.application_keeps_signup();
  displaced_made_profiles constant boolean := coalesce(
    (
      select rollcall.may_make_profiles(coalesce(
        (select f.definition from rollcall.displaced f where f.object = 'function ' || d.function),
        (select coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) from pg_catalog.pg_proc p where p.oid = to_regprocedure(d.function))
      ))
      from (
        select substring(t.definition from 'EXECUTE FUNCTION ([^(]+)\(') || '()' as function
        from rollcall.displaced t
        where t.object = 'trigger on_auth_user_created on auth.users'
      ) d
    ),
    false
  );
  late text;
  late_name text;
  made_at_signup boolean;
  made_elsewhere text;
  is_left_to_them boolean;
  wanted record;
begin
  -- Whoever waits for this lock makes every signup behind it wait, too.
  perform set_config('lock_timeout', '2s', true);

  select
    -- Triggers fire in the order of their names. One of the application's that comes after ours and inserts the profile
    -- itself would meet ours, fail, and take the signup with it; so ours goes last. Where the application had an
    -- on_auth_user_created of its own that made the profile, the later ones need it, or live with it.
    max(t.name) filter (
      where t.is_at_signup and t.name >= 'on_auth_user_created' and (not displaced_made_profiles or t.makes_profiles)
    ),
    bool_or(t.is_at_signup and t.makes_profiles),
    string_agg(t.name || ' on ' || t.table, ', ' order by t.name) filter (where not t.is_at_signup and t.makes_profiles)
  into late, made_at_signup, made_elsewhere
  from (
    select
      t.tgname::text collate "C" as name,
      t.tgrelid::regclass::text as table,
      t.tgrelid = users and t.tgtype::integer & 71 = after_insert and not (t.tgdeferrable and t.tginitdeferred) as is_at_signup,
      rollcall.may_make_profiles(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)) as makes_profiles
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where c.relnamespace = 'auth'::regnamespace and not t.tgisinternal
      and t.tgtype::integer & insert_or_update <> 0 and t.tgfoid <> all (ours::oid[])
      and (theirs_stays or t.tgrelid <> users or t.tgname <> 'on_auth_user_created')
  ) t;

  -- Whatever makes profiles after all triggers of the signup (for a statement, at commit, with the identity, at the
  -- confirmation) and inserts plainly would fail on ours; unless it was used to find the profile there.
  is_left_to_them := made_elsewhere is not null and not displaced_made_profiles and not coalesce(made_at_signup, false);
  if is_left_to_them then
    raise warning 'rollcall: your trigger % makes profiles after the signup; Rollcall leaves new profiles to it', made_elsewhere
      using hint = 'Rollcall reports and repairs what it leaves out. To let Rollcall make profiles at signup, drop that trigger and run this migration again.';
  end if;

  -- no letter of ASCII comes after ~
  late_name := case when late < 'zzz_rollcall_on_auth_user_created' collate "C" then 'zzz_rollcall_on_auth_user_created' else '~~~_rollcall_on_auth_user_created' end;
  -- What stands already is left alone, for the sake of the lock. Hosted Supabase allows no comment on a trigger of
  -- auth.users: the functions have theirs.
  for wanted in
    select w.name, w.function
    from (
      values
        (
          'on_auth_user_created',
          case when late is null and not is_left_to_them then maker else 'rollcall.leave_to_later_trigger()'::regprocedure end,
          not theirs_stays
        ),
        (late_name, 'rollcall.on_signup()'::regprocedure, late is not null and not is_left_to_them)
    ) w (name, function, is_needed)
    where w.is_needed
      and not exists (
        select from pg_catalog.pg_trigger t
        where t.tgrelid = users and t.tgname = w.name and t.tgfoid = w.function
          and t.tgtype::integer & 71 = after_insert and t.tgenabled in ('O', 'A') and t.tgqual is null and t.tgattr = ''
      )
  loop
    execute format('create or replace trigger %I after insert on auth.users for each row execute function %s', wanted.name, wanted.function);
  end loop;
end
$$;

revoke all on all functions in schema rollcall from public, anon, authenticated;
