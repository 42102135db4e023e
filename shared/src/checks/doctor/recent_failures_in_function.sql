-- What Rollcall's trigger and a guard caught, by the innermost function that the error came from.
select
  case when f.missing > 0 then 'critical' else 'warning' end,
  case when x.name = '' then format('the last %s failed to get a profile', v.signups)
    else format('the last %s failed to get a profile in the function %s', v.signups, x.name) end,
  'The signups went through, and their profile could not be made.',
  array['errors of the last 24 hours that no success came after'],
  'See them: rollcall diagnose. Fix what fails in the function.' || f.then_repair,
  null
from facts f
cross join lateral jsonb_each_text(f.failures) x (name, number)
cross join lateral (select case x.number when '1' then 'signup' else x.number || ' signups' end as signups) v
