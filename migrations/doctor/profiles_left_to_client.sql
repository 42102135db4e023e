-- The app makes the profile itself, from the browser. Row level security lets it only once the user is signed in; who has
-- to confirm an address first is not.
create or replace function rollcall.doctor_profiles_left_to_client() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  target constant regclass := rollcall.profile_table();
  unconfirmed bigint;
begin
  if exists (select from rollcall.signup_triggers() t where t.makes_profiles and t.is_enabled)
    or rollcall.signup_trigger_state() = 'left_to_application'
    or not exists (select from pg_catalog.pg_class c where c.oid = target and c.relrowsecurity) then
    return;
  end if;
  if not rollcall.sees_everything() then
    return;
  end if;
  select count(*) into unconfirmed
  from rollcall.expected_profile e
  join auth.users u on u.id = e._user_id
  where u.confirmed_at is null and not u.is_anonymous
    and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id);
  if unconfirmed > 0 then
    return next row(
      'warning',
      format('%s who did not confirm yet without a profile, which the app alone could make', case unconfirmed when 1 then '1 user is' else unconfirmed || ' users are' end),
      'Before the confirmation there is no session, so row level security refuses what the app inserts, and the app may not notice.',
      array[format('users: %s', unconfirmed), format('row level security is on for %s', target)],
      'Let a trigger make the profile at signup: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.',
      'create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.on_signup();'
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_profiles_left_to_client() is
  'Check profiles_left_to_client: no trigger makes profiles, and unconfirmed users, who have no session, are without one.';
