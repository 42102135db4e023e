-- Nothing ties a profile to its user: when the user is deleted, the profile stays, with its e-mail address.
create or replace function rollcall.doctor_profile_key_without_reference() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('profiles outlive their users: %s.%I does not reference auth.users', a.attrelid::regclass, a.attname),
    'Of a user who is deleted, the profile stays. It may hold what he asked to forget, and an e-mail address that he signs up with again.',
    array[format('column %I of %s has no foreign key', a.attname, a.attrelid::regclass)],
    'Let the key reference auth.users (id) on delete cascade; not valid leaves the rows alone that are there. Profiles without a user are counted by rollcall verify.',
    format('alter table %s add foreign key (%I) references auth.users (id) on delete cascade not valid;', a.attrelid::regclass, a.attname)
  from pg_catalog.pg_attribute a
  where a.attrelid = rollcall.profile_table() and a.attname = rollcall.profile_key()
    -- a text cannot reference a uuid
    and a.atttypid = 'uuid'::regtype
    and not exists (
      select from pg_catalog.pg_constraint f where f.conrelid = a.attrelid and f.contype = 'f' and f.conkey = array[a.attnum])
    -- the application may delete or move the profile by a trigger
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = 'auth.users'::regclass and not g.tgisinternal and g.tgtype::integer & 8 = 8)
$$;
comment on function rollcall.doctor_profile_key_without_reference() is
  'Check profile_key_without_reference: the key of the profile table has no foreign key.';
