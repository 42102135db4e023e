-- What is counted and listed, once, for every face: the compatible functions in public, the Lambda functions and
-- the command line read these.
--
-- Users against profiles decide; the audit log is a third source with a state of its own.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- The audit log ---------------------------------------------------------------------------------------------------

-- payload is json as text, written by the application: every cast is guarded, since one malformed id would fail
-- the query. \u0000 and lone surrogates are valid in json text but cannot become text; they stand in names only.
create or replace view rollcall.audit_event as
select
  parsed.action,
  case
    when parsed.about_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then parsed.about_id::uuid
    when parsed.actor_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      then nullif(parsed.actor_id::uuid, '00000000-0000-0000-0000-000000000000')
  end as user_id,
  case
    when parsed.about_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then nullif(parsed.about_email, '')
    when parsed.actor_username like '%@%' then parsed.actor_username
  end as email,
  entry.created_at
from auth.audit_log_entries entry
cross join lateral (
  select
    case
      -- a cheap look at the text spares most rows the parser
      when entry.payload::text not like '%"user\_%' then null
      when strpos(entry.payload::text, '\u') > 0
        then regexp_replace(entry.payload::text, '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\u003f', 'g')::json
      else entry.payload
    end as body
) readable
cross join lateral (
  select
    readable.body ->> 'action' as action,
    readable.body ->> 'actor_id' as actor_id,
    readable.body ->> 'actor_username' as actor_username,
    readable.body -> 'traits' ->> 'user_id' as about_id,
    readable.body -> 'traits' ->> 'user_email' as about_email
) parsed
where parsed.action in ('user_signedup', 'user_invited', 'user_confirmation_requested', 'user_deleted');
comment on view rollcall.audit_event is
  'Signups and deletions in auth.audit_log_entries with their subject: traits.user_id if it is a uuid (an administrator acted), else the actor. user_id is null where the entry names nobody.';

create or replace view rollcall.audit_signup as
select distinct on (e.user_id) e.user_id, e.email, e.action, e.created_at
from rollcall.audit_event e
where e.user_id is not null and e.action <> 'user_deleted'
order by e.user_id, e.created_at;
comment on view rollcall.audit_signup is
  'The first signup event of each user in the audit log: one row a user, however often he signed up, was invited or asked for a confirmation.';

create or replace function rollcall.audit_log_state() returns text
language sql stable security definer set search_path = '' set row_security = off as $$
  select case
    when newest.entry is null then 'off'
    -- a signup or a sign-in writes an entry within its own request; anonymous ones write none
    when newest.entry < newest.activity - interval '1 hour' then 'stale'
    else 'on'
  end
  from (
    select
      (select max(created_at) from auth.audit_log_entries) as entry,
      (
        select max(greatest(created_at, last_sign_in_at)) from auth.users
        where not is_anonymous and greatest(created_at, last_sign_in_at) < now() + interval '5 minutes'
      ) as activity
  ) newest
$$;
comment on function rollcall.audit_log_state() is
  'on: the audit log is written to PostgreSQL; stale: users are newer than its newest entry by over an hour; off: it has no entry. Hosted projects may switch it off (Authentication, Audit Logs).';

create or replace function rollcall.audit_census()
returns table (signups bigint, audit_only bigint, recorded_deletions bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select
      count(*) filter (where s.signed_up),
      count(*) filter (where s.signed_up and u.id is null),
      count(*) filter (where s.signed_up and s.deleted)
    from (
      select e.user_id, bool_or(e.action <> 'user_deleted') as signed_up, bool_or(e.action = 'user_deleted') as deleted
      from rollcall.audit_event e
      where e.user_id is not null
      group by e.user_id
    ) s
    left join auth.users u on u.id = s.user_id;
end
$$;
comment on function rollcall.audit_census() is
  'Users in the audit log: with a signup, of these without a row in auth.users, of these with a recorded deletion (soft or hard).';

-- Users against profiles ------------------------------------------------------------------------------------------

create or replace function rollcall.census()
returns table (
  users bigint, soft_deleted bigint, expected bigint, profiles bigint, healthy bigint,
  missing bigint, missing_anonymous bigint, missing_phone bigint, missing_sso bigint, missing_unconfirmed bigint, orphaned bigint
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select
      (select count(*) from auth.users),
      (select count(*) from auth.users where deleted_at is not null),
      count(*) filter (where pair.expected_id is not null),
      count(*) filter (where pair.is_profile),
      count(*) filter (where pair.expected_id is not null and pair.is_profile),
      count(*) filter (where pair.expected_id is not null and not pair.is_profile),
      count(*) filter (where not pair.is_profile and gap.is_anonymous),
      count(*) filter (where not pair.is_profile and gap.email is null and gap.phone is not null),
      count(*) filter (where not pair.is_profile and gap.is_sso_user),
      count(*) filter (where not pair.is_profile and gap.confirmed_at is null and not gap.is_anonymous),
      count(*) filter (where pair.is_profile and pair.expected_id is null and owner.id is null)
    from (
      select e._user_id as expected_id, a._user_id as profile_id, coalesce(a.is_profile, false) as is_profile
      from rollcall.expected_profile e
      full join (select p._user_id, true as is_profile from rollcall.actual_profile p) a on a._user_id = e._user_id
    ) pair
    left join auth.users gap on not pair.is_profile and gap.id = pair.expected_id
    left join auth.users owner on pair.expected_id is null and owner.id = pair.profile_id;
end
$$;
comment on function rollcall.census() is
  'Users against profiles, both ways: all users, soft-deleted ones, users who must have a profile, profiles, users with theirs, users without (and how many of these are anonymous, have a phone only, came by single sign-on, are unconfirmed), profiles without a user.';

create or replace function rollcall.email_mismatches() returns bigint
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  mismatches bigint;
begin
  perform rollcall.require_sight();
  if not exists (select from rollcall.profile_columns() c where c.column_name = 'email') then
    return null;
  end if;
  -- dynamic, since a definition without e-mail is a definition, too
  execute
    'select count(*) from rollcall.expected_profile e join rollcall.actual_profile a on a._user_id = e._user_id'
    ' where lower(e.email::text) is distinct from lower(a.email)'
    into mismatches;
  return mismatches;
end
$$;
comment on function rollcall.email_mismatches() is
  'Profiles whose e-mail is not the expected one, but for case. Null: the definition has no e-mail column.';

create or replace function rollcall.recent_health(p_window interval)
returns table (check_time timestamptz, signups bigint, missing bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select now(), count(*), count(*) filter (where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id))
    from rollcall.expected_profile e
    -- clocks differ a little; a date far in the future is no signup of now
    where e._signed_up_at between now() - p_window and now() + interval '5 minutes';
end
$$;
comment on function rollcall.recent_health(interval) is
  'Signups within the window before now that must have a profile, and how many of them have none.';

create or replace function rollcall.recent_issues(p_window interval)
returns table (user_id uuid, email text, action text, created_at timestamptz, has_auth_user boolean, has_profile boolean)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    with gap as materialized (
      select e._user_id, e._signed_up_at
      from rollcall.expected_profile e
      where e._signed_up_at between now() - p_window and now() + interval '5 minutes'
        and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
    ),
    logged as materialized (
      select distinct on (l.user_id) l.user_id, l.email, l.action, l.created_at
      from rollcall.audit_event l
      where l.created_at between now() - p_window and now() + interval '5 minutes' and l.user_id is not null
      -- a recorded deletion explains why the user is gone
      order by l.user_id, (l.action = 'user_deleted') desc, l.created_at
    )
    select g._user_id, coalesce(u.email::text, l.email), l.action, g._signed_up_at, true, false
    from gap g
    join auth.users u on u.id = g._user_id
    left join logged l on l.user_id = g._user_id and l.action <> 'user_deleted'
    union all
    select l.user_id, l.email, l.action, l.created_at, false,
      exists (select from rollcall.actual_profile a where a._user_id = l.user_id)
    from logged l
    where l.action <> 'user_deleted'
      and not exists (select from auth.users u where u.id = l.user_id)
    order by 4 desc;
end
$$;
comment on function rollcall.recent_issues(interval) is
  'Signups within the window before now that have no profile, or whose user vanished without a recorded deletion; newest first.';

create or replace function rollcall.mismatches()
returns table (
  user_id uuid, audit_email text, action text, audit_created_at timestamptz,
  auth_user_id uuid, auth_email text, user_created_at timestamptz,
  profile_id uuid, profile_email text, profile_created_at timestamptz, status text
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select
      coalesce(e._user_id, s.user_id), s.email, s.action, s.created_at,
      u.id, u.email::text, u.created_at,
      a._user_id, a.email, a._created_at,
      case when e._user_id is null then 'audit_only' when a._user_id is null then 'auth_only' else 'healthy' end
    from rollcall.expected_profile e
    join auth.users u on u.id = e._user_id
    full join rollcall.audit_signup s on s.user_id = e._user_id
    left join rollcall.actual_profile a on a._user_id = coalesce(e._user_id, s.user_id)
    -- a user who is there without being expected to have a profile (soft-deleted, say) is neither
    where e._user_id is not null or not exists (select from auth.users gone where gone.id = s.user_id);
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function rollcall.mismatches() is
  'One row a user: everyone who must have a profile (healthy or auth_only), and the subjects of the audit log who are no longer in auth.users (audit_only).';

-- The signup trigger ----------------------------------------------------------------------------------------------

create or replace function rollcall.signup_trigger_state() returns text
language sql stable security definer set search_path = '' as $$
  select case
    when bool_or(t.is_ours and t.is_enabled) then 'in_place'
    when bool_or(t.is_left) and not bool_or(t.is_ours) then 'left_to_application'
    when bool_or(t.is_enabled and not t.is_left) then 'foreign'
    when bool_or(t.is_ours) then 'disabled'
    else 'missing'
  end
  from (
    select
      p.prosrc like '%rollcall.bootstrap_profile%' and t.tgqual is null as is_ours,
      t.tgfoid = to_regprocedure('rollcall.leave_to_later_trigger()') as is_left,
      t.tgenabled in ('O', 'A') as is_enabled
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal
      and t.tgtype::integer & 5 = 5  -- for each row, insert
  ) t
$$;
comment on function rollcall.signup_trigger_state() is
  'in_place: a signup runs a function of Rollcall that makes the profile; left_to_application: Rollcall leaves the profile to a trigger of the application that makes it later; disabled: its trigger is there but switched off; foreign: only triggers of the application run, whether they make a profile is not known; missing: a signup runs no trigger.';

-- volatile, since PostgreSQL explains nothing in any other function
create or replace function rollcall.profile_fault() returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  -- what a signup runs; a function that is missing would only be noticed by the first signup without a profile
  needed constant text[] := array[
    'rollcall.bootstrap_profile(uuid, jsonb)', 'rollcall.create_profiles(uuid[], jsonb)', 'rollcall.deferred_constraints()',
    'rollcall.deferred_constraints_hold(text)', 'rollcall.try_deferred_constraints(text)', 'rollcall.missing_among(uuid[])',
    'rollcall.log_signup(uuid, text, text, text, text)', 'rollcall.known_constraint(text)', 'rollcall.known_column(text)'
  ];
  missing constant text := (
    select string_agg(f, ', ') from unnest(needed) f
    where not coalesce(has_function_privilege(to_regprocedure(f), 'execute'), false)
  );
  code text;
  reason text;
begin
  if missing is not null then
    return format('functions are missing or may not be run: %s', missing);
  end if;
  -- planned, not run: columns, types, functions and rights have to fit
  execute 'explain ' || rollcall.profile_insert_sql('{}') using array[]::uuid[], '{}'::jsonb;
  return null;
exception when others then
  get stacked diagnostics code = returned_sqlstate, reason = message_text;
  return case
    when reason like 'rollcall: %' then substr(reason, length('rollcall: ') + 1)
    else format('rollcall.expected_profile does not fit the profile table (SQLSTATE %s)', code)
  end;
end
$$;
comment on function rollcall.profile_fault() is
  'Why no profile can be made at all, by signup or repair, in words without values; null: the statement that makes them can be planned, and the functions that run it are there.';

create or replace function rollcall.recent_errors(p_limit integer default 10)
returns table (created_at timestamptz, user_id uuid, kind text, sqlstate text, constraint_name text, column_name text)
language sql stable security definer set search_path = '' set row_security = off as $$
  select e.created_at, e.user_id, e.kind, e.payload ->> 'sqlstate', e.payload ->> 'constraint', e.payload ->> 'column'
  from public.user_events e
  where e.kind in ('profile_bootstrap_error', 'profile_backfill_error')
    -- a table that the application brought along may hold events of nobody and of no time
    and e.user_id is not null and isfinite(e.created_at)
  order by e.created_at desc, e.id desc
  limit p_limit
$$;
comment on function rollcall.recent_errors(integer) is
  'The newest events of profiles that could not be created, by signup or repair: error codes only.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
