-- The diagnostic functions and views that people and supabase.rpc() call, under the names and with the columns they
-- have always had. Each is a thin face of the schema rollcall.
--
-- For service_role and the owner only. Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- An earlier auth_profile_mismatch had a column of another type, which "create or replace" cannot change.
do $$
begin
  if exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = to_regclass('public.auth_profile_mismatch') and a.attname = 'auth_email' and a.atttypid <> 'text'::regtype
  ) then
    drop view public.auth_profile_mismatch;
  end if;
end
$$;

create or replace function rollcall.signup_summary()
returns table (user_id uuid, email text, action text, created_at timestamptz)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query select s.user_id, s.email, s.action, s.created_at from rollcall.audit_signup s;
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function rollcall.signup_summary() is
  'The rows of public.signup_audit_summary.';

-- security_invoker with a security definer function behind it: the view itself opens nothing.
create or replace view public.signup_audit_summary with (security_invoker = true) as
select s.user_id, s.email, s.action, s.created_at from rollcall.signup_summary() s;
comment on view public.signup_audit_summary is
  'Rollcall: the first signup event of each user in the audit log.';

create or replace view public.auth_profile_mismatch with (security_invoker = true) as
select
  m.user_id, m.audit_email, m.action, m.audit_created_at,
  m.auth_user_id, m.auth_email, m.user_created_at,
  m.profile_id, m.profile_email, m.profile_created_at, m.status
from rollcall.mismatches() m;
comment on view public.auth_profile_mismatch is
  'Rollcall: one row a user with status healthy, auth_only (no profile) or audit_only (in the audit log, no longer in auth.users).';

create or replace function public.diagnose_auth_profile_consistency()
returns table (status text, count bigint, description text)
language plpgsql stable security definer set search_path = '' as $$
declare
  u record;
  l record;
  audit_log constant text := rollcall.audit_log_state();
begin
  select * into u from rollcall.census();
  select * into l from rollcall.audit_census();
  return query values
    ('Total Signup Audit Entries', l.signups, format('Users with a signup in the audit log (audit log: %s)', audit_log)),
    ('Healthy (Auth + Profile)', u.healthy, 'Users who must have a profile and have one'),
    ('Auth Only (Missing Profile)', u.missing, 'Users who must have a profile and have none'),
    ('Audit Only (Deleted/Orphaned)', l.audit_only, format('Users in the audit log who are no longer in auth.users (audit log: %s)', audit_log)),
    ('Total auth.users', u.users, 'Rows of auth.users, soft-deleted ones included'),
    ('Total public.profiles', u.profiles, format('Rows of %s', rollcall.profile_table())),
    ('Users without Profiles', u.missing, 'Users whom a backfill would give a profile'),
    ('Soft-deleted Users', u.soft_deleted, 'Users deleted but kept in auth.users; no profile is expected'),
    ('Recorded Deletions', l.recorded_deletions, format('Users in the audit log whose deletion is recorded there (audit log: %s)', audit_log)),
    ('Profiles without Users', u.orphaned, 'Profiles whose user is not in auth.users');
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function public.diagnose_auth_profile_consistency() is
  'Rollcall: the counts of users, profiles and signups. Counts are users, not log entries.';

create or replace function public.get_auth_profile_mismatches(p_limit integer default 100)
returns table (user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_limit < 0 then
    raise exception 'rollcall: p_limit must not be negative'
      using errcode = 'invalid_parameter_value', hint = 'Leave it out for 100 rows.';
  end if;
  return query
    select m.user_id, m.audit_email, m.auth_email, m.status, m.audit_created_at, m.user_created_at
    from rollcall.mismatches() m
    where m.status <> 'healthy'
    order by coalesce(m.user_created_at, m.audit_created_at) desc nulls last, m.user_id
    limit coalesce(p_limit, 100);
end
$$;
comment on function public.get_auth_profile_mismatches(integer) is
  'Rollcall: users without a profile, with or without an entry in the audit log, and users of the audit log who are gone; newest first.';

create or replace function public.check_recent_signup_issues()
returns table (
  user_id uuid, email text, action text, created_at timestamptz,
  has_auth_user boolean, has_profile boolean, minutes_since_signup numeric
)
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select i.user_id, i.email, i.action, i.created_at, i.has_auth_user, i.has_profile,
      round(extract(epoch from now() - i.created_at) / 60, 2)
    from rollcall.recent_issues(interval '10 minutes') i
    order by i.created_at desc
    limit 1000;
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function public.check_recent_signup_issues() is
  'Rollcall: signups of the last 10 minutes without a profile, or whose user vanished; newest first, at most 1000.';

create or replace function public.get_user_signup_events(p_user_id uuid)
returns table (event_id bigint, kind text, payload jsonb, created_at timestamptz)
language sql stable security definer set search_path = '' set row_security = off as $$
  select e.id::bigint, e.kind::text, e.payload, e.created_at
  from public.user_events e
  where e.user_id = p_user_id
  order by e.created_at, e.id
$$;
comment on function public.get_user_signup_events(uuid) is
  'Rollcall: what happened between a user''s signup and profile, oldest first.';

create or replace function public.monitor_signup_health()
returns table (check_time timestamptz, recent_signups_count bigint, signups_missing_profiles bigint, health_percentage numeric)
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select h.check_time, h.signups, h.missing,
      case
        when h.missing = 0 then 100.00
        -- one in a million is not all: 100.00 says that nobody is missing
        else least(99.99, round(100.0 * (h.signups - h.missing) / h.signups, 2))
      end
    from rollcall.recent_health(interval '1 hour') h;
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function public.monitor_signup_health() is
  'Rollcall: signups of the last hour and the share of them that have their profile; 100.00 where nobody signed up.';

create or replace function public.verify_profile_completeness()
returns table (check_name text, status text, count bigint, details text)
language plpgsql stable security definer set search_path = '' as $$
declare
  u record;
  emails bigint;
begin
  emails := rollcall.email_mismatches();
  select * into u from rollcall.census();
  return query values
    ('Auth users without profiles', case when u.missing = 0 then 'PASS' else 'FAIL' end, u.missing,
      format('%s users missing profiles', u.missing)),
    ('Profiles without auth users', case when u.orphaned = 0 then 'PASS' else 'WARNING' end, u.orphaned,
      format('%s profiles orphaned', u.orphaned)),
    ('Email consistency', case when coalesce(emails, 0) = 0 then 'PASS' else 'WARNING' end, coalesce(emails, 0),
      case when emails is null then 'not applicable: the profiles have no e-mail' else format('%s mismatched emails', emails) end);
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function public.verify_profile_completeness() is
  'Rollcall: whether every user has a profile, every profile a user, and their e-mails agree.';

-- The level of the migrations, for a program to compare with its own ----------------------------------------------

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261122000700' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

do $$
declare
  object text;
begin
  foreach object in array array['public.signup_audit_summary', 'public.auth_profile_mismatch'] loop
    execute format('revoke all on %s from public, anon, authenticated, service_role', object);
    execute format('grant select on %s to service_role', object);
  end loop;
  foreach object in array array[
    'public.diagnose_auth_profile_consistency()',
    'public.get_auth_profile_mismatches(integer)',
    'public.check_recent_signup_issues()',
    'public.get_user_signup_events(uuid)',
    'public.monitor_signup_health()',
    'public.verify_profile_completeness()'
  ] loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', object);
    execute format('grant execute on function %s to service_role', object);
  end loop;
end
$$;

revoke all on all functions in schema rollcall from public, anon, authenticated;
-- The two views call these as whoever reads them.
grant usage on schema rollcall to service_role;
grant execute on function rollcall.signup_summary(), rollcall.mismatches() to service_role;
