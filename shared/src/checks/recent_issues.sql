-- $1 window in minutes, $2 how many to list, $3 whether to read the audit log. The counts are of all; without any issue,
-- one row of nulls comes back.
with issue as materialized (
  select i.user_id, i.action, i.created_at, i.has_auth_user, i.has_profile
  from rollcall.recent_issues(make_interval(mins => $1), $3) i
)
select
  now() as check_time,
  (select h.signups from rollcall.recent_health(make_interval(mins => $1)) h) as signups,
  counts.missing,
  counts.vanished,
  listed.user_id,
  listed.action,
  listed.created_at,
  round(extract(epoch from now() - listed.created_at) / 60, 2)::float8 as minutes_since_signup,
  listed.has_auth_user,
  listed.has_profile
from (
  select
    count(*) filter (where issue.has_auth_user) as missing,
    count(*) filter (where not issue.has_auth_user) as vanished
  from issue
) counts
left join (select * from issue order by issue.created_at desc limit $2) listed on true
order by listed.created_at desc
