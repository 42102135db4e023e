-- The trigger is there and switched off, or fires only under replication. Whoever looks for its name finds it.
create or replace function rollcall.doctor_signup_trigger_disabled() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    'the trigger for signups is switched off, so the next signup gets no profile',
    'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.',
    array_agg(format('trigger %s runs %s', t.trigger_name, t.function_name) order by t.trigger_name),
    'Run the migrations again: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.',
    -- made anew, it is switched on; "enable trigger" is for the owner of auth.users alone
    (array_agg(regexp_replace(t.definition, '^CREATE TRIGGER', 'create or replace trigger') || ';' order by not t.is_ours, t.trigger_name))[1]
  from rollcall.signup_triggers() t
  where t.makes_profiles
  having bool_or(not t.is_enabled) and not bool_or(t.is_enabled) and rollcall.signup_trigger_state() <> 'left_to_application'
$$;
comment on function rollcall.doctor_signup_trigger_disabled() is
  'Check signup_trigger_disabled: the trigger that makes profiles does not fire.';
