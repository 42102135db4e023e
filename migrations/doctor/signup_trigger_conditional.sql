-- A WHEN clause, or one on a column, leaves out users without a word. Who must have a profile is said by
-- rollcall.expected_profile; where Rollcall's own trigger has a condition, the two disagree sooner or later.
create or replace function rollcall.doctor_signup_trigger_conditional() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    case when t.is_ours then 'critical' else 'warning' end,
    format('the trigger %s makes profiles under a condition only', t.trigger_name),
    'Whoever does not fulfil the condition signs up without a profile, and nobody sees an error.',
    array[t.definition],
    'Drop the condition; who needs no profile is said by the where of rollcall.expected_profile. Then repair who was missed: rollcall backfill --apply.',
    format('create or replace trigger %I after insert on auth.users for each row execute function %s;', t.trigger_name, t.function_name)
  from rollcall.signup_triggers() t
  where t.makes_profiles and t.is_enabled and t.is_conditional
    and not exists (
      select from rollcall.signup_triggers() other where other.makes_profiles and other.is_enabled and not other.is_conditional)
$$;
comment on function rollcall.doctor_signup_trigger_conditional() is
  'Check signup_trigger_conditional: the trigger that makes profiles has a WHEN clause.';
