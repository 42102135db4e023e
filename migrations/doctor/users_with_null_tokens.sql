-- Supabase Auth reads its token columns as texts and fails on null. It never writes one; SQL scripts do.
create or replace function rollcall.doctor_users_with_null_tokens() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  columns constant name[] := array(
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = 'auth.users'::regclass and not a.attisdropped
      and a.attname in ('confirmation_token', 'recovery_token', 'email_change', 'email_change_token_new', 'email_change_token_current', 'phone_change', 'phone_change_token', 'reauthentication_token')
    order by a.attnum
  );
  is_null text;
  affected bigint;
begin
  if not rollcall.sees_everything() then
    return;
  end if;
  select string_agg(format('u.%I is null', c), ' or ') into is_null from unnest(columns) c;
  execute format('select count(*) from auth.users u where u.deleted_at is null and (%s)', coalesce(is_null, 'false')) into affected;
  if affected > 0 then
    return next row(
      'warning',
      format('%s cannot sign in, since a token is null', case affected when 1 then '1 user' else affected || ' users' end),
      'Supabase Auth answers "Database error querying schema" to them, and to an administrator who lists users. They were written by SQL.',
      array[format('users: %s', affected), format('columns: %s', array_to_string(columns, ', '))],
      'Set the tokens to an empty text, as Supabase Auth does.',
      format(
        'update auth.users u set %s where u.deleted_at is null and (%s);',
        (select string_agg(format('%1$I = coalesce(u.%1$I, '''')', c), ', ') from unnest(columns) c), is_null
      )
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_users_with_null_tokens() is
  'Check users_with_null_tokens: users whose token columns are null, which Supabase Auth cannot read.';
