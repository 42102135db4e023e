-- $1 the function: its own definition, where a guard was put into it, and whether the guard is still there.
select
  p.oid::regprocedure::text as name, s.replaced ->> ('guard ' || p.oid::regprocedure) as original, p.prosrc like '%rollcall guard%' as is_guarded
from pg_proc p
cross join rollcall.settings s
where p.oid = $1::regprocedure
