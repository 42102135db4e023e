-- One row a line of the proof: what was checked, how it went, how many rows break it; and how many profiles there are where
-- the definition expects nobody to have one.
select now() as check_time, v.check_name, v.status, v.count, v.details, u.unexpected, u.oldest, u.newest
from (
  select
    d.mismatches as emails, d.oldest, d.newest, c.missing, c.orphaned,
    case when c.expected = 0 and c.profiles > 0 and c.users > c.soft_deleted then c.profiles end as unexpected
  from rollcall.user_counts() c, rollcall.email_drift() d
) u
cross join lateral (
  values
    ('Auth users without profiles', case when u.missing = 0 then 'PASS' else 'FAIL' end, u.missing, u.missing || ' users missing profiles'),
    ('Profiles without auth users', case when u.orphaned = 0 then 'PASS' else 'WARNING' end, u.orphaned, u.orphaned || ' profiles orphaned'),
    ('Email consistency', case when coalesce(u.emails, 0) = 0 then 'PASS' else 'WARNING' end, coalesce(u.emails, 0),
      coalesce(u.emails || ' mismatched emails' || coalesce(', at least since ' || to_char(u.oldest at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ''),
        'not applicable: the profiles have no e-mail'))
) v (check_name, status, count, details)
