-- "exception when others then return new" lets the signup through, which may be right, and forgets why there is no profile.
select
  case when f.missing > 0 then 'warning' else 'info' end,
  format('the function %s hides every error', e.function_name),
  'When the profile cannot be made, the user signs up without one, and neither Supabase Auth''s logs nor an event says why.',
  array['exception when others, and no error is raised again'] || min(e.way),
  'Keep the error''s SQLSTATE where you look for it.'
    || case when f.missing > 0 then ' What it hides now, for one who is missing: rollcall explain USER; ids: rollcall mismatches.' else '' end,
  null
from examined e
cross join facts f
join maker m on m.trigger_id = e.trigger_id and m.makes_profiles
cross join lateral (select substring(e.text from '(?i)\mexception\s+when\s+others\M.*') as handler) h
where h.handler !~* '\mraise\s*(;|exception\M|sqlstate\M|using\M|''''|[a-z_]+\s*(;|using\M))|\minsert\s+into\M|\mperform\M|\mrollcall\M'
group by e.function_id, e.function_name, f.missing
