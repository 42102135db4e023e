-- The profile holds on to its user: deleting a user fails, from the dashboard and from the API.
create or replace function rollcall.doctor_profile_key_without_cascade() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('users with a profile cannot be deleted: the reference of %s to auth.users does not cascade', f.conrelid::regclass),
    'Deleting a user fails with "Database error deleting user", also for a user who asked to be forgotten. Signups go on.',
    array[format('constraint %I on %s: %s', f.conname, f.conrelid::regclass, pg_catalog.pg_get_constraintdef(f.oid))],
    'Let the reference delete the profile with its user.',
    format(
      'alter table %1$s drop constraint %2$I; alter table %1$s add constraint %2$I foreign key (%3$I) references auth.users (id) on delete cascade not valid;',
      f.conrelid::regclass, f.conname, rollcall.profile_key()
    )
  from pg_catalog.pg_constraint f
  join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attname = rollcall.profile_key() and f.conkey = array[a.attnum]
  where f.conrelid = rollcall.profile_table() and f.contype = 'f' and f.confrelid = 'auth.users'::regclass
    and f.confdeltype <> 'c'
    -- the application may delete or move the profile first
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = 'auth.users'::regclass and not g.tgisinternal and g.tgtype::integer & 10 = 10)
$$;
comment on function rollcall.doctor_profile_key_without_cascade() is
  'Check profile_key_without_cascade: the key references auth.users without on delete cascade.';
