-- The owner of Rollcall's functions must see every row, else hidden rows would read as none.
select
  'unknown',
  coalesce(f.reason, format('users and profiles cannot be compared (SQLSTATE %s)', f.unreadable)),
  'How many users have no profile is not known, and the checks that read users or profiles say nothing.',
  array[format('role %s', pg_catalog.pg_get_userbyid(l.owner)), format('SQLSTATE %s', f.unreadable)],
  coalesce(f.hint, 'Check the definition: rollcall definition check.'),
  null
from facts f cross join place l
where f.unreadable is not null and f.fault is null
