-- $1 window in minutes, $2 how many to list, $3 whether a schedule asks: then the window reaches back to the check before, and
-- the audit log is not read, since it has no index. The counts are of all; without any issue, one row of nulls comes back.
with looked_at (minutes, signups, missing) as materialized (
  select w.minutes, h.signups, h.missing
  from (
    select case when $3 then ceil(extract(epoch from rollcall.recent_window(make_interval(mins => $1))) / 60)::int4 else $1 end as minutes
  ) w
  cross join rollcall.recent_health(make_interval(mins => w.minutes)) h
),
issue as materialized (
  select i.user_id, i.action, i.created_at, i.has_auth_user, i.has_profile
  from looked_at w cross join rollcall.recent_issues(make_interval(mins => w.minutes), not $3) i
  -- where nobody is missing, a schedule, which does not read the log, has nothing to list
  where w.missing > 0 or not $3
)
select
  now() as check_time,
  w.minutes,
  w.signups,
  counts.missing,
  counts.vanished,
  listed.user_id,
  listed.action,
  listed.created_at,
  round(extract(epoch from now() - listed.created_at) / 60, 2)::float8 as minutes_since_signup,
  listed.has_auth_user,
  listed.has_profile
from looked_at w
cross join (
  select
    count(*) filter (where issue.has_auth_user) as missing,
    count(*) filter (where not issue.has_auth_user) as vanished
  from issue
) counts
left join (select * from issue order by issue.created_at desc limit $2) listed on true
order by listed.created_at desc
