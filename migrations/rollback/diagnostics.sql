-- Takes the diagnostics back: the functions and views that count and list. The signup trigger, the repair and the
-- definition stay, and so does every profile and every table. The repair then works through public.backfill_* alone: the
-- program and the Lambda functions need the diagnostics. `rollcall migrate` brings them back.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

do $$
begin
  if to_regprocedure('rollcall.keep_audit_entry()') is not null then
    -- Takes its trigger along, and locks the audit log for that: whoever waits for it makes every sign-in behind it wait, too.
    perform set_config('lock_timeout', '2s', true);
    drop function rollcall.keep_audit_entry() cascade;
  end if;
end
$$;

drop view if exists public.signup_audit_summary, public.auth_profile_mismatch;
drop function if exists
  public.diagnose_auth_profile_consistency(),
  public.get_auth_profile_mismatches(integer),
  public.check_recent_signup_issues(),
  public.get_user_signup_events(uuid),
  public.monitor_signup_health(),
  public.verify_profile_completeness();
drop function if exists
  rollcall.signup_summary(),
  rollcall.mismatches(),
  rollcall.recent_issues(interval),
  rollcall.recent_health(interval),
  rollcall.recent_errors(integer),
  rollcall.email_mismatches(),
  rollcall.signup_trigger_state(),
  rollcall.profile_fault(),
  rollcall.census(),
  rollcall.audit_census(),
  rollcall.audit_log_tail(integer),
  rollcall.audit_subjects(),
  rollcall.audit_signups(),
  rollcall.audit_census_kept(),
  rollcall.audit_census_read(),
  rollcall.audit_ledger_state(),
  rollcall.audit_ledger_doubt(),
  rollcall.claim_audit_proof(),
  rollcall.prove_audit_log(),
  rollcall.gone_subjects(),
  rollcall.audit_log_state(),
  rollcall.users_by_email(text),
  rollcall.user_facts(uuid),
  rollcall.user_timeline(uuid),
  rollcall.identities_of(uuid),
  rollcall.settle_time(),
  rollcall.settled_before(),
  rollcall.record_check(text, timestamptz, text, text[], jsonb),
  rollcall.check_history(text, timestamptz),
  rollcall.recent_window(interval),
  rollcall.incident_begin(text),
  rollcall.incident_record(text, timestamptz, jsonb, jsonb),
  rollcall.alert_claim(text, uuid, interval),
  rollcall.alert_settle(bigint, uuid, boolean),
  rollcall.missing_user_ids(integer),
  rollcall.incidents(timestamptz),
  rollcall.affected(bigint),
  rollcall.missing_page(uuid, integer),
  rollcall.apart(),
  rollcall.apart_by_hash(),
  rollcall.apart_in_order(),
  rollcall.full_proof_is_cheap(),
  rollcall.last_full_proof(),
  rollcall.ledger_catalog(),
  rollcall.ledger_counters(),
  rollcall.ledger_doubt(),
  rollcall.ledger_missing(timestamptz),
  rollcall.ledger_report(interval, interval),
  rollcall.prove(),
  rollcall.read_on(timestamptz, pg_snapshot, uuid[], uuid),
  rollcall.recent_gap(interval),
  rollcall.signed_up_at(uuid[]),
  rollcall.slice(),
  rollcall.catalog_state(),
  rollcall.catalog_is_sound(),
  rollcall.keep_sound_catalog(text),
  rollcall.schema_version();
do $$
declare
  check_of_the_doctor regprocedure;
begin
  for check_of_the_doctor in
    select p.oid::regprocedure from pg_catalog.pg_proc p
    where p.pronamespace = to_regnamespace('rollcall') and p.proname like 'doctor\_%'
  loop
    execute format('drop function %s', check_of_the_doctor);
  end loop;
end
$$;
drop function if exists
  rollcall.probe_signup(text),
  rollcall.probe_kinds(),
  rollcall.beyond_rollback(),
  rollcall.insert_record_sql(regclass, jsonb),
  rollcall.doctor(boolean),
  rollcall.audit_log_finding(text),
  rollcall.sees_everything(),
  rollcall.signup_triggers(),
  rollcall.path_of(text[]),
  rollcall.names_in_code(text, name[]),
  rollcall.sample_profiles(),
  rollcall.sample_users(),
  rollcall.auth_role();
drop type if exists rollcall.doctor_finding;
drop view if exists rollcall.audit_signup;
drop view if exists rollcall.audit_event;
drop view if exists rollcall.audit_entry;

do $$
begin
  if to_regnamespace('rollcall') is not null then
    revoke usage on schema rollcall from service_role;
  end if;
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    -- and whatever came later, which is built on them
    delete from supabase_migrations.schema_migrations
    where version in ('20261122000600', '20261122000700', '20261124000100', '20261124000200', '20261124000300', '20261124000400', '20261124000500', '20261124000600', '20261124000610', '20261124000700', '20261125000100', '20261125000200', '20261125000300', '20261125000400');
  end if;
end
$$;
