-- The profile's key references a table of users that is not auth.users: one from before Supabase Auth, in which a new user
-- has no row.
select
  case when s.has_maker then 'critical' else 'warning' end,
  format('%s: %s.%I must be in %s, where a new user is not',
    case when s.has_maker then 'the next signup gets no profile' else 'a repair by the definition cannot make a profile' end,
    l.target_written, l.key_column, k.confrelid::regclass),
  'Every profile that is made for a new user fails on this reference. The error is 23503 (foreign key violation).',
  array[format('constraint %I on %s: %s', k.conname, l.target_written, pg_catalog.pg_get_constraintdef(k.oid))],
  'Let the key reference auth.users (id) on delete cascade instead, once all profiles have a user there. Or let the signup fill the other table first.',
  null
from place l
cross join trigger_state s
join pg_catalog.pg_constraint k on k.conrelid = l.target and k.contype = 'f' and k.conkey = array[l.key_number] and k.confrelid <> l.users
-- what gives the user a row there first
where not exists (
    select from examined e join named n on n.function_id = e.function_id and n.path = e.path
    where n.command = 'insert into' and n.meant = k.confrelid)
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = l.target and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
