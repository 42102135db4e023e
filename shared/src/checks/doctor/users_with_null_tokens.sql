-- Supabase Auth reads its token columns as texts and fails on null. It never writes one; SQL scripts do.
select
  'warning',
  format('%s cannot sign in, since a token is null', case f.null_tokens when 1 then '1 user' else f.null_tokens || ' users' end),
  'Supabase Auth answers "Database error querying schema" to them, and to an administrator who lists users. They were written by SQL.',
  array[format('users: %s', f.null_tokens), 'columns: ' || c.names],
  'Set the tokens to an empty text, as Supabase Auth does.',
  format('update auth.users u set %s where u.deleted_at is null and (%s);', c.assignments, c.condition)
from facts f
cross join (
  select
    string_agg(a.attname, ', ' order by a.attnum) as names,
    string_agg(format('%1$I = coalesce(u.%1$I, '''')', a.attname), ', ' order by a.attnum) as assignments,
    string_agg(format('u.%I is null', a.attname), ' or ' order by a.attnum) as condition
  from place l
  join pg_catalog.pg_attribute a on a.attrelid = l.users and not a.attisdropped
  where a.attname in (
    'confirmation_token', 'recovery_token', 'email_change', 'email_change_token_new', 'email_change_token_current', 'phone_change',
    'phone_change_token', 'reauthentication_token')
) c
where f.null_tokens > 0
