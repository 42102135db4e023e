-- $1 users whom the ledger knows to be without a profile, $2 how many to list.
select
  s.user_id,
  s.created_at,
  round(extract(epoch from now() - s.created_at) / 60, 2)::float8 as minutes_since_signup
from rollcall.signed_up_at($1) s
-- "infinity" is a date for PostgreSQL, and none for anybody else
where isfinite(s.created_at)
order by s.created_at desc
limit $2
