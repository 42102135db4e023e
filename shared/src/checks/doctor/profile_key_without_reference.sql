-- Nothing ties a profile to its user: when the user is deleted, the profile stays, with its e-mail address.
select
  'info',
  format('profiles outlive their users: %s.%I does not reference auth.users', l.target_written, l.key_column),
  'When a user is deleted, the profile stays. It may hold what they asked to forget, and an e-mail address that they sign up with again.',
  array[format('column %I of %s has no foreign key', l.key_column, l.target_written)],
  'If profiles are to go with their users, let the key reference auth.users (id) on delete cascade. Profiles without a user are counted by rollcall verify.',
  null
from place l
join pg_catalog.pg_attribute a on a.attrelid = l.target and a.attnum = l.key_number
-- a text cannot reference a uuid
where a.atttypid = 'uuid'::pg_catalog.regtype
  and not exists (
    select from pg_catalog.pg_constraint k where k.conrelid = l.target and k.contype = 'f' and k.conkey = array[l.key_number])
  -- the application may delete or move the profile by a trigger
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = l.users and not g.tgisinternal and g.tgtype::integer & 8 = 8)
