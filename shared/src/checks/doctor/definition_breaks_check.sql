-- A check constraint of the profile table refuses what the definition gives for some kind of user: an empty text, a phone
-- number without a plus sign.
select
  case
    when array_agg(p.kind) = '{odd_metadata}' then case when s.is_by_definition then 'warning' else 'info' end
    when s.is_by_definition then 'critical' else 'warning'
  end,
  format(
    case when s.is_by_definition then 'users of some kinds get no profile' else 'a repair by the definition cannot make the profiles of some kinds of users' end
    || ': the check constraint %s refuses what it gives', c.name),
  case when s.is_by_definition then 'Without a profile stay: ' else 'Signups go on as they do. A repair fails for: ' end || string_agg(p.kind, ', ') || '.',
  array[format('constraint %s on %s', c.name, f.target_name)],
  'Give another value in the definition that the constraint allows (nullif for an empty text).',
  null
from sample p
cross join facts f
cross join trigger_state s
cross join unnest(p.refused_by) c (name)
where p.failed_with is null
group by c.name, f.target_name, s.is_by_definition
