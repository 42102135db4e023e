-- Two triggers make the same profile; the later one inserts plainly, fails on the first one's row, and takes the signup
-- with it.
select
  'critical',
  format('the trigger %s makes the profile once more and fails on the one that %s made, %s', later.name, earlier.name, later.consequence),
  later.meaning || ' The error is 23505 (unique violation).',
  array[
    format('trigger %s runs %s', earlier.name, earlier.signature),
    format('trigger %s runs %s, which inserts without on conflict', later.name, later.signature)
  ],
  case when earlier.is_ours
    then 'The application makes the profiles; take Rollcall''s trigger off: rollcall trigger remove --apply.'
    else 'Drop one of them, or let the later one insert with on conflict do nothing.'
  end,
  null
from (
  -- its own insert, and nothing that would spare or catch it
  select distinct on (t.trigger_id) t.trigger_id, t.name, t.position, t.signature, e.consequence, e.meaning
  from path_trigger t
  cross join place l
  join examined e on e.trigger_id = t.trigger_id and e.via is null and e.what = 'fails'
  join named n on n.function_id = e.function_id and n.path = e.path and n.command = 'insert into' and n.object = l.target
  where t.is_enabled and not (t.is_conditional and t.is_on_insert)
    and e.text !~* '\mon\s+conflict\M|\mexception\s+when\M|\mexists\M|\mif\M|\mcase\M|\mwhere\M'
) later
join lateral (
  select t.name, t.is_ours, t.signature
  from path_trigger t
  join maker m on m.trigger_id = t.trigger_id and m.makes_profiles
  where t.is_enabled and not t.is_conditional and t.position < later.position
    -- what it does under a condition may be none of the later one's users
    and not exists (select from examined e where e.trigger_id = t.trigger_id and e.via is null and e.text ~* '\mif\M|\mcase\M|\mwhere\M')
  order by t.position
  limit 1
) earlier on true
