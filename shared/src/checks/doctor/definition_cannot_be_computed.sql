-- The definition casts what a user wrote: it fails on what does not fit the type (an old label of an enum, a text that is
-- no uuid or is too long).
select
  case
    when array_agg(p.kind) = '{odd_metadata}' then case when s.is_by_definition then 'warning' else 'info' end
    when s.is_by_definition then 'critical' else 'warning'
  end,
  case when s.is_by_definition then 'users of some kinds get no profile' else 'a repair by the definition cannot make the profiles of some kinds of users' end
    || ': it cannot be computed for them',
  case when s.is_by_definition then 'Without a profile stay: ' else 'Signups go on as they do. A repair fails for: ' end
    || string_agg(p.kind, ', ') || '. Of odd_metadata: users whose app sends what the definition does not expect.',
  array_agg(distinct format('SQLSTATE %s', p.failed_with)),
  'Compare what the user wrote with a list of allowed values, or cut it (left), before the definition casts it.',
  null
from sample p
cross join trigger_state s
where p.failed_with is not null
group by s.is_by_definition
