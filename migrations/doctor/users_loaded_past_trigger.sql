-- Supabase Auth makes one user in a transaction. Users without a profile who were written in one go came by SQL, past the
-- triggers: a restore sets session_replication_role to replica, as Supabase's guide says.
create or replace function rollcall.doctor_users_loaded_past_trigger() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  loaded record;
begin
  if not rollcall.sees_everything() then
    return;
  end if;
  with missing as materialized (
    select e._user_id from rollcall.expected_profile e
    where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
  )
  select count(*) as loads, sum(b.users)::bigint as users into loaded
  from (
    select count(*) as users
    from missing m
    join auth.users u on u.id = m._user_id
    group by u.xmin::text
    having count(*) >= 10
  ) b;
  if loaded.loads > 0 then
    return next row(
      'warning',
      format('%s users without a profile were written together, not one by one as they sign up', loaded.users),
      'They came by a restore, an import or a script, past the trigger; so will the next ones who come that way.',
      array[format('users: %s', loaded.users), format('transactions: %s', loaded.loads)],
      'Repair them: rollcall backfill --apply. After the next restore or import, do so again.',
      'select public.backfill_all_missing_profiles(1000, false);'
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_users_loaded_past_trigger() is
  'Check users_loaded_past_trigger: ten or more users without a profile who were written by one transaction.';
