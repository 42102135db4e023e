-- Who may do what.
--   service_role        the public API, and what stands behind its views
--   rollcall_monitor    takes every report; sees no e-mail address and changes nothing but what it may record
--   rollcall_repairer   takes every report, and creates missing profiles by the definition; can change nothing else
-- The two roles reach the data through functions of the schema rollcall alone: neither has a right on auth.* or on the
-- profile table. They are made without login; give one a password to use it (alter role rollcall_monitor login password …).
-- Roles belong to the cluster: one that is there already keeps its password and its settings.

do $$
declare
  name text;
begin
  foreach name in array array['rollcall_monitor', 'rollcall_repairer'] loop
    begin
      execute format('create role %I nologin inherit', name);
      -- longer than any check takes, shorter than anyone would wait for a connection that it holds
      execute format('alter role %I set statement_timeout = ''60s''', name);
      execute format('alter role %I set lock_timeout = ''2s''', name);
      execute format('alter role %I set idle_in_transaction_session_timeout = ''60s''', name);
    exception when duplicate_object or unique_violation then null;
    end;
  end loop;
  comment on role rollcall_monitor is 'Rollcall: takes every report; sees no e-mail address. Made without login.';
  comment on role rollcall_repairer is 'Rollcall: takes every report, and creates missing profiles by the definition. Made without login.';
  grant rollcall_monitor to rollcall_repairer;
exception when insufficient_privilege then
  raise warning 'rollcall: the roles rollcall_monitor and rollcall_repairer belong to somebody else, and stay as they are';
end
$$;

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$ select '20261128000100' $$;
comment on function rollcall.schema_version() is 'The newest migration that was applied as a whole.';

-- closed by default
revoke all on schema rollcall from public, anon, authenticated, service_role, rollcall_monitor, rollcall_repairer;
revoke all on all tables in schema rollcall from public, anon, authenticated, service_role, rollcall_monitor, rollcall_repairer;
revoke all on all sequences in schema rollcall from public, anon, authenticated, service_role, rollcall_monitor, rollcall_repairer;
revoke all on all functions in schema rollcall from public, anon, authenticated, service_role, rollcall_monitor, rollcall_repairer;

-- What the public views call is called as the one who reads them.
grant usage on schema rollcall to service_role, rollcall_monitor, rollcall_repairer;
grant select on rollcall.event to service_role;
grant execute on function rollcall.list_signups(), rollcall.list_users() to service_role;

grant execute on function
  rollcall.acknowledge_message(bigint, uuid, boolean), rollcall.audit_counts(), rollcall.audit_log_state(),
  rollcall.beyond_rollback(text, boolean), rollcall.candidate_tables(), rollcall.check_history(text, timestamptz),
  rollcall.count_missing(timestamptz), rollcall.definition_fault(), rollcall.email_drift(),
  rollcall.incident_begin(text), rollcall.incident_record(text, timestamptz, jsonb, jsonb), rollcall.incidents(timestamptz),
  rollcall.is_expected(uuid), rollcall.lease_message(text, uuid, interval), rollcall.mismatches(bigint, boolean), rollcall.missing_among(uuid[]),
  rollcall.newest_with_profile(), rollcall.probe_signup(), rollcall.recent_errors(integer), rollcall.recent_health(interval),
  rollcall.recent_issues(interval, boolean), rollcall.recent_window(interval), rollcall.record_check(text, text, text[], jsonb),
  rollcall.row_facts(), rollcall.run_failures(uuid, integer), rollcall.run_reports(integer, text), rollcall.sample_users(text, text[]),
  rollcall.schema_version(), rollcall.signup_code(text), rollcall.unfilled_columns(), rollcall.user_counts(), rollcall.user_events(uuid), rollcall.user_record(uuid)
to rollcall_monitor;

grant execute on function
  rollcall.advance_run(uuid, uuid, integer), rollcall.change_run(uuid, text), rollcall.hold_run(uuid, uuid, integer, text, text),
  rollcall.preview_users(uuid[], integer, jsonb, boolean, integer), rollcall.repair_users(uuid[], text, jsonb),
  rollcall.start_run(text, jsonb, uuid), rollcall.undo_batch(uuid, integer, boolean)
to rollcall_repairer;

-- A session can be set so that it is shown the values in the plans of what it calls, or that the text of the definition is
-- read in another way.
do $$
declare
  name text;
begin
  for name in
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'rollcall'::regnamespace and p.prosecdef and has_function_privilege('rollcall_repairer', p.oid, 'execute')
  loop
    execute format('alter function %s set client_min_messages = error set standard_conforming_strings = on
      set datestyle = iso set intervalstyle = postgres', name);
  end loop;
end
$$;
