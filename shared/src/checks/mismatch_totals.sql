-- How many users have no profile, and how many the list of mismatches has in all.
select
  count(*) filter (where m.status = 'auth_only') as missing,
  count(*) as total
from rollcall.mismatches() m
where m.status <> 'healthy'
