-- The application makes its profiles itself, which is its right. The checks of signup_function_* read what its function
-- says; whether it does it, only a signup shows.
create or replace function rollcall.doctor_signup_trigger_foreign() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'info',
    'signups run another function than Rollcall''s to make the profile',
    'Its errors reach the user who signs up, and leave no event behind. The doctor read it; what it found wrong is said beside this.',
    array_agg(format('trigger %s runs %s', t.trigger_name, t.function_name) order by t.trigger_name),
    'Try it: rollcall probe. To put Rollcall''s in its place, which leaves an existing profile alone: rollcall migrate --again.',
    null
  from rollcall.signup_triggers() t
  where t.makes_profiles and t.is_enabled
  having count(*) > 0 and not bool_or(t.is_ours)
$$;
comment on function rollcall.doctor_signup_trigger_foreign() is
  'Check signup_trigger_foreign: only functions of the application make profiles.';
