-- Something that Rollcall's migrations make is gone, or was never made: a migration that broke off, an object that was
-- dropped.
create or replace function rollcall.doctor_migrations_incomplete() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    'objects that Rollcall''s migrations make are missing: ' || string_agg(needed.name, ', '),
    'What people and programs call fails, and a repair may fail with it. Signups go on.',
    array_agg(format('%s is missing', needed.name)),
    'Run the migrations again: rollcall migrate --again.',
    null
  from (
    select f as name, to_regprocedure(f)::oid as id
    from unnest(array[
      'public.diagnose_auth_profile_consistency()', 'public.get_auth_profile_mismatches(integer)', 'public.check_recent_signup_issues()',
      'public.get_user_signup_events(uuid)', 'public.monitor_signup_health()', 'public.verify_profile_completeness()',
      'public.backfill_user_profile(uuid, text, text)', 'public.backfill_all_missing_profiles(integer, boolean)',
      'public.ensure_profile_exists(uuid, text, text, text, text)', 'rollcall.on_signup()', 'rollcall.leave_to_later_trigger()',
      'rollcall.repair_users(uuid[], text, jsonb)', 'rollcall.preview_users(uuid[], jsonb)',
      'rollcall.repair_batch(uuid, integer, timestamp with time zone, boolean, text, jsonb)', 'rollcall.mismatches()', 'rollcall.signup_summary()'
    ]) f
    union all
    select r, to_regclass(r)::oid
    from unnest(array[
      'public.user_events', 'public.signup_audit_summary', 'public.auth_profile_mismatch', 'rollcall.repair_failure', 'rollcall.displaced',
      'rollcall.audit_event', 'rollcall.audit_signup'
    ]) r
  ) needed
  where needed.id is null
  having count(*) > 0
$$;
comment on function rollcall.doctor_migrations_incomplete() is
  'Check migrations_incomplete: an object of Rollcall''s migrations is not there.';
