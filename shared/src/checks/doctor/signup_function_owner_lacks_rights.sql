-- A function that runs as its owner needs its owner's rights: the owner was changed, a table was made anew by another
-- role, or a right was revoked.
select
  min(k.severity),
  format('the function %s runs as %s, which lacks rights to %s, %s',
    k.function_name, k.runs_as_name, string_agg(distinct k.thing, ', '), min(k.consequence)),
  min(k.meaning) || ' The error is 42501 (permission denied).',
  array_agg(distinct format('%s lacks %s on %s', k.runs_as_name, k.needed, k.thing)) || min(k.way),
  case when bool_or(k.needed = 'ownership')
    then 'Only its owner may refresh a materialized view: give it to the role that the function runs as, or let a schedule refresh it.'
    else 'Grant the right to the role that the function runs as, or give the function to a role that has it.'
  end,
  case when bool_and(k.grant_sql is not null) then string_agg(distinct k.grant_sql, ' ') end
from lacking k
cross join place l
where k.is_definer or k.runs_as <> l.auth_role
group by k.function_id, k.function_name, k.runs_as_name
