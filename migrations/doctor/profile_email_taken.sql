-- The profile table wants each e-mail address once, auth.users does not: users of single sign-on may share one, a profile
-- without a user keeps its own, and older rows differ in case.
create or replace function rollcall.doctor_profile_email_taken() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  target constant regclass := rollcall.profile_table();
  email_index record;
  taken bigint;
begin
  select x.indexrelid::regclass as index, c.relname as name, x.indexprs is not null as is_expression,
    exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype = 'u') as is_constraint
    into email_index
  from pg_catalog.pg_index x
  join pg_catalog.pg_class c on c.oid = x.indexrelid
  where x.indrelid = target and x.indisunique and x.indnkeyatts = 1
    and exists (select from rollcall.profile_columns() p where p.column_name = 'email' and p.target_type is not null)
    and pg_catalog.pg_get_indexdef(x.indexrelid, 1, false) ~ '^(lower\()?\(?email\M'
  order by x.indexprs is null
  limit 1;
  if email_index is null or not rollcall.sees_everything() then
    return;
  end if;
  execute
    'select count(*) from rollcall.expected_profile e'
    ' where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)'
    ' and exists (select from rollcall.actual_profile other where other._user_id is distinct from e._user_id'
    || case when email_index.is_expression then ' and lower(other.email) = lower(e.email::text))' else ' and other.email = e.email::text)' end
    into taken;
  if taken > 0 then
    return next row(
      'critical',
      format('%s without a profile, since another profile holds the same e-mail address', case taken when 1 then '1 user is' else taken || ' users are' end),
      'Users of single sign-on may share an address with others, and a profile whose user is gone keeps its own. These users stay without a profile, and no repair can help.',
      array[format('unique index %s', email_index.index), format('users: %s', taken)],
      'Decide what becomes of the other profiles (rollcall verify counts those without a user), or let addresses repeat: drop the unique index. Then repair: rollcall backfill --apply.',
      format(case when email_index.is_constraint then 'alter table %2$s drop constraint %3$I;' else 'drop index %1$s;' end, email_index.index, target, email_index.name)
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_profile_email_taken() is
  'Check profile_email_taken: users without a profile whose e-mail address another profile holds under a unique index.';
