-- Somebody waits for the signup, and its transaction holds what it locked.
select
  'warning',
  format('the function %s waits while somebody signs up', e.function_name),
  'Supabase Auth gives up on a signup that takes too long, and the ones behind it queue up.',
  array[format('%s calls pg_sleep', e.function_name)] || min(e.way),
  'Take the wait out, or do it outside of the signup.',
  null
from examined e
where e.text ~* '\mpg_sleep(_for|_until)?\s*\('
group by e.function_id, e.function_name
