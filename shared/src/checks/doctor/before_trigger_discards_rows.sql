-- A trigger before the insert that returns null discards the row without an error: on auth.users the user, on the profile
-- table the profile. For some rows it may be a gate, which is nobody's to open.
select
  case when not b.keeps_some then 'critical' when b.is_on_profile then 'warning' else 'info' end,
  format('the trigger %s on %s discards %s', b.name, b.relation, case when b.keeps_some then 'some new rows' else 'every new row' end),
  case when b.is_on_profile
    then 'The users whose row it discards are without a profile, and no repair can help.'
    else 'The users whose row it discards cannot sign up: Supabase Auth fails on a user that is not there.'
  end,
  array[format('function %s returns null', b.function_name)],
  case when b.keeps_some
    then 'If it keeps out whom it should, there is nothing to do; an error with a reason would be a better answer than none.'
    else 'A function of a trigger before the insert must return new where the row is to be kept.'
  end,
  null
from (
  select distinct
    t.tgname as name, t.tgrelid::regclass::text as relation, e.is_on_profile, e.function_name,
    e.text ~* '\mreturn\s+\(?\s*(?!null\M)\w' as keeps_some
  from examined e
  cross join place l
  join pg_catalog.pg_trigger t on t.oid = coalesce(e.via, e.trigger_id) and t.tgfoid = e.function_id and t.tgrelid in (l.users, l.target)
  where t.tgtype::integer & 7 = 7  -- for each row, before, insert
    and e.text ~* '\mreturn\s+null\M'
    -- "if tg_op = 'DELETE' then return null" is none of an insert's
    and (t.tgtype::integer & 24 = 0 or e.text !~* '\mtg_op\M')
) b
