-- What was checked, when, and what it said; and the two questions of time that hang on it.
--
--   watermark    the check of recent signups looks back to where the last one ended, so a scheduler that slept for a
--                day misses nothing
--   settle time  a user whose profile may still come is neither healthy nor missing
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- Settings --------------------------------------------------------------------------------------------------------

create table if not exists rollcall.settings (
  only_row boolean primary key default true check (only_row),
  settle_time interval check (settle_time between interval '0' and interval '1 hour')
);
alter table rollcall.settings enable row level security;
comment on table rollcall.settings is
  'One row of settings; null means: let Rollcall choose. Change them with update rollcall.settings set …';
comment on column rollcall.settings.only_row is
  'Keeps the table at one row.';
comment on column rollcall.settings.settle_time is
  'How long after a signup a missing profile is no finding yet; at most an hour. Null: none where the profile is made with the signup or not at all, 30 seconds where a later trigger of the application makes it.';
insert into rollcall.settings default values on conflict do nothing;

create or replace function rollcall.settle_time() returns interval
language sql stable security definer set search_path = '' set row_security = off as $$
  select coalesce(
    (select s.settle_time from rollcall.settings s),
    -- made in the signup's own transaction, a profile is there as soon as the user can be seen
    case rollcall.signup_trigger_state() when 'left_to_application' then interval '30 seconds' else interval '0' end
  )
$$;
comment on function rollcall.settle_time() is
  'How long after a signup a missing profile is no finding yet, since whatever makes it may still be about to.';

-- Runs of checks --------------------------------------------------------------------------------------------------

create table if not exists rollcall.check_run (
  id bigint generated always as identity primary key,
  check_name text not null,
  checked_at timestamptz not null,
  verdict text not null check (verdict in ('consistent', 'inconsistent', 'unknown')),
  finding_ids text[] not null,
  counts jsonb not null,
  unique (check_name, checked_at)
);
alter table rollcall.check_run enable row level security;
comment on table rollcall.check_run is
  'Scheduled checks that were taken, newest 90 days: for the watermark of the recent signups, and for the history of the dashboard. Counts and ids of findings only.';
comment on column rollcall.check_run.id is 'Grows with time.';
comment on column rollcall.check_run.check_name is 'health or recent.';
comment on column rollcall.check_run.checked_at is 'The moment the report speaks of, by the database''s clock.';
comment on column rollcall.check_run.verdict is 'consistent, inconsistent or unknown.';
comment on column rollcall.check_run.finding_ids is 'What led to the verdict.';
comment on column rollcall.check_run.counts is 'Numbers of the report, by name.';

create or replace function rollcall.record_check(
  p_check text, p_checked_at timestamptz, p_verdict text, p_finding_ids text[], p_counts jsonb
) returns void
language plpgsql security definer set search_path = '' set row_security = off as $$
begin
  insert into rollcall.check_run (check_name, checked_at, verdict, finding_ids, counts)
  -- a watermark in the future would hide signups
  values (p_check, least(p_checked_at, now()), p_verdict, p_finding_ids, p_counts)
  on conflict (check_name, checked_at) do nothing;
  delete from rollcall.check_run r
  where r.id in (
    select old.id from rollcall.check_run old
    where old.checked_at < now() - interval '90 days'
    order by old.id
    limit 100
    for update skip locked
  );
end
$$;
comment on function rollcall.record_check(text, timestamptz, text, text[], jsonb) is
  'Keeps what a scheduled check said, and forgets what is older than 90 days, a little at a time.';

create or replace function rollcall.check_history(p_check text, p_since timestamptz)
returns table (checked_at timestamptz, verdict text, finding_ids text[], counts jsonb)
language sql stable security definer set search_path = '' set row_security = off as $$
  select r.checked_at, r.verdict, r.finding_ids, r.counts
  from rollcall.check_run r
  where r.check_name = p_check and r.checked_at >= p_since
  order by r.checked_at desc
  limit 2000
$$;
comment on function rollcall.check_history(text, timestamptz) is
  'Scheduled checks since a moment, newest first, at most 2000.';

create or replace function rollcall.recent_window(p_shortest interval) returns interval
language sql stable security definer set search_path = '' set row_security = off as $$
  select least(
    greatest(
      p_shortest,
      -- half a window of overlap, since a signup is dated when its transaction begins and seen when it ends
      now() - (
        select max(r.checked_at) from rollcall.check_run r where r.check_name = 'recent' and r.verdict <> 'unknown'
      ) + p_shortest / 2
    ),
    interval '7 days'
  )
$$;
comment on function rollcall.recent_window(interval) is
  'How far the check of recent signups has to look back: at least this long, and to a little before the last one that could look; at most 7 days, which the check of everyone covers.';

-- The checks, with the settle time --------------------------------------------------------------------------------

create or replace function rollcall.settled_before() returns timestamptz
language sql stable security definer set search_path = '' as $$
  select case when s.settle_time = interval '0' then 'infinity' else now() - s.settle_time end
  from (select rollcall.settle_time() as settle_time) s
$$;
comment on function rollcall.settled_before() is
  'Who signed up later than this may still get a profile without anybody''s help.';

create or replace function rollcall.census()
returns table (
  users bigint, soft_deleted bigint, expected bigint, profiles bigint, healthy bigint,
  missing bigint, missing_anonymous bigint, missing_phone bigint, missing_sso bigint, missing_unconfirmed bigint, orphaned bigint
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
begin
  perform rollcall.require_sight();
  return query
    select
      (select count(*) from auth.users),
      (select count(*) from auth.users where deleted_at is not null),
      count(*) filter (where pair.expected_id is not null),
      count(*) filter (where pair.is_profile),
      count(*) filter (where pair.expected_id is not null and pair.is_profile),
      count(*) filter (where pair.is_gap),
      count(*) filter (where pair.is_gap and gap.is_anonymous),
      count(*) filter (where pair.is_gap and gap.email is null and gap.phone is not null),
      count(*) filter (where pair.is_gap and gap.is_sso_user),
      count(*) filter (where pair.is_gap and gap.confirmed_at is null and not gap.is_anonymous),
      count(*) filter (where pair.is_profile and pair.expected_id is null and owner.id is null)
    from (
      select
        e._user_id as expected_id,
        a._user_id as profile_id,
        coalesce(a.is_profile, false) as is_profile,
        e._user_id is not null and a.is_profile is null
          -- a date that nobody can have signed up at yet is no sign of a signup in flight
          and not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false) as is_gap
      from rollcall.expected_profile e
      full join (select p._user_id, true as is_profile from rollcall.actual_profile p) a on a._user_id = e._user_id
    ) pair
    left join auth.users gap on pair.is_gap and gap.id = pair.expected_id
    left join auth.users owner on pair.expected_id is null and owner.id = pair.profile_id;
end
$$;
comment on function rollcall.census() is
  'Users against profiles, both ways: all users, soft-deleted ones, users who must have a profile, profiles, users with theirs, users without (and how many of these are anonymous, have a phone only, came by single sign-on, are unconfirmed), profiles without a user. Who is inside the settle time and has no profile yet is neither healthy nor missing.';

create or replace function rollcall.recent_health(p_window interval)
returns table (check_time timestamptz, signups bigint, missing bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
begin
  perform rollcall.require_sight();
  return query
    select
      now(),
      count(*),
      count(*) filter (
        where e._signed_up_at <= settled_before
          and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
      )
    from rollcall.expected_profile e
    -- clocks differ a little; a date far in the future is no signup of now
    where e._signed_up_at between now() - p_window and now() + interval '5 minutes';
end
$$;
comment on function rollcall.recent_health(interval) is
  'Signups within the window before now that must have a profile, and how many of them have none although the settle time is over.';

create or replace function rollcall.recent_issues(p_window interval)
returns table (user_id uuid, email text, action text, created_at timestamptz, has_auth_user boolean, has_profile boolean)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
begin
  perform rollcall.require_sight();
  return query
    with gap as materialized (
      select e._user_id, e._signed_up_at
      from rollcall.expected_profile e
      where e._signed_up_at between now() - p_window and now() + interval '5 minutes'
        and e._signed_up_at <= settled_before
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
  'Signups within the window before now that have no profile although the settle time is over, or whose user vanished without a recorded deletion; newest first.';

create or replace function rollcall.mismatches()
returns table (
  user_id uuid, audit_email text, action text, audit_created_at timestamptz,
  auth_user_id uuid, auth_email text, user_created_at timestamptz,
  profile_id uuid, profile_email text, profile_created_at timestamptz, status text
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
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
    where case
      -- a user who is there without being expected to have a profile (soft-deleted, say) is neither
      when e._user_id is null then not exists (select from auth.users gone where gone.id = s.user_id)
      when a._user_id is null then not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false)
      else true
    end;
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function rollcall.mismatches() is
  'One row a user: everyone who must have a profile (healthy or auth_only, but nobody who has none inside the settle time), and the subjects of the audit log who are no longer in auth.users (audit_only).';

-- What hangs on an audit log that is off is not known, which is another thing than none.
create or replace function public.diagnose_auth_profile_consistency()
returns table (status text, count bigint, description text)
language plpgsql stable security definer set search_path = '' as $$
declare
  u record;
  l record;
  audit_log constant text := rollcall.audit_log_state();
  of_the_log constant text := case audit_log when 'off' then 'not available (audit log: off)' else format('(audit log: %s)', audit_log) end;
begin
  select * into u from rollcall.census();
  select * into l from rollcall.audit_census();
  return query values
    ('Total Signup Audit Entries', l.signups, format('Users with a signup in the audit log (audit log: %s)', audit_log)),
    ('Healthy (Auth + Profile)', u.healthy, 'Users who must have a profile and have one'),
    ('Auth Only (Missing Profile)', u.missing, 'Users who must have a profile and have none'),
    ('Audit Only (Deleted/Orphaned)', case when audit_log <> 'off' then l.audit_only end,
      format('Users in the audit log who are no longer in auth.users: %s', of_the_log)),
    ('Total auth.users', u.users, 'Rows of auth.users, soft-deleted ones included'),
    ('Total public.profiles', u.profiles, format('Rows of %s', rollcall.profile_table())),
    ('Users without Profiles', u.missing, 'Users whom a backfill would give a profile'),
    ('Soft-deleted Users', u.soft_deleted, 'Users deleted but kept in auth.users; no profile is expected'),
    ('Recorded Deletions', case when audit_log <> 'off' then l.recorded_deletions end,
      format('Users in the audit log whose deletion is recorded there: %s', of_the_log)),
    ('Profiles without Users', u.orphaned, 'Profiles whose user is not in auth.users');
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000600' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.record_check(text, timestamptz, text, text[], jsonb),
  rollcall.check_history(text, timestamptz),
  rollcall.recent_window(interval)
to rollcall_monitor;
