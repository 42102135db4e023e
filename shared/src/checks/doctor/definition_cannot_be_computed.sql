-- The definition casts what a user wrote: it fails on what does not fit the type (an old label of an enum, a text that is
-- no uuid or is too long).
select
  case when array_agg(p.kind) = '{odd_metadata}' then s.severity_of_odd else s.severity end,
  s.some_fail || ': it cannot be computed for them',
  s.who_fails || string_agg(p.kind, ', ') || '. Of odd_metadata: users whose app sends what the definition does not expect.',
  array_agg(distinct format('SQLSTATE %s', p.failed_with)),
  'Compare what the user wrote with a list of allowed values, or cut it (left), before the definition casts it.',
  null
from sample p
cross join trigger_state s
where p.failed_with is not null
group by s.severity, s.severity_of_odd, s.some_fail, s.who_fails
