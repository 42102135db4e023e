-- The profile holds on to its user: deleting a user fails, from the dashboard and from the API.
select
  'info',
  format('users with a profile cannot be deleted: the reference of %s to auth.users does not cascade', l.target_written),
  'Deleting a user fails with "Database error deleting user", also for users who asked to be forgotten. Signups go on.',
  array[format('constraint %I on %s: %s', k.conname, l.target_written, pg_catalog.pg_get_constraintdef(k.oid))],
  'If users are to be deleted, let the reference delete the profile with them (on delete cascade), or delete the profile first.',
  null
from place l
join pg_catalog.pg_constraint k on k.conrelid = l.target and k.contype = 'f' and k.conkey = array[l.key_number] and k.confrelid = l.users
join pg_catalog.pg_attribute a on a.attrelid = l.target and a.attnum = l.key_number
where k.confdeltype <> 'c' and not (k.confdeltype in ('n', 'd') and not a.attnotnull)
  -- the application may delete or move the profile first
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = l.users and not g.tgisinternal and g.tgtype::integer & 10 = 10)
