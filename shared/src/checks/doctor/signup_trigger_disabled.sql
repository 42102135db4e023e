-- The trigger is there and switched off, or fires only under replication. A search for its name finds it.
select
  'critical',
  'the trigger that makes profiles is switched off, so the next signup gets no profile',
  'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.',
  array_agg(format('trigger %s on %s runs %s', t.name, t.relation_name, t.signature) order by t.position),
  -- "enable trigger" is for the owner of auth.users alone
  'Make the trigger anew, which switches it on.' || min(f.then_repair),
  (array_agg(
    regexp_replace(t.definition, '^CREATE TRIGGER', 'create or replace trigger') || ';' order by t.is_ours, t.position
  ) filter (where not t.is_constraint))[1]
from trigger_state s
cross join facts f
join path_trigger t on s.state = 'disabled'
join maker m on m.trigger_id = t.trigger_id and m.makes_profiles
having count(*) > 0
