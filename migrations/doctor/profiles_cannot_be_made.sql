-- The statement that makes profiles, for signup and repair, cannot even be planned: the profile table was renamed, moved
-- or changed, a right is gone, or functions are missing.
create or replace function rollcall.doctor_profiles_cannot_be_made() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' as $$
declare
  reason constant text := rollcall.profile_fault();
begin
  if reason is null then
    return;
  end if;
  return next row(
    'critical',
    'neither signup nor repair can make a profile: ' || reason,
    'Where Rollcall''s trigger makes the profiles, everyone who signs up from now on is without one.',
    array[
      format('profile table: %s', coalesce(rollcall.profile_table()::text, 'none')),
      format('key: %s', coalesce(rollcall.profile_key()::text, 'none'))
    ],
    'Where the profile table changed, edit the view rollcall.expected_profile to fit it and run: select rollcall.adopt_profile_table(). Where functions are missing: rollcall migrate --again.',
    null
  )::rollcall.doctor_finding;
end
$$;
comment on function rollcall.doctor_profiles_cannot_be_made() is
  'Check profiles_cannot_be_made: the definition does not fit the profile table, or functions are missing.';
