-- $1 how many ranges
select p.from_user_id, p.missing
from rollcall.plan_ranges($1) p
order by p.from_user_id
