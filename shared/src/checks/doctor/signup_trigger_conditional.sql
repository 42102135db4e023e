-- A condition leaves out users without a word. Who must have a profile is said by the definition: where Rollcall's own
-- trigger has a condition, the two disagree sooner or later. In the application's it may be meant.
select
  case when t.is_ours then 'critical' else 'info' end,
  format('the trigger %s makes profiles under a condition only', t.name),
  'Users who do not fulfil the condition sign up without a profile, and nobody sees an error.',
  array[t.definition],
  case when t.is_ours
    then 'Drop the condition; who needs no profile is said by the where of the definition: rollcall definition show.' || f.then_repair
    else 'Compare it with the where of the definition, which should leave out the same users: rollcall definition check.'
  end,
  case when t.is_ours
    then format('create or replace trigger %I after insert on auth.users for each row execute function %s;', t.name, t.signature) end
from path_trigger t
cross join facts f
join maker m on m.trigger_id = t.trigger_id and m.makes_profiles
where t.is_enabled and t.is_conditional and t.is_on_insert
  and not exists (
    select from path_trigger o join maker n on n.trigger_id = o.trigger_id
    where n.makes_profiles and o.is_enabled and not (o.is_conditional and o.is_on_insert))
