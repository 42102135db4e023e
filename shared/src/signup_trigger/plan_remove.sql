-- What rollcall.remove_signup_trigger() would do.
select coalesce(
  string_agg(format('drop the trigger %I on auth.users, and the function %s with it', t.trigger_name, t.function_name), '; '),
  'there is no trigger of Rollcall''s') as words
from rollcall.trigger_status() t
where t.is_ours
