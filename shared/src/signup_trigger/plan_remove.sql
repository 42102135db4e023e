-- What rollcall.remove_signup_trigger() would do.
select coalesce(
  string_agg(format('drop the trigger %I on auth.users, and the function %s with it', t.tgname, t.tgfoid::regprocedure), '; '),
  'there is no trigger of Rollcall''s') as words
from pg_trigger t
where t.tgrelid = to_regclass('auth.users') and not t.tgisinternal and rollcall.is_ours(t.tgfoid)
