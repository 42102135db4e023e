-- A profile for every signup, from the moment of the signup.
--
-- Makes public.ensure_profile_exists, public.handle_new_user and the trigger on_auth_user_created on auth.users.
-- Whatever goes wrong with the profile, the signup goes through: the reason is kept as an event and the repair
-- finds the user. A function or trigger of the application that had one of these names is kept in
-- rollcall.displaced, and the rollback gives it back.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function rollcall.log_signup(p_user_id uuid, p_outcome text, p_sqlstate text, p_constraint text, p_column text) returns void
language sql security definer set search_path = '' as $$
  insert into public.user_events (user_id, kind, payload)
  select p_user_id, e.kind, e.payload
  from (
    values
      (1, 'auth_user_created', '{"source": "signup"}'::jsonb),
      (2, p_outcome, jsonb_strip_nulls(jsonb_build_object(
        'source', 'signup', 'sqlstate', p_sqlstate, 'constraint', nullif(p_constraint, ''), 'column', nullif(p_column, ''))))
  ) e (position, kind, payload)
  where e.kind is not null
    and not exists (
      select from public.user_events known
      where known.user_id = p_user_id and known.kind = e.kind and known.payload = e.payload
    )
  order by e.position
$$;
comment on function rollcall.log_signup(uuid, text, text, text, text) is
  'Keeps the events of one signup: auth_user_created and its outcome, profile_bootstrap_ok or profile_bootstrap_error with SQLSTATE, constraint and column (null: no profile is expected). What is known already is not logged again.';

-- "others" leaves out a cancelled query and a failed assertion; inside a signup they must not get through either.
create or replace function rollcall.bootstrap_profile(p_user_id uuid, p_overrides jsonb default '{}') returns void
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
declare
  profile_is_made boolean := false;
  code text;
  constraint_name text;
  column_name text;
begin
  begin
    profile_is_made := exists (select from rollcall.create_profiles(array[p_user_id], p_overrides));
    if not profile_is_made and exists (select from rollcall.missing_among(array[p_user_id])) then
      raise exception using errcode = 'RC002', message = 'rollcall: a trigger discarded the profile';
    end if;
    perform rollcall.log_signup(p_user_id, case when profile_is_made then 'profile_bootstrap_ok' end, null, null, null);
    perform rollcall.try_deferred_constraints();
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
    perform rollcall.try_deferred_constraints();
  exception when others or query_canceled or assert_failure then
    raise warning 'rollcall: a signup got no profile (SQLSTATE %), and the event could not be written either', code;
  end;
end
$$;
comment on function rollcall.bootstrap_profile(uuid, jsonb) is
  'Creates the profile of one new user and logs it. Never fails, and waits at most 1 s for each lock.';

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
        (
          select string_agg(
            format('grant execute on function %s to %s%s', p.oid::regprocedure,
              case when x.grantee = 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
              case when x.is_grantable then ' with grant option' else '' end),
            '; ')
          from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
          where x.grantee <> p.proowner
        ),
        format('comment on function %s is %L', p.oid::regprocedure, pg_catalog.obj_description(p.oid, 'pg_proc'))
      ) as definition
    from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and (
        (p.proname = 'handle_new_user' and p.pronargs = 0)
        or (p.proname = 'ensure_profile_exists' and pg_catalog.oidvectortypes(p.proargtypes) = 'uuid, text, text, text, text')
      )
      and p.prosrc not like own
  loop
    insert into rollcall.displaced (object, definition) values ('function ' || theirs.object, theirs.definition)
    on conflict (object) do nothing;
  end loop;

  insert into rollcall.displaced (object, definition)
  select 'trigger on_auth_user_created on auth.users', pg_catalog.pg_get_triggerdef(t.oid)
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  where t.tgrelid = 'auth.users'::regclass and t.tgname = 'on_auth_user_created' and p.prosrc not like own
  on conflict (object) do nothing;
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
    'email', p_email, 'full_name', p_full_name, 'msisdn', p_msisdn, 'profile_type', p_profile_type));
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

create or replace function public.handle_new_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- 'after_others': the application has a trigger of its own that comes later and may insert the profile
  -- unconditionally. It goes first, and a second trigger of ours fills in what it left out.
  if tg_nargs > 0 and tg_argv[0] = 'after_others' then
    return new;
  end if;
  perform rollcall.bootstrap_profile(new.id);
  return new;
exception when others or query_canceled or assert_failure then
  raise warning 'rollcall: a signup got no profile (SQLSTATE %); is the schema rollcall complete?', sqlstate;
  return new;
end
$$;
comment on function public.handle_new_user() is
  'Rollcall: trigger function of on_auth_user_created: creates the profile of a new user. Never fails, so a signup is never blocked.';

do $$
declare
  -- theirs that fires last
  latest constant name := (
    select max(t.tgname::text collate "C")
    from pg_catalog.pg_trigger t
    where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal
      and t.tgtype & 1 = 1 and t.tgtype & 2 = 0 and t.tgtype & 4 = 4  -- for each row, after, insert
      and t.tgfoid <> 'public.handle_new_user()'::regprocedure
  );
begin
  -- Triggers fire in the order of their names. One of the application's that comes after ours and inserts the
  -- profile itself would meet ours, fail, and take the signup with it.
  if latest > 'on_auth_user_created' then
    if latest < 'zzz_rollcall_on_auth_user_created' then
      create or replace trigger zzz_rollcall_on_auth_user_created after insert on auth.users
        for each row execute function public.handle_new_user();
    else
      -- no letter of ASCII comes after ~
      create or replace trigger "~~~_rollcall_on_auth_user_created" after insert on auth.users
        for each row execute function public.handle_new_user();
    end if;
    create or replace trigger on_auth_user_created after insert on auth.users
      for each row execute function public.handle_new_user('after_others');
  else
    create or replace trigger on_auth_user_created after insert on auth.users
      for each row execute function public.handle_new_user();
  end if;
end
$$;

revoke all on function public.ensure_profile_exists(uuid, text, text, text, text) from public, anon, authenticated;
grant execute on function public.ensure_profile_exists(uuid, text, text, text, text) to service_role;
revoke all on function public.handle_new_user() from public, anon, authenticated, service_role;
revoke all on all functions in schema rollcall from public, anon, authenticated;
