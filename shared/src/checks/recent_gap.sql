-- $1 window in minutes, $2 how many to list. As recent_issues.sql, without a look at the audit log.
with issue as materialized (
  select g.user_id, g.created_at from rollcall.recent_gap(make_interval(mins => $1)) g
)
select
  now() as check_time,
  counts.missing,
  listed.user_id,
  listed.created_at,
  round(extract(epoch from now() - listed.created_at) / 60, 2)::float8 as minutes_since_signup
from (select count(*) as missing from issue) counts
left join (select * from issue order by issue.created_at desc limit $2) listed on true
order by listed.created_at desc
