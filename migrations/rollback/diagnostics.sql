-- Takes the diagnostics back: the functions and views that count, list, try signups and alert. The definition, the repair, the
-- signup trigger, guards, events and runs stay, and so does every profile. The repair then works through public.backfill_*
-- alone: the program and the Lambda functions need the diagnostics. `rollcall migrate` brings them back.
--
-- Refuses where something of the application's uses what would be removed; then nothing was removed. Says what it removed and
-- left, in notices that begin with "rollcall: ".
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

do $$
declare
  diagnostics constant text[] := array[
    -- checks
    'audit_counts', 'audit_events', 'audit_log_state', 'check_history', 'email_drift', 'in_grace', 'mismatches',
    'recent_errors', 'recent_health', 'recent_issues', 'recent_window', 'record_check', 'user_counts', 'user_events', 'user_record',
    -- probe
    'probe_signup', 'sample_users', 'sign_up', 'usual_form', 'writes',
    -- doctor
    'newest_with_profile', 'row_facts', 'user_facts',
    -- alerts
    'acknowledge_message', 'incident_begin', 'incident_record', 'incidents', 'lease_message',
    -- public API
    'auth_profile_mismatch', 'check_recent_signup_issues', 'diagnose_auth_profile_consistency', 'get_auth_profile_mismatches',
    'get_user_signup_events', 'list_signups', 'list_users', 'monitor_signup_health', 'signup_audit_summary', 'verify_profile_completeness',
    'schema_version'
  ];
  found record;
  published text[] := '{}';
  functions integer := 0;
begin
  perform set_config('search_path', '', true);
  if to_regnamespace('rollcall') is null then
    raise notice 'rollcall: nothing to remove: Rollcall is not installed in this database';
    return;
  end if;
  perform set_config('lock_timeout', '30s', true);
  perform pg_advisory_xact_lock(hashtext('rollcall.install'));
  perform set_config('lock_timeout', '2s', true);
  for found in
    -- views first: they call functions
    select 'view' as kind, c.oid::regclass::text as name, true as is_published
    from pg_catalog.pg_class c
    where c.relname = any (diagnostics) and c.relkind = 'v' and c.relnamespace = to_regnamespace('public')
      and obj_description(c.oid, 'pg_class') like 'Rollcall: %'
    union all
    select 'function', p.oid::regprocedure::text, p.pronamespace <> to_regnamespace('rollcall')
    from pg_catalog.pg_proc p
    where p.proname = any (diagnostics)
      and (
        p.pronamespace = to_regnamespace('rollcall')
        or (p.pronamespace = to_regnamespace('public') and obj_description(p.oid, 'pg_proc') like 'Rollcall: %')
      )
    order by 1 desc, 2
  loop
    begin
      execute format('drop %s %s', found.kind, found.name);
    exception when dependent_objects_still_exist then
      raise exception 'rollcall: the application uses the % %', found.kind, found.name
        using errcode = 'dependent_objects_still_exist', hint = 'Drop or change what uses it first; nothing was removed.';
    end;
    if found.is_published then
      published := published || found.name;
    else
      functions := functions + 1;
    end if;
  end loop;
  if to_regclass('rollcall.migration') is not null then
    delete from rollcall.migration m
    where m.name in ('rollcall_checks', 'rollcall_probe', 'rollcall_alerts', 'rollcall_public_api', 'rollcall_rights');
  end if;
  if functions = 0 and published = '{}' then
    raise notice 'rollcall: nothing to remove: the diagnostics are not installed';
    return;
  end if;
  if published <> '{}' then
    raise notice 'rollcall: removed %', array_to_string(published, ', ');
  end if;
  raise notice 'rollcall: removed % functions of the schema rollcall: checks, probe, doctor, alerts', functions;
  raise notice 'rollcall: left the definition, the repair, the signup trigger, guards, events, runs and roles; %',
    'for reports again: rollcall migrate';
end
$$;
