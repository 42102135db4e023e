-- A column of the profile table must have a value, has no default, and the definition does not give one.
create or replace function rollcall.doctor_unfilled_columns() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
    case when rollcall.signup_trigger_state() = 'foreign' then 'a repair would make no profile' else 'the next signup gets no profile' end
      || ': the table requires values that rollcall.expected_profile does not give: ' || string_agg(c, ', '),
    'Every profile that Rollcall makes, at signup or by a repair, fails on these columns.',
    array_agg(format('column %s is not null and has no default', c)),
    'Give these columns a default, or add them by name to the view rollcall.expected_profile.',
    string_agg(format('alter table %s alter column %I drop not null;', rollcall.profile_table(), c), ' ')
  from rollcall.unfilled_columns() c
  having count(*) > 0
$$;
comment on function rollcall.doctor_unfilled_columns() is
  'Check unfilled_columns: the definition leaves a column empty that must have a value.';
