-- Where anonymous users need no profile, they need one from the moment they give an e-mail address: an update, which
-- triggers on insert do not see.
create or replace function rollcall.doctor_anonymous_upgrade_unnoticed() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' set row_security = off as $$
begin
  if not rollcall.sees_everything() then
    return;
  end if;
  if not exists (select from auth.users u where u.is_anonymous)
    or not exists (select from rollcall.sample_profiles() s where s.kind = 'anonymous' and not s.is_expected)
    or exists (
      select from pg_catalog.pg_trigger g
      join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where g.tgrelid in (to_regclass('auth.users'), to_regclass('auth.identities')) and not g.tgisinternal and g.tgenabled in ('O', 'A')
        and (g.tgtype::integer & 16 = 16 or g.tgrelid = to_regclass('auth.identities'))
        and rollcall.may_make_profiles(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc))
    ) then
    return;
  end if;
  return next row(
    'warning',
    'an anonymous user who becomes a real one gets no profile by himself',
    'Anonymous users need no profile, by rollcall.expected_profile. When one gives an e-mail address or a phone number, he needs one, and the trigger for signups does not run again.',
    array['anonymous users are there', 'no trigger on update of auth.users makes profiles'],
    'Let the upgrade make the profile. Until then the repair does: rollcall backfill --apply.',
    'create or replace trigger rollcall_on_anonymous_upgrade after update of is_anonymous on auth.users for each row'
    ' when (old.is_anonymous and not new.is_anonymous) execute function rollcall.on_signup();'
  )::rollcall.doctor_finding;
end
$$;
comment on function rollcall.doctor_anonymous_upgrade_unnoticed() is
  'Check anonymous_upgrade_unnoticed: anonymous users need no profile, and nothing makes one when they become real ones.';
