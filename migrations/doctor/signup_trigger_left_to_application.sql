-- Something of the application makes the profile after the signup's own insert: at commit, with the identity, at the
-- confirmation. Rollcall stays out of its way, and cannot tell whether it comes.
create or replace function rollcall.doctor_signup_trigger_left_to_application() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'unknown',
    'new profiles are left to a trigger of the application that comes later; whether it makes them is not known',
    'Who never comes that far (who does not confirm, is made by an administrator, stays anonymous) may have no profile.',
    array(
      select format('trigger %s on %s runs %s', g.tgname, g.tgrelid::regclass, g.tgfoid::regprocedure)
      from pg_catalog.pg_trigger g
      join pg_catalog.pg_class c on c.oid = g.tgrelid
      join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where c.relnamespace = 'auth'::regnamespace and not g.tgisinternal and g.tgtype::integer & (4 | 16) <> 0
        and (g.tgrelid <> 'auth.users'::regclass or g.tgtype::integer & 71 <> 5 or g.tgdeferrable)
        and rollcall.may_make_profiles(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc))
      order by 1
    ),
    'To let Rollcall make them, drop that trigger and run the migrations again, which name it: rollcall migrate --again.',
    null
  where rollcall.signup_trigger_state() = 'left_to_application'
$$;
comment on function rollcall.doctor_signup_trigger_left_to_application() is
  'Check signup_trigger_left_to_application: profiles come from a later trigger of the application.';
