-- Two roles for programs, so that none has to hold postgres or the service key.
--
--   rollcall_monitor   takes every report; can change nothing
--   rollcall_repairer  takes every report, and creates missing profiles; can change nothing else
--
-- They reach the data through functions of the schema rollcall alone: neither has a right on auth.* or on the profile
-- table. They are made without login; whoever uses one gives it a password (alter role rollcall_monitor login password …).
-- Roles belong to the cluster: one that is there already keeps its password and its settings.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

do $$
begin
  create role rollcall_monitor nologin;
  comment on role rollcall_monitor is
    'Rollcall: takes every report, and can change nothing. Made without login.';
  -- longer than any check takes, shorter than anyone would wait for a connection that it holds
  alter role rollcall_monitor set statement_timeout = '60s';
  alter role rollcall_monitor set lock_timeout = '2s';
  alter role rollcall_monitor set idle_in_transaction_session_timeout = '60s';
exception when duplicate_object or unique_violation then
  null;
end
$$;

do $$
begin
  create role rollcall_repairer nologin inherit;
  comment on role rollcall_repairer is
    'Rollcall: takes every report, and creates missing profiles. Made without login.';
  alter role rollcall_repairer set statement_timeout = '60s';
  alter role rollcall_repairer set lock_timeout = '2s';
  alter role rollcall_repairer set idle_in_transaction_session_timeout = '60s';
  grant rollcall_monitor to rollcall_repairer;
exception when duplicate_object or unique_violation then
  null;
end
$$;

-- What reads the catalog by names of schemas that these roles may not use.
alter function rollcall.unfilled_columns() security definer;
alter function rollcall.is_expected(uuid) security definer;

grant usage on schema rollcall to rollcall_monitor, rollcall_repairer;
grant execute on function
  rollcall.audit_census(),
  rollcall.audit_log_state(),
  rollcall.census(),
  rollcall.count_missing(timestamptz),
  rollcall.email_mismatches(),
  rollcall.mismatches(),
  rollcall.missing_among(uuid[]),
  rollcall.profile_fault(),
  rollcall.recent_errors(integer),
  rollcall.recent_issues(interval),
  rollcall.schema_version(),
  rollcall.signup_summary(),
  rollcall.signup_trigger_state(),
  rollcall.unfilled_columns(),
  public.check_recent_signup_issues(),
  public.diagnose_auth_profile_consistency(),
  public.get_auth_profile_mismatches(integer),
  public.get_user_signup_events(uuid),
  public.monitor_signup_health(),
  public.verify_profile_completeness()
to rollcall_monitor;
grant select on public.signup_audit_summary, public.auth_profile_mismatch to rollcall_monitor;

grant execute on function
  rollcall.forget_settled_failures(),
  rollcall.is_expected(uuid),
  rollcall.missing_users(uuid, integer, timestamptz, boolean),
  rollcall.preview_users(uuid[], jsonb),
  rollcall.repair_batch(uuid, integer, timestamptz, boolean, text, jsonb),
  rollcall.repair_users(uuid[], text, jsonb),
  public.backfill_all_missing_profiles(integer, boolean),
  public.backfill_user_profile(uuid, text, text)
to rollcall_repairer;

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000100' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';
