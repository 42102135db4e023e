-- A week of hourly checks: days and nights, a few hours in which nobody looked, an earlier fault, and the present one.
insert into rollcall.check_run (check_name, checked_at, verdict, finding_ids, counts)
select
  'health',
  c.checked_at,
  case when c.missing > 0 then 'inconsistent' else 'consistent' end,
  case when c.missing > 0 then array['missing_profiles'] else '{}' end,
  jsonb_build_object(
    'recent_signups_count', c.signups,
    'signups_missing_profiles', c.missing,
    'health_percentage', round(100.0 * (c.signups - c.missing) / greatest(c.signups, 1), 2),
    'expected', 1000 + 167 - c.ago,
    'missing', c.missing
  )
from (
  select
    now() - make_interval(hours => h.ago) as checked_at,
    h.ago,
    s.signups,
    case when h.ago between 60 and 63 then s.signups / 2 when h.ago < 3 then greatest(s.signups / 3, 1) else 0 end as missing
  from generate_series(0, 167) h (ago)
  cross join lateral (select greatest(14 + 12 * sin(h.ago * pi() / 12) + 3 * sin(h.ago * 1.7), 2)::int as signups) s
  where h.ago not between 100 and 104
) c
