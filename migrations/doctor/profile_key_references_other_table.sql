-- The profile's key references a table of users that is not auth.users: one from before Supabase Auth, in which a new user
-- has no row.
create or replace function rollcall.doctor_profile_key_references_other_table() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the next signup gets no profile: %s.%I must be in %s, where a new user is not', f.conrelid::regclass, rollcall.profile_key(), f.confrelid::regclass),
    'Every profile that is made for a new user fails on this reference (23503).',
    array[format('constraint %I on %s: %s', f.conname, f.conrelid::regclass, pg_catalog.pg_get_constraintdef(f.oid))],
    'Let the key reference auth.users (id) on delete cascade.',
    format(
      'alter table %1$s drop constraint %2$I; alter table %1$s add constraint %2$I foreign key (%3$I) references auth.users (id) on delete cascade not valid;',
      f.conrelid::regclass, f.conname, rollcall.profile_key()
    )
  from pg_catalog.pg_constraint f
  join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attname = rollcall.profile_key() and f.conkey = array[a.attnum]
  where f.conrelid = rollcall.profile_table() and f.contype = 'f' and f.confrelid <> 'auth.users'::regclass
    -- a trigger that gives the user a row there first
    and not exists (
      select from rollcall.signup_triggers() t cross join lateral rollcall.names_in_code(t.code, t.path) w
      where t.is_enabled and w.kind = 'relation' and w.command = 'insert into' and w.relation = f.confrelid)
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = f.conrelid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
$$;
comment on function rollcall.doctor_profile_key_references_other_table() is
  'Check profile_key_references_other_table: the key of the profile table references another table than auth.users.';
