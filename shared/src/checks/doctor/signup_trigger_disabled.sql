-- The trigger is there and switched off, or fires only under replication. A search for its name finds it.
select
  case when s.state = 'disabled' then 'critical' else 'warning' end,
  case when s.state = 'disabled' then 'the trigger that makes profiles is switched off, so the next signup gets no profile'
    else 'a trigger that makes profiles is switched off, and another one makes them' end,
  case when s.state = 'disabled' then 'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.'
    else 'What else it did at a signup is not done any more.' end,
  array_agg(format('trigger %s on %s runs %s', t.name, t.relation_name, t.signature) order by t.position),
  -- "enable trigger" is for the owner of auth.users alone
  'Make the trigger anew, which switches it on.' || min(f.then_repair),
  (array_agg(
    regexp_replace(t.definition, '^CREATE TRIGGER', 'create or replace trigger') || ';' order by t.is_ours, t.position
  ) filter (where not t.is_constraint))[1]
from trigger_state s
cross join facts f
join path_trigger t on not t.is_enabled and not t.is_ours or s.state = 'disabled'
join maker m on m.trigger_id = t.trigger_id and m.makes_profiles
group by s.state
