-- The functions and views that people and supabase.rpc() call, under the names and with the columns they have always had.
-- They are made in the schema rollcall and then published in public, each only where its name is free there. A name that the
-- application uses is left alone; its owner still finds Rollcall's in the schema rollcall.

create or replace function rollcall.raise_without_values(p_sqlstate text, p_message text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '%', case when p_message like 'rollcall: %' then p_message else 'rollcall: ' || rollcall.failure_text(p_sqlstate, null, null) end
    using errcode = p_sqlstate;
end
$$;
comment on function rollcall.raise_without_values(text, text) is
  'Raises an error again: in its own words where they are Rollcall''s, else without words that may quote a row.';

create or replace function rollcall.diagnose_auth_profile_consistency()
returns table (status text, count bigint, description text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  u record;
  l record;
  audit_log text;
begin
  perform rollcall.refuse_api_roles();
  select * into u from rollcall.user_counts();
  select * into l from rollcall.audit_counts();
  audit_log := format('(audit log: %s)', rollcall.audit_log_state());
  return query values
    ('Total Signup Audit Entries', l.signups, 'Users with a signup in the audit log ' || audit_log),
    ('Healthy (Auth + Profile)', u.healthy, 'Users who must have a profile and have one'),
    ('Auth Only (Missing Profile)', u.missing, 'Users who must have a profile and have none'),
    -- what hangs on an audit log that is off is not known, which is not the same as none
    ('Audit Only (Deleted/Orphaned)', case when audit_log not like '%off)' then l.audit_only end,
      'Users in the audit log who are no longer in auth.users ' || audit_log),
    ('Total auth.users', u.users, 'Rows of auth.users, soft-deleted ones included'),
    ('Total public.profiles', u.profiles, format('Rows of %s', (rollcall.require_definition()).target_table)),
    ('Users without Profiles', u.missing, 'Users whom a backfill would give a profile'),
    ('Soft-deleted Users', u.soft_deleted, 'Users deleted but kept in auth.users; no profile is expected'),
    ('Recorded Deletions', case when audit_log not like '%off)' then l.recorded_deletions end,
      'Users in the audit log whose deletion is recorded there ' || audit_log),
    ('Profiles without Users', u.orphaned, 'Profiles whose user is not in auth.users');
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.diagnose_auth_profile_consistency() is
  'Rollcall: the counts of users, profiles and signups. Counts are users, not log entries.';

create or replace function rollcall.get_auth_profile_mismatches(p_limit integer default 100)
returns table (user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  if p_limit < 0 then
    raise exception 'rollcall: p_limit must not be negative'
      using errcode = 'invalid_parameter_value', hint = 'Leave it out for 100 rows.';
  end if;
  return query
    select m.user_id, m.audit_email, m.auth_email, m.status, m.audit_created_at, m.user_created_at
    from rollcall.mismatches(coalesce(p_limit, 100)) m;
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.get_auth_profile_mismatches(integer) is
  'Rollcall: users without a profile, with or without an entry in the audit log, and users of the audit log who are gone; newest first.';

create or replace function rollcall.check_recent_signup_issues()
returns table (
  user_id uuid, email text, action text, created_at timestamptz, has_auth_user boolean, has_profile boolean, minutes_since_signup numeric
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  return query
    select i.user_id, i.email, i.action, i.created_at, i.has_auth_user, i.has_profile,
      round(extract(epoch from now() - i.created_at) / 60, 2)
    from rollcall.recent_issues(interval '10 minutes') i
    order by i.created_at desc
    limit 1000;
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.check_recent_signup_issues() is
  'Rollcall: signups of the last 10 minutes without a profile, or whose user vanished; newest first, at most 1,000.';

create or replace function rollcall.get_user_signup_events(p_user_id uuid)
returns table (event_id bigint, kind text, payload jsonb, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  return query select e.event_id, e.kind, e.payload, e.created_at from rollcall.user_events(p_user_id) e;
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.get_user_signup_events(uuid) is 'Rollcall: what happened between a user''s signup and profile, oldest first.';

create or replace function rollcall.monitor_signup_health()
returns table (check_time timestamptz, recent_signups_count bigint, signups_missing_profiles bigint, health_percentage numeric)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  return query
    select h.check_time, h.signups, h.missing,
      case
        when h.missing = 0 then 100.00
        -- one in a million is not all: 100.00 says that nobody is missing
        else least(99.99, round(100.0 * (h.signups - h.missing) / h.signups, 2))
      end
    from rollcall.recent_health(interval '1 hour') h;
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.monitor_signup_health() is
  'Rollcall: signups of the last hour and the share of them that have their profile; 100.00 where nobody signed up.';

create or replace function rollcall.verify_profile_completeness()
returns table (check_name text, status text, count bigint, details text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  u record;
  emails bigint;
  expects_nobody boolean;
begin
  perform rollcall.refuse_api_roles();
  select * into u from rollcall.user_counts();
  emails := (rollcall.email_drift()).mismatches;
  expects_nobody := u.expected = 0 and u.profiles > 0 and u.users > u.soft_deleted;
  return query values
    (
      'Auth users without profiles', case when u.missing = 0 and not expects_nobody then 'PASS' else 'FAIL' end, u.missing,
      case when expects_nobody then 'the definition expects nobody to have a profile' else format('%s users missing profiles', u.missing) end
    ),
    ('Profiles without auth users', case when u.orphaned = 0 then 'PASS' else 'WARNING' end, u.orphaned, format('%s profiles orphaned', u.orphaned)),
    ('Email consistency', case when coalesce(emails, 0) = 0 then 'PASS' else 'WARNING' end, coalesce(emails, 0),
      case when emails is null then 'not applicable: the profiles have no e-mail' else format('%s mismatched emails', emails) end);
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.verify_profile_completeness() is
  'Rollcall: whether every user has a profile, every profile a user, and their e-mails agree.';

create or replace function rollcall.list_signups()
returns table (user_id uuid, email text, action text, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  return query
    select distinct on (e.user_id) e.user_id, e.email, e.action, e.created_at
    from rollcall.audit_events() e
    where e.user_id is not null and e.action <> 'user_deleted' and rollcall.is_trusted()
    order by e.user_id, e.created_at;
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.list_signups() is 'The rows of the view signup_audit_summary.';

create or replace function rollcall.list_users()
returns table (
  user_id uuid, audit_email text, action text, audit_created_at timestamptz, auth_user_id uuid, auth_email text, user_created_at timestamptz,
  profile_id uuid, profile_email text, profile_created_at timestamptz, status text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  return query
    select m.user_id, m.audit_email, m.action, m.audit_created_at, m.auth_user_id, m.auth_email, m.user_created_at,
      m.profile_id, m.profile_email, m.profile_created_at, m.status
    from rollcall.mismatches(null, true) m;
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
end
$$;
comment on function rollcall.list_users() is 'The rows of the view auth_profile_mismatch.';

create or replace function rollcall.backfill_user_profile(p_user_id uuid, p_email text default null, p_account_type text default null) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  overrides constant jsonb := jsonb_strip_nulls(
    jsonb_build_object('email', nullif(btrim(p_email), ''), 'account_type', nullif(btrim(p_account_type), '')));
  s rollcall.settings;
  result record;
  profile jsonb;
begin
  perform rollcall.refuse_api_roles();
  s := rollcall.require_definition();
  if p_user_id is null then
    return jsonb_build_object('success', false, 'user_id', null, 'error', 'p_user_id must not be null', 'sqlstate', '22004');
  end if;
  if not rollcall.is_expected(p_user_id) then
    return jsonb_build_object('success', false, 'user_id', p_user_id, 'sqlstate', 'P0002',
      'error', 'no such user in auth.users, or no profile is expected for this user');
  end if;
  select r.* into result from rollcall.repair_users(array[p_user_id], 'backfill_user_profile', overrides) r;
  if result.outcome in ('failed', 'busy') then
    return jsonb_build_object('success', false, 'user_id', p_user_id, 'sqlstate', result.code,
      'error', rollcall.failure_text(result.code, result.constraint_name, result.column_name, result.functions));
  end if;
  execute 'select to_jsonb(t.*) from ' || s.target_table || ' t where ' || rollcall.key_match(s, '$1') into profile using p_user_id;
  return jsonb_build_object(
    'success', true, 'user_id', p_user_id, 'email', profile -> 'email', 'account_type', profile -> 'account_type',
    'action', case when result.outcome = 'created' then 'backfilled' else 'already_exists' end);
exception
  when others or assert_failure then
    perform rollcall.refuse_api_roles();
    return jsonb_build_object('success', false, 'user_id', p_user_id, 'sqlstate', sqlstate,
      'error', case when sqlerrm like 'rollcall: %' then substr(sqlerrm, 11) else rollcall.failure_text(sqlstate, null, null) end);
end
$$;
comment on function rollcall.backfill_user_profile(uuid, text, text) is
  'Rollcall: creates one user''s profile if it is expected and missing; an existing profile is left as it is (action already_exists). A failure is returned, not raised: {success: false, user_id, error, sqlstate}.';

create or replace function rollcall.backfill_all_missing_profiles(p_batch_size integer default 100, p_dry_run boolean default true) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  -- with the longest names of constraint and column, these fit into 256 KiB
  max_results constant integer := 700;
  batch_size constant integer := coalesce(p_batch_size, 100);
  s rollcall.settings;
  total bigint;
  users uuid[];
  answer jsonb;
begin
  perform rollcall.refuse_api_roles();
  if batch_size not between 1 and 10000 then
    raise exception 'rollcall: p_batch_size must be between 1 and 10000'
      using errcode = 'invalid_parameter_value', hint = 'Call again for the users who are left.';
  end if;
  s := rollcall.require_definition();
  -- two at once would attempt the same users
  perform pg_advisory_xact_lock(hashtextextended('rollcall.backfill_all_missing_profiles', 0));
  total := rollcall.count_missing();
  -- Users whose repair failed before come last, so that they keep nobody else waiting.
  execute
    'select array(
       select e._user_id from (' || s.query || ') e
       left join rollcall.failure f on f.user_id = e._user_id
       where not exists (select from (' || s.actual_query || ') a where a._user_id = e._user_id)
       order by f.last_failed_at nulls first, e._user_id limit $1)'
    into users using batch_size;
  if not p_dry_run and exists (select from rollcall.beyond_rollback('profile', true))
    and current_setting('rollcall.allow_outside_calls', true) is distinct from 'on' then
    raise exception 'rollcall: a repair would do what no rollback takes back: %', (select string_agg(b, '; ') from rollcall.beyond_rollback('profile', true) b)
      using errcode = 'RC011', hint = 'If that is wanted: set rollcall.allow_outside_calls = on.';
  elsif coalesce(p_dry_run, true) then
    answer := rollcall.preview_users(users, batch_size);
    if jsonb_array_length(answer -> 'not_tried_because') > 0 then
      return jsonb_build_object('dry_run', true, 'total_missing', total, 'batch_size', batch_size,
        'message', format('Would backfill up to %s profiles', cardinality(users)), 'not_tried_because', answer -> 'not_tried_because');
    end if;
    select jsonb_build_object('would_succeed', count(*) filter (where r ->> 'outcome' = 'created'), 'would_fail', count(*) filter (where r ->> 'outcome' = 'failed'))
      into answer
    from jsonb_array_elements(answer -> 'results') r;
    return answer || jsonb_build_object(
      'dry_run', true, 'total_missing', total, 'batch_size', batch_size,
      'message', format('Would backfill %s profiles', answer ->> 'would_succeed'));
  end if;
  select jsonb_build_object(
      'processed', count(*), 'successful', count(*) filter (where r.outcome = 'created'), 'failed', count(*) filter (where r.outcome <> 'created'),
      'remaining', total - count(*) filter (where r.outcome = 'created'),
      'results', coalesce(
        jsonb_agg(
          case r.outcome
            when 'created' then jsonb_build_object('user_id', r.user_id, 'success', true, 'action', 'backfilled')
            else jsonb_build_object('user_id', r.user_id, 'success', false, 'sqlstate', r.code,
              'error', rollcall.failure_text(r.code, r.constraint_name, r.column_name, r.functions))
          end
          order by r.outcome desc, r.user_id
        ) filter (where r.position <= max_results), '[]'))
    into answer
  from (
    select x.*, row_number() over (order by x.outcome desc, x.user_id) as position
    from rollcall.repair_users(users, 'backfill_all_missing_profiles') x
  ) r;
  return answer || jsonb_build_object('dry_run', false, 'total_missing', total);
exception when others or assert_failure then
  perform rollcall.raise_without_values(sqlstate, sqlerrm);
  return null;
end
$$;
comment on function rollcall.backfill_all_missing_profiles(integer, boolean) is
  'Rollcall: creates the profiles of up to p_batch_size users (1 to 10,000) who have none, those whose repair failed before last. A dry run, the default, tries them and takes them back. Results list at most 700 users, failures first.';

create or replace function rollcall.ensure_profile_exists(
  p_user_id uuid, p_email text default null, p_full_name text default null, p_msisdn text default null, p_profile_type text default null
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  -- a value is used where the definition has a column of that name
  perform rollcall.repair_users(array[p_user_id], 'ensure_profile_exists', coalesce(
    (
      select jsonb_object_agg(w.key, btrim(w.value))
      from (values ('email', p_email), ('full_name', p_full_name), ('msisdn', p_msisdn), ('profile_type', p_profile_type)) w (key, value)
      join rollcall.profile_columns() c on c.column_name = w.key
      where btrim(w.value) <> ''
    ), '{}'));
exception
  when insufficient_privilege then
    perform rollcall.refuse_api_roles();
  when others or query_canceled or assert_failure then
    raise warning 'rollcall: no profile was made (SQLSTATE %)', sqlstate using hint = 'See why: rollcall doctor.';
end
$$;
comment on function rollcall.ensure_profile_exists(uuid, text, text, text, text) is
  'Rollcall: creates the profile of a user if it is expected and missing, and keeps an event. Never fails but for a role that may not call it; an existing profile is left alone.';

do $$
declare
  api record;
begin
  perform set_config('search_path', '', true);
  for api in
    select
      w.name, p.oid::regprocedure::text as source, replace(p.oid::regprocedure::text, 'rollcall.', 'public.') as signature,
      coalesce(replace(pg_get_functiondef(p.oid), 'FUNCTION rollcall.', 'FUNCTION public.'),
        'create or replace view public.' || w.name || ' with (security_invoker = true) as ' || w.query) as definition,
      coalesce(obj_description(p.oid, 'pg_proc'), w.comment) as comment
    from (
      values
        ('diagnose_auth_profile_consistency', null, null), ('get_auth_profile_mismatches', null, null), ('check_recent_signup_issues', null, null),
        ('get_user_signup_events', null, null), ('monitor_signup_health', null, null), ('verify_profile_completeness', null, null),
        ('backfill_user_profile', null, null), ('backfill_all_missing_profiles', null, null), ('ensure_profile_exists', null, null),
        ('signup_audit_summary', 'select s.user_id, s.email, s.action, s.created_at from rollcall.list_signups() s',
          'Rollcall: the first signup event of each user in the audit log.'),
        ('auth_profile_mismatch', 'select u.* from rollcall.list_users() u',
          'Rollcall: one row a user with status healthy, auth_only (no profile) or audit_only (in the audit log, no longer in auth.users).'),
        ('user_events',
          'select e.id, e.user_id, e.kind, e.payload, e.created_at from rollcall.event e
           where coalesce(current_setting(''role'', true), '''') not in (''anon'', ''authenticated'')',
          'Rollcall: what happened between a signup and its profile. Ids and error codes only.')
    ) w (name, query, comment)
    left join pg_proc p on p.proname = w.name and p.pronamespace = 'rollcall'::regnamespace and w.query is null
    where w.query is not null or p.oid is not null
    order by w.name
  loop
    if exists (
        select from pg_proc p where p.proname = api.name and p.pronamespace = 'public'::regnamespace and not rollcall.is_ours(p.oid))
      or exists (
        select from pg_class c
        where c.relname = api.name and c.relnamespace = 'public'::regnamespace and not (
          c.relkind = 'v' and coalesce(obj_description(c.oid, 'pg_class'), '') like 'Rollcall: %' and strpos(pg_get_viewdef(c.oid), 'rollcall.') > 0))
    then
      raise notice 'rollcall: public.% is the application''s and stays as it is', api.name;
      continue;
    end if;
    execute api.definition;
    execute format('comment on %s is %L', coalesce('function ' || api.signature, 'view public.' || api.name), api.comment);
    execute format('revoke all on %s from public, anon, authenticated, service_role', coalesce('function ' || api.signature, 'public.' || api.name));
    execute format('grant %s to service_role', coalesce('execute on function ' || api.signature, 'select on public.' || api.name));
    if api.source is not null then
      execute 'drop function ' || api.source;
    end if;
  end loop;
end
$$;
