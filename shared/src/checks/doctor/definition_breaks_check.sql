-- A check constraint of the profile table refuses what the definition gives for some kind of user: an empty text, a phone
-- number without a plus sign.
select
  case when array_agg(p.kind) = '{odd_metadata}' then s.severity_of_odd else s.severity end,
  format('%s: the check constraint %s refuses what it gives', s.some_fail, c.name),
  s.who_fails || string_agg(p.kind, ', ') || '.',
  array[format('constraint %s on %s', c.name, f.target_name)],
  'Give another value in the definition that the constraint allows (nullif for an empty text).',
  null
from sample p
cross join facts f
cross join trigger_state s
cross join unnest(p.refused_by) c (name)
where p.failed_with is null
group by c.name, f.target_name, s.severity, s.severity_of_odd, s.some_fail, s.who_fails
