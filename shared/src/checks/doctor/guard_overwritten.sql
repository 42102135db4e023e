-- A deployment replaced a function that had a guard: its failures block signups again.
select
  'warning',
  format('the guard of %s was overwritten', g.function_name),
  'If the function fails, it blocks the signup again.',
  array[format('%s has no guard any more', g.function_name)],
  format('Put it back: rollcall trigger guard %s --apply. Or forget it: rollcall trigger unguard %1$s --apply.', g.function_name),
  null
from facts f
cross join unnest(f.guarded) g (function_name)
where not exists (
  select from routine r where r.signature = g.function_name and r.body like '%rollcall guard%')
